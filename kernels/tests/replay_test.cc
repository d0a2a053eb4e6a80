// The log of the recurrent advance and what is restored from it: at every position the very bits
// that an advance has there.
#include <sys/mman.h>

#include <cmath>
#include <limits>

#include "kernels/tests/check.h"
#include "kernels/tests/random.h"
#include "kernels/tests/recurrent_problem.h"

namespace cairn::kernels::test {
namespace {

constexpr int kRules[] = {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_KDA, CAIRN_KERNELS_GLA,
                          CAIRN_KERNELS_SSD, CAIRN_KERNELS_LIGHTNING};

std::size_t Size(std::int64_t n) { return static_cast<std::size_t>(n); }

bool Channel(int rule) { return rule == CAIRN_KERNELS_KDA || rule == CAIRN_KERNELS_GLA; }

/// What an advance of one layer logged, and its states: after each token, by sequence.
struct Logged {
  std::vector<float> key, value, gate;
  RecurrentResult result;
};

/// The log's rows have `gap` floats between them, which must stay as they are.
Logged LogOf(const RecurrentProblem& problem, Backend& backend, int gap) {
  RecurrentProblem p = problem;
  Logged log;
  const void* at[3] = {};
  p.change = [&](cairn_kernels_recurrent& args, Backend&) {
    const auto rows = [&](int heads, int width, std::vector<float>& host, const void*& device) {
      const std::int64_t head = width + gap;
      host.resize(Size(args.tokens * heads * head), std::numeric_limits<float>::quiet_NaN());
      float* data = backend.Put(host);
      device = data;
      return cairn_kernels_rows{data, heads * head, head, CAIRN_KERNELS_F32, 0};
    };
    args.log_key = rows(p.key_heads, p.key_dim, log.key, at[0]);
    args.log_value = rows(p.value_heads, p.value_dim, log.value, at[1]);
    args.log_gate = rows(p.value_heads, Channel(p.rule) ? p.key_dim : 1, log.gate, at[2]);
  };
  log.result = Run(p, backend);
  CHECK_EQ(log.result.status, CAIRN_KERNELS_OK);
  backend.Get(log.key, at[0]);
  backend.Get(log.value, at[1]);
  backend.Get(log.gate, at[2]);
  return log;
}

struct Restored {
  int sequence = 0;
  int position = 0;
  int base = -1;
  int target = 0;
};

/// Layers of logs, the pool they are restored in, and what is asked.
struct ReplayProblem {
  RecurrentProblem shape;
  int gap = 0;
  std::vector<Logged> layers;
  std::vector<Restored> restores;
  int slots = 0;
  std::vector<float> pool;  ///< [layers][slots][state + gap]
  int mode = CAIRN_KERNELS_REPLAY_EXACT;
  bool pointers = false;  ///< Layers by a list instead of a stride.
  std::function<void(cairn_kernels_replay&, Backend&)> change{};

