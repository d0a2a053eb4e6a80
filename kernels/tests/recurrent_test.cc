// The recurrent advance against the definition in double precision, and against itself: the CPU,
// the device code and every way of cutting and mixing must give the same bits.
#include <limits>

#include "kernels/tests/check.h"
#include "kernels/tests/random.h"
#include "kernels/tests/recurrent_problem.h"

namespace cairn::kernels::test {
namespace {

constexpr int kRules[] = {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_KDA, CAIRN_KERNELS_GLA,
                          CAIRN_KERNELS_SSD, CAIRN_KERNELS_LIGHTNING};
const char* const kRuleNames[] = {"GatedDeltaNet", "KDA", "GLA", "SSD", "lightning"};

RecurrentProblem Small(int rule) {
  RecurrentProblem p;
  p.rule = rule;
  p.normalize = rule == CAIRN_KERNELS_GATED_DELTA || rule == CAIRN_KERNELS_KDA;
  p.skip = rule == CAIRN_KERNELS_SSD;
  return p;
}

void SameBits(const RecurrentResult& a, const RecurrentResult& b) {
  CHECK_EQ(a.status, b.status);
  CHECK(a.outputs == b.outputs);
  CHECK(a.finals == b.finals);
  CHECK(a.emitted == b.emitted);
  CHECK(a.padding_kept && b.padding_kept);
}

/// Runs `p` on every backend, which must agree, and returns what they agree about.
RecurrentResult RunEverywhere(const RecurrentProblem& p) {
  const std::string before = context;
  RecurrentResult first;
  bool any = false;
  for (const auto& backend : Backends()) {
    context = before + " on " + backend->name();
    RecurrentResult result = Run(p, *backend);
    CHECK(result.padding_kept);
    if (any) {
      SameBits(first, result);
    } else {
      first = std::move(result);
      any = true;
    }
  }
  context = before;
  return first;
}

void NearOracle(const RecurrentProblem& p, const RecurrentResult& result) {
  CHECK_EQ(result.status, CAIRN_KERNELS_OK);
  const auto elements = static_cast<std::size_t>(p.value_dim * p.key_dim);
  for (std::size_t n = 0; n < p.sequences.size(); ++n) {
    const Sequence& s = p.sequences[n];
    for (int head = 0; head < p.value_heads; ++head) {
      const OracleResult exact = OracleOf(p, s, head);
      const std::size_t first = static_cast<std::size_t>(head) * elements;
      // A sum of n terms in float is off by some 6e-8 sqrt(n); notes say 1.3e-7 for 64 tokens.
      CHECK_LE(RelativeError(result.finals[n], first, exact.states.back()), 2e-6);
      for (std::size_t e = 0; e < s.emit.size(); ++e) {
        const auto& state = exact.states[static_cast<std::size_t>(s.emit[e])];
        CHECK_LE(RelativeError(result.emitted[n][e], first, state), 2e-6);
      }
      const auto width = static_cast<std::size_t>(p.value_dim);
      for (int t = 0; t < s.length; ++t) {
        const auto at = static_cast<std::size_t>(t) * width;
        const std::vector<double> row(
            exact.outputs.begin() + static_cast<std::ptrdiff_t>(at),
            exact.outputs.begin() + static_cast<std::ptrdiff_t>(at + width));
        const auto out_at = (static_cast<std::size_t>(t * p.value_heads + head)) * width;
        CHECK_LE(RelativeError(result.outputs[n], out_at, row), 5e-6);
      }
    }
  }
}

CASE(EveryRuleIsWhatTheOracleSays) {
  for (const int rule : kRules) {
    for (const int dtype : {CAIRN_KERNELS_F32, CAIRN_KERNELS_BF16, CAIRN_KERNELS_F16}) {
      context = std::string(kRuleNames[rule]) + ", dtype " + std::to_string(dtype);
      RecurrentProblem p = Small(rule);
      p.dtype = dtype;
      p.sequences = {{.seed = 5, .length = 37, .emit = {0, 1, 17, 36, 37}},
                     {.seed = 6, .length = 3}};
      NearOracle(p, RunEverywhere(p));
    }
  }
}

CASE(EveryShape) {
  struct Shape {
    int key_dim, value_dim, key_heads, value_heads;
  };
  for (const Shape& shape : {Shape{64, 16, 1, 1}, Shape{64, 64, 1, 3}, Shape{128, 48, 2, 4},
                             Shape{256, 16, 1, 2}, Shape{256, 256, 1, 1}}) {
    for (const int rule : {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_GLA}) {
      context = std::string(kRuleNames[rule]) + " " + std::to_string(shape.key_dim) + " x " +
                std::to_string(shape.value_dim);
      RecurrentProblem p = Small(rule);
      p.key_dim = shape.key_dim;
      p.value_dim = shape.value_dim;
      p.key_heads = shape.key_heads;
      p.value_heads = shape.value_heads;
      p.padding = 8;
      p.sequences = {{.seed = 9, .length = 21, .emit = {20}}};
      NearOracle(p, RunEverywhere(p));
    }
  }
}

CASE(GateAsFactorAndWithoutNormalizing) {
  for (const int rule : kRules) {
    context = kRuleNames[rule];
    RecurrentProblem p = Small(rule);
    p.gate_kind = CAIRN_KERNELS_GATE_FACTOR;
    p.normalize = !p.normalize;
    p.sequences = {{.seed = 3, .length = 20}};
    NearOracle(p, RunEverywhere(p));
  }
}

// Lengths at every edge of a stage; a length of 0 leaves the state as it is, to the bit.
CASE(LengthsAtTheEdges) {
  const RecurrentProblem whole = [] {
    RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
    p.sequences = {{.seed = 1, .length = 5}};
    return p;
  }();
  const Bytes begin = Run(whole, *Cpu()).finals[0];
  for (const int length : {0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127}) {
    for (const int rule : kRules) {
      context = std::string(kRuleNames[rule]) + ", length " + std::to_string(length);
      RecurrentProblem p = Small(rule);
      p.value_heads = 1;
      p.value_dim = 16;
      Bytes initial = begin;
      initial.resize(std::size_t{16} * 128 * 4);
      p.sequences = {{.seed = 8, .length = length, .emit = {0, length}, .initial = initial}};
      if (length == 0) {
        p.sequences[0].emit = {0};
      }
      const RecurrentResult result = RunEverywhere(p);
      NearOracle(p, result);
      CHECK(result.emitted[0].front() == initial);
      CHECK(result.emitted[0].back() == result.finals[0]);
      if (length == 0) {
        CHECK(result.finals[0] == initial);
      }
    }
  }
}

// Cut anywhere, resumed from the state at the cut: the same bits as in one go.
CASE(SplitAnywhere) {
  for (const int rule : kRules) {
    RecurrentProblem p = Small(rule);
    p.value_heads = 1;
    p.value_dim = 16;
    const int length = 70;
    p.sequences = {{.seed = 4, .length = length}};
    const RecurrentResult whole = Run(p, *Cpu());
    for (int cut = 0; cut <= length; ++cut) {
      context = std::string(kRuleNames[rule]) + ", cut at " + std::to_string(cut);
      p.sequences = {{.seed = 4, .length = cut}};
      const RecurrentResult head = Run(p, *Cpu());
      p.sequences = {{.seed = 4, .length = length - cut, .from = cut, .initial = head.finals[0]}};
      const RecurrentResult tail = cut % 16 == 3 ? RunEverywhere(p) : Run(p, *Cpu());
      CHECK(tail.finals[0] == whole.finals[0]);
      Bytes outputs = head.outputs[0];
      outputs.insert(outputs.end(), tail.outputs[0].begin(), tail.outputs[0].end());
      CHECK(outputs == whole.outputs[0]);
    }
  }
}

// What is emitted is what a run that ends there leaves, and emitting changes nothing else.
CASE(EmissionAnywhere) {
  for (const int rule : kRules) {
    RecurrentProblem p = Small(rule);
    p.value_heads = 1;
    p.value_dim = 16;
    const int length = 40;
    p.sequences = {{.seed = 4, .length = length}};
    const RecurrentResult plain = Run(p, *Cpu());
    for (int position = 0; position <= length; ++position) {
      p.sequences[0].emit.push_back(position);
    }
    context = kRuleNames[rule];
    const RecurrentResult all = RunEverywhere(p);
    CHECK(all.finals == plain.finals);
    CHECK(all.outputs == plain.outputs);
    for (int position = 0; position <= length; ++position) {
      context = std::string(kRuleNames[rule]) + ", emitted at " + std::to_string(position);
      p.sequences = {{.seed = 4, .length = position}};
      CHECK(all.emitted[0][static_cast<std::size_t>(position)] == Run(p, *Cpu()).finals[0]);
    }
  }
}

// Alone, among others, in another order: a sequence's bits are its own.
CASE(BatchCompositionDoesNotMatter) {
  for (const int rule : kRules) {
    context = kRuleNames[rule];
    RecurrentProblem p = Small(rule);
    std::vector<RecurrentResult> alone;
    std::vector<Sequence> sequences;
    Random random(7);
    for (std::uint64_t n = 0; n < 8; ++n) {
      sequences.push_back({.seed = n + 20, .length = random.Below(50)});
      p.sequences = {sequences.back()};
      alone.push_back(Run(p, *Cpu()));
    }
    for (int shuffle = 0; shuffle < 3; ++shuffle) {
      std::vector<std::size_t> order;
      p.sequences.clear();
      for (std::size_t i = 0; i < sequences.size(); ++i) {
        order.push_back((i * 5 + static_cast<std::size_t>(shuffle) * 3) % sequences.size());
        p.sequences.push_back(sequences[order.back()]);
      }
      const RecurrentResult together = shuffle == 0 ? RunEverywhere(p) : Run(p, *Cpu());
      for (std::size_t i = 0; i < order.size(); ++i) {
        CHECK(together.finals[i] == alone[order[i]].finals[0]);
        CHECK(together.outputs[i] == alone[order[i]].outputs[0]);
      }
    }
  }
}

CASE(OutputsAndFinalsAreOptional) {
  for (const int rule : kRules) {
    context = kRuleNames[rule];
    RecurrentProblem p = Small(rule);
    p.sequences = {{.seed = 2, .length = 45, .emit = {44}}};
    const RecurrentResult both = RunEverywhere(p);
    p.outputs = false;
    const RecurrentResult states = RunEverywhere(p);
    CHECK(states.finals == both.finals);
    CHECK(states.emitted == both.emitted);
    p.outputs = true;
    p.finals = false;
    const RecurrentResult outputs = RunEverywhere(p);
    CHECK(outputs.outputs == both.outputs);
    CHECK(outputs.emitted == both.emitted);
  }
}

CASE(RoundedOutputsAndEmissions) {
  RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
  p.sequences = {{.seed = 2, .length = 9, .emit = {5}}};
  for (const int dtype : {CAIRN_KERNELS_BF16, CAIRN_KERNELS_F16}) {
    p.output_dtype = dtype;
    p.emit_dtype = CAIRN_KERNELS_BF16;
    RunEverywhere(p);
  }
}

// Decays of exactly 1 and 0, and a gate of minus infinity, which is 0: all is forgotten.
CASE(DecaysAtTheirEnds) {
  for (const int rule : kRules) {
    for (const double scale : {0.0, 1000.0, std::numeric_limits<double>::infinity()}) {
      for (const int kind : {CAIRN_KERNELS_GATE_LOG, CAIRN_KERNELS_GATE_FACTOR}) {
        context = std::string(kRuleNames[rule]) + ", gates times " + std::to_string(scale);
        RecurrentProblem p = Small(rule);
        p.gate_scale = scale;
        p.gate_kind = kind;
        p.sequences = {{.seed = 2, .length = 18, .emit = {17}}};
        NearOracle(p, RunEverywhere(p));
      }
    }
  }
}

CASE(KeysOfZeros) {
  RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
  p.sequences = {{.seed = 2, .length = 18}};
  p.gate_scale = 0;
  p.change = [](cairn_kernels_recurrent& args, Backend& backend) {
    const std::vector<std::uint16_t> zeros(static_cast<std::size_t>(args.tokens) * 128, 0);
    args.key.data = backend.Put(zeros);
  };
  const RecurrentResult result = RunEverywhere(p);
  CHECK_EQ(result.status, CAIRN_KERNELS_OK);
  CHECK(result.finals[0] == Bytes(result.finals[0].size()));
}

std::uint64_t Fnv1a(std::uint64_t hash, const Bytes& bytes) {
  for (const std::byte byte : bytes) {
    hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3U;
  }
  return hash;
}

// The very bits, for every compiler and machine to come. A change here is a new cairn_kernels_id.
CASE(TheVeryBits) {
  constexpr std::uint64_t kExpected[] = {5992261979572923903U, 15033055143817377326U,
                                         477709719252282280U, 18041716640787600825U,
                                         8825972130221424027U};
  CHECK_EQ(std::string("cairn-kernels/2"), cairn_kernels_id());
  for (const int rule : kRules) {
    context = kRuleNames[rule];
    RecurrentProblem p = Small(rule);
    p.sequences = {{.seed = 77, .length = 100, .emit = {64}}, {.seed = 78, .length = 33}};
    const RecurrentResult result = RunEverywhere(p);
    std::uint64_t hash = 0xCBF29CE484222325U;
    for (std::size_t n = 0; n < 2; ++n) {
      hash = Fnv1a(Fnv1a(hash, result.outputs[n]), result.finals[n]);
    }
    CHECK_EQ(Fnv1a(hash, result.emitted[0][0]), kExpected[rule]);
  }
}

// The order in which threads take turns must not matter, or a barrier is missing.
CASE(AnyOrderOfThreads) {
  RecurrentProblem p = Small(CAIRN_KERNELS_KDA);
  p.sequences = {{.seed = 11, .length = 50, .emit = {7, 50}}};
  const RecurrentResult expected = Run(p, *Cpu());
  for (const unsigned seed : {1U, 2U, 3U}) {
    SameBits(expected, Run(p, *Emulated(seed)));
  }
}

}  // namespace
}  // namespace cairn::kernels::test
