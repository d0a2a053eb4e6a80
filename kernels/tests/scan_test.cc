// The chunkwise scan: near the definition, as near as operands of bf16 allow, and the same bits
// under every cut at a multiple of 64, every batch and with emission on or off.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/tests/check.h"
#include "kernels/tests/random.h"
#include "kernels/tests/recurrent_problem.h"

namespace cairn::kernels::test {
namespace {

constexpr int kRules[] = {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_KDA, CAIRN_KERNELS_GLA,
                          CAIRN_KERNELS_SSD, CAIRN_KERNELS_LIGHTNING};
/// For what takes long: with and without delta, a decay per head and per channel.
constexpr int kKinds[] = {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_KDA, CAIRN_KERNELS_GLA};
const char* const kRuleNames[] = {"GatedDeltaNet", "KDA", "GLA", "SSD", "lightning"};

std::string Context(int rule, const Backend& backend) {
  return std::string(kRuleNames[rule]) + " on " + backend.name();
}

RecurrentProblem Small(int rule) {
  RecurrentProblem p;
  p.rule = rule;
  p.normalize = rule == CAIRN_KERNELS_GATED_DELTA || rule == CAIRN_KERNELS_KDA;
  p.skip = rule == CAIRN_KERNELS_SSD;
  p.scan = true;
  p.value_heads = 1;
  return p;
}

std::vector<double> Doubles(const Bytes& f32) {
  std::vector<double> values;
  for (std::size_t i = 0; i < f32.size(); i += 4) {
    float value = 0;
    std::memcpy(&value, f32.data() + i, 4);
    values.push_back(value);
  }
  return values;
}

/// Outputs and states, each as a whole, against the oracle: the bounds that notes have for any
/// kernel with bf16 operands.
void NearOracle(const RecurrentProblem& p, const RecurrentResult& result) {
  CHECK_EQ(result.status, CAIRN_KERNELS_OK);
  CHECK(result.padding_kept);
  const auto elements = static_cast<std::size_t>(p.value_dim * p.key_dim);
  for (std::size_t n = 0; n < p.sequences.size(); ++n) {
    const Sequence& s = p.sequences[n];
    for (int head = 0; head < p.value_heads; ++head) {
      const OracleResult exact = OracleOf(p, s, head);
      const std::size_t first = static_cast<std::size_t>(head) * elements;
      CHECK_LE(RelativeError(result.finals[n], first, exact.states.back()), 6e-3);
      for (std::size_t e = 0; e < s.emit.size(); ++e) {
        const auto& state = exact.states[static_cast<std::size_t>(s.emit[e])];
        CHECK_LE(RelativeError(result.emitted[n][e], first, state), 6e-3);
      }
      if (p.value_heads == 1 && s.length > 0) {
        CHECK_LE(RelativeError(result.outputs[n], 0, exact.outputs), 1e-2);
      }
    }
  }
}

CASE(NearWhatTheOracleSays) {
  for (const int rule : kRules) {
    for (const int dtype : {CAIRN_KERNELS_BF16, CAIRN_KERNELS_F32}) {
      for (const auto& backend : Backends()) {
        context = Context(rule, *backend) + ", dtype " + std::to_string(dtype);
        RecurrentProblem p = Small(rule);
        p.dtype = dtype;
        p.padding = 8;
        p.sequences = {{.seed = 5, .length = 200, .emit = {0, 1, 63, 64, 65, 100, 200}}};
        NearOracle(p, Run(p, *backend));
      }
    }
  }
}

CASE(HeadsAndWidths) {
  for (const int rule : {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_KDA}) {
    for (const auto& backend : Backends()) {
      context = Context(rule, *backend);
      RecurrentProblem p = Small(rule);
      p.key_heads = 2;
      p.value_heads = 4;
      p.value_dim = 96;
      p.sequences = {{.seed = 5, .length = 70, .emit = {64}}, {.seed = 6, .length = 3}};
      NearOracle(p, Run(p, *backend));
    }
  }
}

// The device code and the CPU's loops round at the same points; only sums differ in their order.
CASE(NearTheCpu) {
  for (const int rule : kRules) {
    RecurrentProblem p = Small(rule);
    p.sequences = {{.seed = 5, .length = 150, .emit = {77}}};
    const RecurrentResult cpu = Run(p, *Cpu());
    for (const auto& backend : Backends()) {
      context = Context(rule, *backend);
      const RecurrentResult result = Run(p, *backend);
      CHECK_LE(RelativeError(result.finals[0], 0, Doubles(cpu.finals[0])), 1e-3);
      CHECK_LE(RelativeError(result.outputs[0], 0, Doubles(cpu.outputs[0])), 2e-3);
      CHECK_LE(RelativeError(result.emitted[0][0], 0, Doubles(cpu.emitted[0][0])), 1e-3);
    }
  }
}

void Edges(int rule, const std::vector<int>& begins, Backend& backend) {
  RecurrentProblem p = Small(rule);
  p.sequences = {{.seed = 1, .length = 5}};
  const Bytes initial = Run(p, *Cpu()).finals[0];
  for (const int length : {0, 1, 2, 63, 64, 65, 128}) {
    for (const int from : begins) {
      context = Context(rule, backend) + ", " + std::to_string(length) + " tokens from " +
                std::to_string(from);
      p.sequences = {{.seed = 8, .length = length, .from = from, .emit = {0}, .initial = initial}};
      if (length > 0) {
        p.sequences[0].emit.push_back(length);
      }
      const RecurrentResult result = Run(p, backend);
      NearOracle(p, result);
      CHECK(result.emitted[0].front() == initial);
      CHECK(result.emitted[0].back() == result.finals[0]);
    }
  }
}
CASE(LengthsAndPositionsAtTheEdges) {
  for (const auto& backend : Backends()) {
    Edges(CAIRN_KERNELS_GATED_DELTA, {0, 1, 63, 64, 130}, *backend);
    Edges(CAIRN_KERNELS_KDA, {0, 63, 130}, *backend);
  }
}

CASE(SplitAtMultiplesOf64) {
  for (const int rule : kRules) {
    for (const auto& backend : Backends()) {
      RecurrentProblem p = Small(rule);
      const int length = 200;
      const int begin = 30;  // Of the whole: the grid is that of absolute positions.
      p.sequences = {{.seed = 4, .length = length, .from = begin}};
      const RecurrentResult whole = Run(p, *backend);
      for (const int position : {64, 128, 192}) {
        context = Context(rule, *backend) + ", cut at " + std::to_string(position);
        const int cut = position - begin;
        p.sequences = {{.seed = 4, .length = cut, .from = begin}};
        const RecurrentResult head = Run(p, *backend);
        p.sequences = {
            {.seed = 4, .length = length - cut, .from = position, .initial = head.finals[0]}};
        const RecurrentResult tail = Run(p, *backend);
        CHECK(tail.finals[0] == whole.finals[0]);
        Bytes outputs = head.outputs[0];
        outputs.insert(outputs.end(), tail.outputs[0].begin(), tail.outputs[0].end());
        CHECK(outputs == whole.outputs[0]);
      }
    }
  }
}

void Emission(RecurrentProblem p, Backend& backend) {
  p.sequences = {{.seed = 4, .length = 140}};
  const RecurrentResult plain = Run(p, backend);
  const std::vector<std::int32_t> positions = {0, 1, 17, 40, 63, 64, 65, 127, 128, 139, 140};
  p.sequences[0].emit = positions;
  const RecurrentResult all = Run(p, backend);
  CHECK(all.finals == plain.finals);
  CHECK(all.outputs == plain.outputs);
  const std::string before = context;
  for (std::size_t e = 0; e < positions.size(); ++e) {
    context = before + ", emitted at " + std::to_string(positions[e]);
    p.sequences = {{.seed = 4, .length = positions[e]}};
    CHECK(all.emitted[0][e] == Run(p, backend).finals[0]);
  }
}
CASE(EmissionChangesNothingAndIsWhatARunLeaves) {
  for (const int rule : kKinds) {
    for (const auto& backend : Backends()) {
      context = Context(rule, *backend);
      RecurrentProblem p = Small(rule);
      p.mixed_gates = rule == CAIRN_KERNELS_GLA;
      Emission(p, *backend);
    }
  }
}

// What comes after an emission must not even turn the sign of a zero: a state that a decay of 0
// made -0, nothing put into it, and then keys and values of either sign.
void NegativeZeros(int rule, int length, float key, float value, Backend& backend) {
  constexpr std::size_t kWidth = 128;
  const std::size_t elements = static_cast<std::size_t>(length) * kWidth;
  std::vector<float> keys(elements, 0.0F);
  std::fill(keys.begin() + 20 * kWidth, keys.end(), key);
  const auto row = [](float* data) {
    return cairn_kernels_rows{data, kWidth, kWidth, CAIRN_KERNELS_F32, 0};
  };
  RecurrentProblem p = Small(rule);
  p.gate_kind = CAIRN_KERNELS_GATE_FACTOR;
  p.change = [&](cairn_kernels_recurrent& args, Backend& to) {
    args.key = row(to.Put(keys));
    args.value = row(to.Put(std::vector<float>(elements, value)));
    args.gate = row(to.Put(std::vector<float>(elements, 0.0F)));
  };
  const std::vector<float> state(32 * kWidth, -1.0F);
  Sequence s = {.seed = 1, .length = 20};
  s.initial.resize(state.size() * sizeof(float));
  std::memcpy(s.initial.data(), state.data(), s.initial.size());
  p.sequences = {s};
  const RecurrentResult ends = Run(p, backend);
  p.sequences[0].length = length;
  p.sequences[0].emit = {20};
  CHECK(Run(p, backend).emitted[0][0] == ends.finals[0]);
}
CASE(EmissionsOfNegativeZeros) {
  for (const int rule : kRules) {
    for (const auto& backend : Backends()) {
      for (const int length : {40, 64}) {
        for (const float key : {-1.0F, 1.0F}) {
          for (const float value : {-1.0F, 1.0F}) {
            context = Context(rule, *backend) + ", " + std::to_string(length) + " tokens, keys " +
                      std::to_string(key) + ", values " + std::to_string(value);
            NegativeZeros(rule, length, key, value, *backend);
          }
        }
      }
    }
  }
}

void Batches(RecurrentProblem p, Backend& backend) {
  std::vector<RecurrentResult> alone;
  std::vector<Sequence> sequences;
  Random random(3);
  for (std::uint64_t n = 0; n < 6; ++n) {
    sequences.push_back({.seed = n + 20, .length = random.Below(90), .from = random.Below(70)});
    sequences.back().emit = {sequences.back().length / 2};
    p.sequences = {sequences.back()};
    alone.push_back(Run(p, backend));
  }
  for (const bool outputs : {true, false}) {
    p.outputs = outputs;
    p.sequences = {sequences[4], sequences[0], sequences[5],
                   sequences[2], sequences[1], sequences[3]};
    const RecurrentResult together = Run(p, backend);
    const std::size_t order[] = {4, 0, 5, 2, 1, 3};
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(together.finals[i] == alone[order[i]].finals[0]);
      CHECK(together.emitted[i] == alone[order[i]].emitted[0]);
      CHECK(!outputs || together.outputs[i] == alone[order[i]].outputs[0]);
    }
  }
}
CASE(BatchAndOutputsDoNotMatter) {
  for (const int rule : kKinds) {
    for (const auto& backend : Backends()) {
      context = Context(rule, *backend);
      Batches(Small(rule), *backend);
    }
  }
}

CASE(DecaysAtTheirEnds) {
  for (const int rule : kRules) {
    for (const auto& backend : Backends()) {
      for (const double scale : {0.0, 1000.0, static_cast<double>(INFINITY)}) {
        context = Context(rule, *backend) + ", gates times " + std::to_string(scale);
        RecurrentProblem p = Small(rule);
        p.gate_scale = scale;
        p.sequences = {{.seed = 2, .length = 100, .emit = {50}}};
        NearOracle(p, Run(p, *backend));
      }
    }
  }
}

// Decays of 0 and 1 beside each other, from which sums of logarithms or quotients of decays would
// make infinities.
CASE(GatesOfAllStrengths) {
  for (const int rule : kRules) {
    for (const auto& backend : Backends()) {
      for (const std::uint64_t seed : {2U, 3U, 4U}) {
        context = Context(rule, *backend) + ", seed " + std::to_string(seed);
        RecurrentProblem p = Small(rule);
        p.mixed_gates = true;
        p.sequences = {{.seed = seed, .length = 150, .from = 7, .emit = {1, 20, 57, 100}}};
        NearOracle(p, Run(p, *backend));
      }
    }
  }
}

CASE(GatesAsFactors) {
  for (const int rule : kRules) {
    for (const auto& backend : Backends()) {
      for (const bool mixed : {false, true}) {
        context = Context(rule, *backend) + (mixed ? ", factors of all sizes" : ", factors");
        RecurrentProblem p = Small(rule);
        p.gate_kind = CAIRN_KERNELS_GATE_FACTOR;
        p.mixed_gates = mixed;
        p.sequences = {{.seed = 6, .length = 80, .emit = {30}}};
        NearOracle(p, Run(p, *backend));
      }
    }
  }
}

// And however many chunks fit into shared memory.
CASE(AnyOrderOfThreads) {
  for (const int rule : kKinds) {
    for (const bool outputs : {true, false}) {
      RecurrentProblem p = Small(rule);
      p.outputs = outputs;
      p.sequences = {{.seed = 11, .length = 150, .emit = {7, 9, 150}}};
      const RecurrentResult expected = Run(p, *Emulated());
      for (const unsigned seed : {1U, 2U, 3U}) {
        context = std::string(kRuleNames[rule]) + ", order " + std::to_string(seed);
        const RecurrentResult result = Run(p, *Emulated(seed));
        CHECK(result.finals == expected.finals);
        CHECK(result.outputs == expected.outputs);
        CHECK(result.emitted == expected.emitted);
      }
    }
  }
}

}  // namespace
}  // namespace cairn::kernels::test