  std::int64_t state() const {
    return std::int64_t{shape.value_heads} * shape.value_dim * shape.key_dim;
  }
  std::int64_t stride() const { return state() + gap; }
  float* slot(std::size_t layer, int index) {
    return pool.data() + (static_cast<std::int64_t>(layer) * slots + index) * stride();
  }
};

struct ReplayResult {
  cairn_kernels_status status = CAIRN_KERNELS_OK;
  std::vector<float> pool;
};

ReplayResult Run(const ReplayProblem& p, Backend& backend) {
  cairn_kernels_replay args{};
  args.struct_bytes = sizeof(args);
  args.rule = p.shape.rule;
  args.mode = p.mode;
  args.layers = static_cast<std::int32_t>(p.layers.size());
  args.sequences = static_cast<std::int32_t>(p.shape.sequences.size());
  args.restores = static_cast<std::int32_t>(p.restores.size());
  args.key_heads = p.shape.key_heads;
  args.value_heads = p.shape.value_heads;
  args.key_dim = p.shape.key_dim;
  args.value_dim = p.shape.value_dim;
  std::vector<std::int32_t> lengths = {0};
  for (const Sequence& s : p.shape.sequences) {
    lengths.push_back(lengths.back() + s.length);
  }
  args.tokens = lengths.back();
  args.cu_seqlens = backend.Put(lengths);
  const auto rows = [&](std::vector<float> Logged::*part, int heads, int width,
                        std::int64_t& layer_stride) {
    std::vector<float> all;
    for (const Logged& layer : p.layers) {
      all.insert(all.end(), (layer.*part).begin(), (layer.*part).end());
    }
    layer_stride = static_cast<std::int64_t>((p.layers[0].*part).size());
    const std::int64_t head = width + p.gap;
    return cairn_kernels_rows{backend.Put(all), heads * head, head, CAIRN_KERNELS_F32, 0};
  };
  args.key = rows(&Logged::key, p.shape.key_heads, p.shape.key_dim, args.key_layer_stride);
  args.value =
      rows(&Logged::value, p.shape.value_heads, p.shape.value_dim, args.value_layer_stride);
  args.gate = rows(&Logged::gate, p.shape.value_heads, Channel(p.shape.rule) ? p.shape.key_dim : 1,
                   args.gate_layer_stride);
  std::vector<std::int32_t> sequences, positions, bases, targets;
  for (const Restored& r : p.restores) {
    sequences.push_back(r.sequence);
    positions.push_back(r.position);
    bases.push_back(r.base);
    targets.push_back(r.target);
  }
  args.restore_sequences = backend.Put(sequences);
  args.positions = backend.Put(positions);
  args.base_slots = backend.Put(bases);
  args.target_slots = backend.Put(targets);
  float* pool = backend.Put(p.pool);
  args.base = {pool, nullptr, p.slots * p.stride(), p.stride(), p.slots, CAIRN_KERNELS_F32};
  if (p.pointers) {
    std::vector<void*> layers;
    for (std::size_t l = 0; l < p.layers.size(); ++l) {
      layers.push_back(pool + static_cast<std::int64_t>(l) * p.slots * p.stride());
    }
    args.base.data = nullptr;
    args.base.layers = backend.Put(layers);
  }
  args.target = args.base;
  if (p.change) {
    p.change(args, backend);
  }
  ReplayResult result;
  result.status = backend.Replay(args);
  result.pool = p.pool;
  backend.Get(result.pool, pool);
  return result;
}

bool SameFloats(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Two sequences, one of them with a state to begin from, in `layers` layers; all logs are made by
/// `backend`. The states of every position are in the result of each layer.
ReplayProblem Logs(RecurrentProblem shape, std::vector<int> lengths, int layers, Backend& backend) {
  ReplayProblem p;
  p.gap = 4;
  shape.outputs = false;
  Random random(static_cast<std::uint64_t>(lengths[0]) + 77);
  for (int layer = 0; layer < layers; ++layer) {
    shape.sequences.clear();
    for (std::size_t n = 0; n < lengths.size(); ++n) {
      Sequence s{.seed = static_cast<std::uint64_t>(layer) * 10 + n + 1, .length = lengths[n]};
      for (int position = 0; position <= lengths[n]; ++position) {
        s.emit.push_back(position);
      }
      if (n == 0) {
        s.initial.resize(Size(std::int64_t{shape.value_heads} * shape.value_dim * shape.key_dim) *
                         4);
        for (std::size_t i = 0; i < s.initial.size(); i += 4) {
          const auto x = static_cast<float>(random.Normal());
          std::memcpy(s.initial.data() + i, &x, 4);
        }
      }
      shape.sequences.push_back(s);
    }
    p.layers.push_back(LogOf(shape, backend, p.gap));
  }
  p.shape = shape;
  return p;
}

/// Asks for every position of every sequence, in mixed order, each in a slot of its own; slot 0 of
/// each layer holds sequence 0's initial state. Returns the pool as it must become.
std::vector<float> AskForAll(ReplayProblem& p) {
  p.restores.clear();
  for (std::size_t n = 0; n < p.shape.sequences.size(); ++n) {
    for (int position = 0; position <= p.shape.sequences[n].length; ++position) {
      p.restores.push_back({static_cast<int>(n), position, n == 0 ? 0 : -1, 0});
    }
  }
  Random random(3);
  for (std::size_t i = p.restores.size(); i > 1; --i) {
    std::swap(p.restores[i - 1], p.restores[Size(random.Below(static_cast<int>(i)))]);
  }
  p.slots = static_cast<int>(p.restores.size()) + 2;  // The last one is nobody's.
  p.pool.assign(p.layers.size() * Size(p.slots * p.stride()),
                std::numeric_limits<float>::quiet_NaN());
  for (std::size_t l = 0; l < p.layers.size(); ++l) {
    const Bytes& initial = p.layers[l].result.emitted[0][0];
    std::memcpy(p.slot(l, 0), initial.data(), initial.size());
  }
  const std::vector<float> before = p.pool;
  for (std::size_t r = 0; r < p.restores.size(); ++r) {
    p.restores[r].target = static_cast<int>(r) + 1;
    for (std::size_t l = 0; l < p.layers.size(); ++l) {
      const Bytes& state =
          p.layers[l].result.emitted[Size(p.restores[r].sequence)][Size(p.restores[r].position)];
      std::memcpy(p.slot(l, p.restores[r].target), state.data(), state.size());
    }
  }
  std::vector<float> after = before;
  std::swap(after, p.pool);
  return after;
}

RecurrentProblem Shape(int rule) {
  RecurrentProblem shape;
  shape.rule = rule;
  shape.normalize = rule == CAIRN_KERNELS_GATED_DELTA || rule == CAIRN_KERNELS_KDA;
  shape.value_dim = 16;
  return shape;
}

// The log is the same wherever it was made, and making it changes nothing else.
CASE(LogIsTheSameEverywhere) {
  for (const int rule : kRules) {
    context = "rule " + std::to_string(rule);
    RecurrentProblem shape = Shape(rule);
    shape.value_dim = 48;
    shape.key_heads = 2;
    shape.value_heads = 4;
    shape.sequences = {
        {.seed = 1, .length = 35}, {.seed = 2, .length = 0}, {.seed = 3, .length = 6}};
    const RecurrentResult plain = Run(shape, *Cpu());
    const Logged first = LogOf(shape, *Cpu(), 3);
    for (const auto& backend : Backends()) {
      const Logged log = LogOf(shape, *backend, 3);
      CHECK(SameFloats(log.key, first.key));
      CHECK(SameFloats(log.value, first.value));
      CHECK(SameFloats(log.gate, first.gate));
      CHECK(log.result.finals == plain.finals);
      CHECK(log.result.outputs == plain.outputs);
    }
    for (std::size_t i = 0; i < first.key.size(); ++i) {  // Rows are full, gaps untouched.
      CHECK_EQ(std::isnan(first.key[i]), i % (128 + 3) >= 128);
    }
    for (std::size_t i = 0; i < first.value.size(); ++i) {
      CHECK_EQ(std::isnan(first.value[i]), i % (48 + 3) >= 48);
    }
  }
}

CASE(BadLogs) {
  using Args = cairn_kernels_recurrent;
  const std::pair<cairn_kernels_status, std::function<void(Args&)>> cases[] = {
      {CAIRN_KERNELS_NULL, [](Args& a) { a.log_key.data = nullptr; }},
      {CAIRN_KERNELS_NULL, [](Args& a) { a.log_value.data = nullptr; }},
      {CAIRN_KERNELS_NULL, [](Args& a) { a.log_gate.data = nullptr; }},
      {CAIRN_KERNELS_DTYPE, [](Args& a) { a.log_value.dtype = CAIRN_KERNELS_BF16; }},
      {CAIRN_KERNELS_SHAPE, [](Args& a) { a.log_key.token_stride = 127; }},
      {CAIRN_KERNELS_SHAPE, [](Args& a) { a.log_value.head_stride = 15; }},
      {CAIRN_KERNELS_SHAPE, [](Args& a) { a.log_gate.token_stride = -1; }}};
  for (const auto& [code, change] : cases) {
    for (const auto& backend : Backends()) {
      RecurrentProblem p = Shape(CAIRN_KERNELS_GATED_DELTA);
      p.sequences = {{.seed = 1, .length = 2}};
      p.change = [&, &fault = change](Args& args, Backend&) {
        args.log_key = {args.state.data, 128, 128, CAIRN_KERNELS_F32, 0};
        args.log_value = {args.state.data, 32, 16, CAIRN_KERNELS_F32, 0};
        args.log_gate = {args.state.data, 2, 1, CAIRN_KERNELS_F32, 0};
        fault(args);
      };
      CHECK_EQ(Run(p, *backend).status, code);
    }
  }
}

CASE(EveryPositionOfEveryRule) {
  for (const int rule : kRules) {
    ReplayProblem p = Logs(Shape(rule), {35, 5}, 2, *Cpu());
    const std::vector<float> expected = AskForAll(p);
    for (const auto& backend : Backends()) {
      for (const bool pointers : {false, true}) {
        context = "rule " + std::to_string(rule) + " on " + backend->name();
        p.pointers = pointers;
        const ReplayResult result = Run(p, *backend);
        CHECK_EQ(result.status, CAIRN_KERNELS_OK);
        CHECK(SameFloats(result.pool, expected));
      }
    }
  }
}

CASE(EveryShape) {
  struct Dims {
    int key_dim, value_dim, key_heads, value_heads;
  };
  for (const Dims& dims : {Dims{64, 16, 1, 1}, Dims{64, 80, 1, 3}, Dims{128, 128, 2, 4},
                           Dims{256, 48, 1, 2}, Dims{256, 256, 1, 1}}) {
    for (const int rule : {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_GLA}) {
      RecurrentProblem shape = Shape(rule);
      shape.key_dim = dims.key_dim;
      shape.value_dim = dims.value_dim;
      shape.key_heads = dims.key_heads;
      shape.value_heads = dims.value_heads;
      ReplayProblem p = Logs(shape, {17}, 2, *Cpu());
      const std::vector<float> expected = AskForAll(p);
      for (const auto& backend : Backends()) {
        context = "rule " + std::to_string(rule) + ", " + std::to_string(dims.key_dim) + " x " +
                  std::to_string(dims.value_dim) + " on " + backend->name();
        CHECK(SameFloats(Run(p, *backend).pool, expected));
      }
    }
  }
}

CASE(TailsOf64) {
  for (const int length : {0, 1, 63, 64, 65}) {
    ReplayProblem p = Logs(Shape(CAIRN_KERNELS_GATED_DELTA), {length}, 1, *Cpu());
    const std::vector<float> expected = AskForAll(p);
    for (const auto& backend : Backends()) {
      context = std::to_string(length) + " tokens on " + backend->name();
      CHECK(SameFloats(Run(p, *backend).pool, expected));
    }
  }
}

// The folded form is another arithmetic: near the exact one, and the same bits everywhere.
CASE(FoldedIsNearAndTheSameEverywhere) {
  for (const int rule : kRules) {
    for (const int key_dim : {64, 128, 256}) {
      RecurrentProblem shape = Shape(rule);
      shape.key_dim = key_dim;
      ReplayProblem p = Logs(shape, {40}, 1, *Cpu());
      const std::vector<float> exact = AskForAll(p);
      p.mode = CAIRN_KERNELS_REPLAY_FOLDED;
      const ReplayResult first = Run(p, *Cpu());
      for (const auto& backend : Backends()) {
        context = "rule " + std::to_string(rule) + ", K " + std::to_string(key_dim) + " on " +
                  backend->name();
        const ReplayResult result = Run(p, *backend);
        CHECK_EQ(result.status, CAIRN_KERNELS_OK);
        CHECK(SameFloats(result.pool, first.pool));
      }
      for (const Restored& r : p.restores) {
        const std::size_t at = Size(r.target * p.stride());
        double difference = 0;
        double length = 0;
        for (std::size_t i = at; i < at + Size(p.state()); ++i) {
          difference += std::pow(static_cast<double>(first.pool[i]) - exact[i], 2);
          length += std::pow(exact[i], 2);
        }
        CHECK_LE(std::sqrt(difference), 1e-6 * std::sqrt(length));
      }
    }
  }
}

CASE(InPlaceAndLeftOut) {
  ReplayProblem p = Logs(Shape(CAIRN_KERNELS_KDA), {21, 9}, 2, *Cpu());
  AskForAll(p);
  p.slots = 4;
  p.pool.assign(p.layers.size() * Size(4 * p.stride()), std::numeric_limits<float>::quiet_NaN());
  p.restores = {{0, 20, 0, 0}, {1, 9, -1, 2}, {1, 4, 3, -1}};
  std::vector<float> expected = p.pool;
  for (std::size_t l = 0; l < p.layers.size(); ++l) {
    const auto& emitted = p.layers[l].result.emitted;
    std::memcpy(p.slot(l, 0), emitted[0][0].data(), emitted[0][0].size());
    const std::size_t layer = l * Size(4 * p.stride());
    std::memcpy(&expected[layer], emitted[0][20].data(), emitted[0][20].size());
    std::memcpy(&expected[layer + Size(2 * p.stride())], emitted[1][9].data(),
                emitted[1][9].size());
  }
  for (const int mode : {CAIRN_KERNELS_REPLAY_EXACT, CAIRN_KERNELS_REPLAY_FOLDED}) {
    p.mode = mode;
    const ReplayResult first = Run(p, *Cpu());
    for (const auto& backend : Backends()) {
      context = std::string("mode ") + std::to_string(mode) + " on " + backend->name();
      CHECK(SameFloats(Run(p, *backend).pool,
                       mode == CAIRN_KERNELS_REPLAY_EXACT ? expected : first.pool));
    }
  }
}

CASE(AnyOrderOfThreads) {
  for (const int mode : {CAIRN_KERNELS_REPLAY_EXACT, CAIRN_KERNELS_REPLAY_FOLDED}) {
    for (const int rule : {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_KDA}) {
      ReplayProblem p = Logs(Shape(rule), {37}, 1, *Cpu());
      AskForAll(p);
      p.mode = mode;
      p.restores = {{0, 37, 0, 1}};
      const ReplayResult expected = Run(p, *Cpu());
      for (const unsigned seed : {1U, 2U, 3U, 4U}) {
        CHECK(SameFloats(expected.pool, Run(p, *Emulated(seed)).pool));
      }
    }
  }
}

/// The call says `code`. On the CPU nothing was written; device code may have done the others.
void Refused(const char* what, cairn_kernels_status code, bool whole,
             const std::function<void(ReplayProblem&)>& change) {
  static const ReplayProblem sound = [] {
    ReplayProblem p = Logs(Shape(CAIRN_KERNELS_GATED_DELTA), {6, 3}, 2, *Cpu());
    AskForAll(p);
    p.restores = {{0, 4, 0, 1}, {1, 2, -1, 2}};
    return p;
  }();
  for (const auto& backend : Backends()) {
    context = std::string(what) + " on " + backend->name();
    ReplayProblem p = sound;
    change(p);
    const ReplayResult result = Run(p, *backend);
    CHECK_EQ(result.status, code);
    if (whole || std::strcmp(backend->name(), "cpu") == 0) {
      CHECK(SameFloats(result.pool, sound.pool));
    }
  }
}
void RefusedAtOnce(const char* what, cairn_kernels_status code,
                   const std::function<void(cairn_kernels_replay&)>& change) {
  Refused(what, code, true, [&](ReplayProblem& p) {
    p.change = [&change](cairn_kernels_replay& args, Backend&) { change(args); };
  });
}

CASE(BadArguments) {
  using Args = cairn_kernels_replay;
  CHECK_EQ(cairn_kernels_replay_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
  struct Case {
    const char* what;
    cairn_kernels_status code;
    std::function<void(Args&)> change;
  };
  static float somewhere[8] = {};
  const Case cases[] = {
      {"version", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.struct_bytes -= 4; }},
      {"rule", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.rule = 5; }},
      {"mode", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.mode = 2; }},
      {"lengths", CAIRN_KERNELS_NULL, [](Args& a) { a.cu_seqlens = nullptr; }},
      {"positions", CAIRN_KERNELS_NULL, [](Args& a) { a.positions = nullptr; }},
      {"targets", CAIRN_KERNELS_NULL, [](Args& a) { a.target_slots = nullptr; }},
      {"keys", CAIRN_KERNELS_NULL, [](Args& a) { a.key.data = nullptr; }},
      {"values", CAIRN_KERNELS_NULL, [](Args& a) { a.value.data = nullptr; }},
      {"gates", CAIRN_KERNELS_NULL, [](Args& a) { a.gate.data = nullptr; }},
      {"base", CAIRN_KERNELS_NULL, [](Args& a) { a.base.data = nullptr; }},
      {"target", CAIRN_KERNELS_NULL, [](Args& a) { a.target.data = nullptr; }},
      {"layers", CAIRN_KERNELS_SHAPE, [](Args& a) { a.layers = 0; }},
      {"restores", CAIRN_KERNELS_SHAPE, [](Args& a) { a.restores = -1; }},
      {"sequences", CAIRN_KERNELS_SHAPE, [](Args& a) { a.sequences = -1; }},
      {"K", CAIRN_KERNELS_SHAPE, [](Args& a) { a.key_dim = 96; }},
      {"V", CAIRN_KERNELS_SHAPE, [](Args& a) { a.value_dim = 20; }},
      {"stride", CAIRN_KERNELS_SHAPE, [](Args& a) { a.target.slot_stride = 4; }},
      {"layer stride", CAIRN_KERNELS_SHAPE, [](Args& a) { a.key_layer_stride = -4; }},
      {"heads", CAIRN_KERNELS_HEADS, [](Args& a) { a.key_heads = 3; }},
      {"type of keys", CAIRN_KERNELS_DTYPE, [](Args& a) { a.key.dtype = CAIRN_KERNELS_BF16; }},
      {"type of states", CAIRN_KERNELS_DTYPE, [](Args& a) { a.target.dtype = CAIRN_KERNELS_F16; }},
      {"keys' address", CAIRN_KERNELS_ALIGNMENT, [](Args& a) { a.key.data = somewhere + 1; }},
      {"keys' stride", CAIRN_KERNELS_ALIGNMENT, [](Args& a) { a.key.token_stride += 2; }},
      {"states' address", CAIRN_KERNELS_ALIGNMENT, [](Args& a) { a.base.data = somewhere + 3; }},
      {"states' stride", CAIRN_KERNELS_ALIGNMENT, [](Args& a) { a.base.slot_stride += 1; }}};
  for (const Case& each : cases) {
    RefusedAtOnce(each.what, each.code, each.change);
  }
}

CASE(BadLists) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  const auto restore = [](const char* what, cairn_kernels_status code, Restored wrong) {
    Refused(what, code, false, [=](ReplayProblem& p) { p.restores[1] = wrong; });
  };
  for (const int position : {-1, 4, kMost}) {
    restore("position", CAIRN_KERNELS_POSITIONS, {1, position, -1, 2});
  }
  for (const int sequence : {-1, 2, kMost}) {
    restore("sequence", CAIRN_KERNELS_POSITIONS, {sequence, 0, -1, 2});
  }
  for (const int slot : {-2, 14, kMost}) {
    restore("base", CAIRN_KERNELS_SLOTS, {1, 1, slot, 2});
    restore("target", CAIRN_KERNELS_SLOTS, {1, 1, -1, slot});
  }
  const auto lengths = [](std::vector<std::int32_t> values) {
    Refused("lengths", CAIRN_KERNELS_LENGTHS, false, [=](ReplayProblem& p) {
      p.change = [values](cairn_kernels_replay& args, Backend& backend) {
        args.cu_seqlens = backend.Put(values);
      };
    });
  };
  lengths({0, 6, 5});
  lengths({0, 6, 10});
  lengths({0, 6, kMost});
  const auto pointer = [](const char* what, cairn_kernels_status code, std::ptrdiff_t shift) {
    Refused(what, code, false, [=](ReplayProblem& p) {
      p.change = [=](cairn_kernels_replay& args, Backend& backend) {
        char* data = static_cast<char*>(args.target.data);
        args.target.layers =
            backend.Put(std::vector<void*>{data, shift == 0 ? nullptr : data + shift});
      };
    });
  };
  pointer("no pointer", CAIRN_KERNELS_NULL, 0);
  pointer("crooked pointer", CAIRN_KERNELS_ALIGNMENT, 8);
  // Two that write one slot, and one that reads what another writes: seen on the CPU.
  ReplayProblem p = Logs(Shape(CAIRN_KERNELS_SSD), {4}, 1, *Cpu());
  AskForAll(p);
  p.restores = {{0, 1, 0, 1}, {0, 2, 0, 1}};
  CHECK_EQ(Run(p, *Cpu()).status, CAIRN_KERNELS_SLOTS);
  p.restores = {{0, 1, 0, 1}, {0, 2, 1, 2}};
  CHECK_EQ(Run(p, *Cpu()).status, CAIRN_KERNELS_SLOTS);
}

