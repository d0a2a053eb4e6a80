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

constexpr int kRules[] = {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_SSD, CAIRN_KERNELS_LIGHTNING};
const char* const kRuleNames[] = {"GatedDeltaNet", "KDA", "GLA", "SSD", "lightning"};

RecurrentProblem Small(int rule) {
  RecurrentProblem p;
  p.rule = rule;
  p.normalize = rule == CAIRN_KERNELS_GATED_DELTA;
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
        context = std::string(kRuleNames[rule]) + " on " + backend->name() + ", dtype " +
                  std::to_string(dtype);
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
  for (const auto& backend : Backends()) {
    context = backend->name();
    RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
    p.key_heads = 2;
    p.value_heads = 4;
    p.value_dim = 96;
    p.sequences = {{.seed = 5, .length = 70, .emit = {64}}, {.seed = 6, .length = 3}};
    NearOracle(p, Run(p, *backend));
  }
}

// The device code and the CPU's loops round at the same points; only sums differ in their order.
CASE(NearTheCpu) {
  for (const int rule : kRules) {
    RecurrentProblem p = Small(rule);
    p.sequences = {{.seed = 5, .length = 150, .emit = {77}}};
    const RecurrentResult cpu = Run(p, *Cpu());
    for (const auto& backend : Backends()) {
      context = std::string(kRuleNames[rule]) + " on " + backend->name();
      const RecurrentResult result = Run(p, *backend);
      CHECK_LE(RelativeError(result.finals[0], 0, Doubles(cpu.finals[0])), 1e-3);
      CHECK_LE(RelativeError(result.outputs[0], 0, Doubles(cpu.outputs[0])), 2e-3);
      CHECK_LE(RelativeError(result.emitted[0][0], 0, Doubles(cpu.emitted[0][0])), 1e-3);
    }
  }
}