// Slots further apart than 2^31 elements.
CASE(OffsetsPast32Bits) {
  constexpr std::int64_t kApart = (std::int64_t{1} << 31) + 64;
  constexpr std::size_t kBytes = static_cast<std::size_t>(kApart) * 3 * sizeof(float);
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::printf("NOT TESTED: this machine does not lend 24 GiB of addresses\n");
    return;
  }
  ReplayProblem p = Logs(Shape(CAIRN_KERNELS_GATED_DELTA), {3}, 1, *Cpu());
  AskForAll(p);
  p.restores = {{0, 3, 0, 2}};
  const std::vector<float> near = Run(p, *Cpu()).pool;
  float* const all = static_cast<float*>(memory);
  for (const auto& backend : {Cpu(), Emulated()}) {
    p.change = [&](cairn_kernels_replay& args, Backend&) {
      args.target = {all, nullptr, 0, kApart, 3, CAIRN_KERNELS_F32};
    };
    CHECK_EQ(Run(p, *backend).status, CAIRN_KERNELS_OK);
    CHECK(std::memcmp(all + 2 * kApart, near.data() + 2 * p.stride(), Size(p.state()) * 4) == 0);
  }
  munmap(memory, kBytes);
}

}  // namespace
}  // namespace cairn::kernels::test