CASE(LengthsAndPositionsAtTheEdges) {
  RecurrentProblem before = Small(CAIRN_KERNELS_GATED_DELTA);
  before.sequences = {{.seed = 1, .length = 5}};
  const Bytes initial = Run(before, *Cpu()).finals[0];
  for (const auto& backend : Backends()) {
    for (const int length : {0, 1, 2, 63, 64, 65, 128}) {
      for (const int from : {0, 1, 63, 64, 130}) {
        context = std::string(backend->name()) + ", " + std::to_string(length) + " tokens from " +
                  std::to_string(from);
        RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
        p.sequences = {
            {.seed = 8, .length = length, .from = from, .emit = {0}, .initial = initial}};
        if (length > 0) {
          p.sequences[0].emit.push_back(length);
        }
        const RecurrentResult result = Run(p, *backend);
        NearOracle(p, result);
        CHECK(result.emitted[0].front() == initial);
        CHECK(result.emitted[0].back() == result.finals[0]);
      }
    }
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
        context = std::string(kRuleNames[rule]) + " on " + backend->name() + ", cut at " +
                  std::to_string(position);
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

CASE(EmissionChangesNothingAndIsWhatARunLeaves) {
  for (const auto& backend : Backends()) {
    RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
    p.sequences = {{.seed = 4, .length = 140}};
    const RecurrentResult plain = Run(p, *backend);
    const std::vector<std::int32_t> positions = {0, 1, 17, 40, 63, 64, 65, 127, 128, 139, 140};
    p.sequences[0].emit = positions;
    context = backend->name();
    const RecurrentResult all = Run(p, *backend);
    CHECK(all.finals == plain.finals);
    CHECK(all.outputs == plain.outputs);
    for (std::size_t e = 0; e < positions.size(); ++e) {
      context = std::string(backend->name()) + ", emitted at " + std::to_string(positions[e]);
      p.sequences = {{.seed = 4, .length = positions[e]}};
      CHECK(all.emitted[0][e] == Run(p, *backend).finals[0]);
    }
  }
}

CASE(BatchAndOutputsDoNotMatter) {
  for (const auto& backend : Backends()) {
    context = backend->name();
    RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
    std::vector<RecurrentResult> alone;
    std::vector<Sequence> sequences;
    Random random(3);
    for (std::uint64_t n = 0; n < 6; ++n) {
      sequences.push_back({.seed = n + 20, .length = random.Below(90), .from = random.Below(70)});
      p.sequences = {sequences.back()};
      alone.push_back(Run(p, *backend));
    }
    for (const bool outputs : {true, false}) {
      p.outputs = outputs;
      p.sequences = {sequences[4], sequences[0], sequences[5],
                     sequences[2], sequences[1], sequences[3]};
      const RecurrentResult together = Run(p, *backend);
      const std::size_t order[] = {4, 0, 5, 2, 1, 3};
      for (std::size_t i = 0; i < 6; ++i) {
        CHECK(together.finals[i] == alone[order[i]].finals[0]);
        CHECK(!outputs || together.outputs[i] == alone[order[i]].outputs[0]);
      }
    }
  }
}

CASE(DecaysAtTheirEnds) {
  for (const auto& backend : Backends()) {
    for (const double scale : {0.0, 1000.0, static_cast<double>(INFINITY)}) {
      context = std::string(backend->name()) + ", gates times " + std::to_string(scale);
      RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
      p.gate_scale = scale;
      p.sequences = {{.seed = 2, .length = 100, .emit = {50}}};
      NearOracle(p, Run(p, *backend));
    }
  }
}

// And however many chunks fit into shared memory.
CASE(AnyOrderOfThreads) {
  RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
  p.sequences = {{.seed = 11, .length = 150, .emit = {7, 150}}};
  const RecurrentResult expected = Run(p, *Emulated());
  for (const unsigned seed : {1U, 2U, 3U}) {
    const RecurrentResult result = Run(p, *Emulated(seed));
    CHECK(result.finals == expected.finals);
    CHECK(result.outputs == expected.outputs);
    CHECK(result.emitted == expected.emitted);
  }
}

CASE(BadInput) {
  const auto refused = [](const char* what, cairn_kernels_status code,
                          const std::function<void(RecurrentProblem&)>& change) {
    for (const auto& backend : Backends()) {
      context = std::string(what) + " on " + backend->name();
      RecurrentProblem p = Small(CAIRN_KERNELS_GATED_DELTA);
      p.sequences = {{.seed = 1, .length = 5, .emit = {2}}};
      change(p);
      const RecurrentResult result = Run(p, *backend);
      CHECK_EQ(result.status, code);
      CHECK(result.finals[0] == Bytes(result.finals[0].size(), std::byte{0xFF}));
    }
  };
  refused("KDA", CAIRN_KERNELS_UNKNOWN, [](auto& p) { p.rule = CAIRN_KERNELS_KDA; });
  refused("decays", CAIRN_KERNELS_UNKNOWN,
          [](auto& p) { p.gate_kind = CAIRN_KERNELS_GATE_FACTOR; });
  refused("a log", CAIRN_KERNELS_UNKNOWN, [](auto& p) {
    p.change = [](cairn_kernels_recurrent& args, Backend& backend) {
      const std::size_t bytes = 5 * 128 * sizeof(float);
      args.log_key = {backend.Put(nullptr, bytes), 128, 128, CAIRN_KERNELS_F32, 0};
      args.log_value = {backend.Put(nullptr, bytes), 128, 128, CAIRN_KERNELS_F32, 0};
      args.log_gate = {backend.Put(nullptr, bytes), 1, 1, CAIRN_KERNELS_F32, 0};
    };
  });
  refused("K of 64", CAIRN_KERNELS_SHAPE, [](auto& p) { p.key_dim = 64; });
  refused("V of 48", CAIRN_KERNELS_SHAPE, [](auto& p) { p.value_dim = 48; });
  refused("a position below 0", CAIRN_KERNELS_POSITIONS, [](auto& p) { p.sequences[0].from = -1; });
  refused("past the end", CAIRN_KERNELS_POSITIONS, [](auto& p) { p.sequences[0].emit = {6}; });
  CHECK_EQ(cairn_kernels_scan_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
  CHECK_EQ(cairn_kernels_scan_workspace(-1, 1, 1, 1, 32, 0), -1);
  CHECK_EQ(cairn_kernels_scan_workspace(1, 1, 2, 1, 32, 0), -1);
  CHECK_EQ(cairn_kernels_scan_workspace(0, 0, 1, 1, 32, 1), 0);
}

}  // namespace
}  // namespace cairn::kernels::test
