// What a caller of the scan may get wrong: a code, and nothing written, on the CPU and on a device;
// and the size of the workspace.
#include <cstring>
#include <limits>

#include "kernels/tests/check.h"
#include "kernels/tests/recurrent_problem.h"

namespace cairn::kernels::test {
namespace {

constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();

CASE(SizeOfTheWorkspace) {
  const cairn_kernels_scan_shape one = {.rule = CAIRN_KERNELS_KDA,
                                        .sequences = 1,
                                        .tokens = 64,
                                        .key_heads = 1,
                                        .value_heads = 2,
                                        .value_dim = 32,
                                        .emissions = 3,
                                        .outputs = 1,
                                        .reserved = 0};
  const auto with = [&](const std::function<void(cairn_kernels_scan_shape&)>& change) {
    cairn_kernels_scan_shape shape = one;
    change(shape);
    return cairn_kernels_scan_workspace(&shape);
  };
  const std::int64_t all = with([](auto&) {});
  // Three states' keys in bf16 and decays in float, of two heads.
  CHECK_EQ(all - with([](auto& s) { s.emissions = 0; }), 3 * 2 * (64 * 128 * 2 + 128 * 4));
  CHECK(with([](auto& s) { s.outputs = 0; }) < all);
  CHECK(with([](auto& s) { s.rule = CAIRN_KERNELS_GLA; }) < all);
  CHECK(with([](auto& s) { s.rule = CAIRN_KERNELS_GATED_DELTA; }) < all);
  CHECK_EQ(with([](auto& s) { s.sequences = 0, s.tokens = 0, s.emissions = 0; }), 0);
  CHECK_EQ(with([](auto& s) { s.sequences = -1; }), -1);
  CHECK_EQ(with([](auto& s) { s.tokens = -1; }), -1);
  CHECK_EQ(with([](auto& s) { s.key_heads = 3; }), -1);
  CHECK_EQ(with([](auto& s) { s.value_dim = 257; }), -1);
  CHECK_EQ(with([](auto& s) { s.value_dim = 33; }), -1);
  CHECK_EQ(with([](auto& s) { s.key_heads = 2, s.value_heads = 3; }), -1);
  CHECK_EQ(with([](auto& s) { s.emissions = -1; }), -1);
  CHECK_EQ(with([](auto& s) { s.rule = 5; }), -1);
  CHECK_EQ(with([](auto& s) { s.reserved = 1; }), -1);
  CHECK_EQ(cairn_kernels_scan_workspace(nullptr), -1);
  // Sizes whose products pass 64 bits, or need more blocks than a launch has.
  CHECK_EQ(with([](auto& s) { s.sequences = kMost; }), -1);
  CHECK_EQ(with([](auto& s) {
             s.sequences = kMost, s.tokens = kMost, s.value_heads = 47026, s.value_dim = 256;
           }),
           -1);
  CHECK_EQ(with([](auto& s) { s.emissions = kMost, s.value_heads = 65535; }), -1);
  CHECK(with([](auto& s) { s.sequences = 1, s.tokens = kMost, s.value_heads = 1; }) > 0);
}

using Change = std::function<void(RecurrentProblem&)>;

/// Two sequences, so that the second can be what is wrong.
RecurrentProblem Sound(int rule) {
  RecurrentProblem p;
  p.rule = rule;
  p.normalize = true;
  p.scan = true;
  p.sequences = {{.seed = 1, .length = 5, .emit = {2}}, {.seed = 2, .length = 70, .emit = {1, 9}}};
  return p;
}
/// The call says `code` and leaves the second sequence alone; with `device_only` the CPU does not
/// look at what is wrong.
void Refused(const char* what, cairn_kernels_status code, const Change& change,
             bool device_only = false) {
  for (const int rule : {CAIRN_KERNELS_GATED_DELTA, CAIRN_KERNELS_KDA}) {
    for (const auto& backend : Backends()) {
      context = std::string(what) + ", rule " + std::to_string(rule) + " on " + backend->name();
      const bool looks = !device_only || std::strcmp(backend->name(), "cpu") != 0;
      RecurrentProblem p = Sound(rule);
      change(p);
      const RecurrentResult result = Run(p, *backend);
      CHECK_EQ(result.status, looks ? code : CAIRN_KERNELS_OK);
      const Bytes& final = result.finals.back();
      CHECK(!looks || final == Bytes(final.size(), std::byte{0xFF}));
    }
  }
}
/// The same by a change of the call itself.
void RefusedCall(const char* what, cairn_kernels_status code,
                 const std::function<void(cairn_kernels_recurrent&)>& change) {
  Refused(what, code, [&](RecurrentProblem& p) {
    p.change = [&](cairn_kernels_recurrent& args, Backend&) { change(args); };
  });
}
void RefusedList(const char* what, cairn_kernels_status code,
                 const std::int32_t* cairn_kernels_recurrent::*list,
                 const std::vector<std::int32_t>& values) {
  Refused(what, code, [&](RecurrentProblem& p) {
    p.change = [&](cairn_kernels_recurrent& args, Backend& backend) {
      args.*list = backend.Put(values);
    };
  });
}
using Args = cairn_kernels_recurrent;

CASE(ShapesAndTypes) {
  Refused("K of 64", CAIRN_KERNELS_SHAPE, [](auto& p) { p.key_dim = 64; });
  Refused("V of 48", CAIRN_KERNELS_SHAPE, [](auto& p) { p.value_dim = 48; });
  Refused("an unknown gate", CAIRN_KERNELS_UNKNOWN, [](auto& p) { p.gate_kind = 2; });
  RefusedCall("three key heads of two", CAIRN_KERNELS_HEADS, [](Args& a) { a.key_heads = 3; });
  RefusedCall("keys of no type", CAIRN_KERNELS_DTYPE, [](Args& a) { a.key.dtype = 3; });
  RefusedCall("gates in bf16", CAIRN_KERNELS_DTYPE,
              [](Args& a) { a.gate.dtype = CAIRN_KERNELS_BF16; });
  RefusedCall("states in bf16", CAIRN_KERNELS_DTYPE,
              [](Args& a) { a.state.dtype = CAIRN_KERNELS_BF16; });
  RefusedCall("emissions in f16", CAIRN_KERNELS_DTYPE,
              [](Args& a) { a.emit.dtype = CAIRN_KERNELS_F16; });
  RefusedCall("no keys", CAIRN_KERNELS_NULL, [](Args& a) { a.key.data = nullptr; });
  RefusedCall("no values", CAIRN_KERNELS_NULL, [](Args& a) { a.value.data = nullptr; });
  RefusedCall("no queries", CAIRN_KERNELS_NULL, [](Args& a) { a.query.data = nullptr; });
  RefusedCall("no gates", CAIRN_KERNELS_NULL, [](Args& a) { a.gate.data = nullptr; });
  RefusedCall("no lengths", CAIRN_KERNELS_NULL, [](Args& a) { a.cu_seqlens = nullptr; });
  RefusedCall("no positions", CAIRN_KERNELS_NULL, [](Args& a) { a.emit_positions = nullptr; });
  Refused("a log", CAIRN_KERNELS_UNKNOWN, [](RecurrentProblem& p) {
    p.change = [](Args& args, Backend& backend) {
      const std::size_t bytes = 75 * 2 * 128 * sizeof(float);
      args.log_key = {backend.Put(nullptr, bytes), 256, 128, CAIRN_KERNELS_F32, 0};
      args.log_value = {backend.Put(nullptr, bytes), 256, 128, CAIRN_KERNELS_F32, 0};
      args.log_gate = {backend.Put(nullptr, bytes), 256, 128, CAIRN_KERNELS_F32, 0};
    };
  });
  CHECK_EQ(cairn_kernels_scan_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
}

CASE(Lists) {
  RefusedList("falling", CAIRN_KERNELS_LENGTHS, &Args::cu_seqlens, {0, 5, 3});
  RefusedList("past the tokens", CAIRN_KERNELS_LENGTHS, &Args::cu_seqlens, {0, 5, 76});
  RefusedList("the largest", CAIRN_KERNELS_LENGTHS, &Args::cu_seqlens, {0, 5, kMost});
  Refused("a position below 0", CAIRN_KERNELS_POSITIONS, [](auto& p) { p.sequences[1].from = -1; });
  const auto positions = [](const char* what, const std::vector<std::int32_t>& values) {
    RefusedList(what, CAIRN_KERNELS_POSITIONS, &Args::emit_positions, values);
  };
  positions("past the end", {2, 1, 71});
  positions("falling", {2, 9, 1});
  positions("twice the same", {2, 9, 9});
  positions("negative", {2, -1, 9});
  for (const std::int32_t slot : {-2, 5, kMost}) {
    RefusedList("an initial slot", CAIRN_KERNELS_SLOTS, &Args::initial_slots, {-1, slot});
    RefusedList("a final slot", CAIRN_KERNELS_SLOTS, &Args::final_slots, {1, slot});
  }
  RefusedList("an emission's slot", CAIRN_KERNELS_SLOTS, &Args::emit_slots, {4, 2, 6});
  RefusedList("an emission to nowhere", CAIRN_KERNELS_SLOTS, &Args::emit_slots, {4, 2, -1});
  RecurrentProblem p = Sound(CAIRN_KERNELS_KDA);
  const auto cpu = Cpu();  // What only it sees.
  p.change = [](Args& a, Backend& to) { a.final_slots = to.Put(std::vector<std::int32_t>{1, 1}); };
  CHECK_EQ(Run(p, *cpu).status, CAIRN_KERNELS_SLOTS);
  p.change = [](Args& a, Backend& to) {
    a.initial_slots = to.Put(std::vector<std::int32_t>{-1, 1});
  };
  CHECK_EQ(Run(p, *cpu).status, CAIRN_KERNELS_SLOTS);
}

// The first sequence is the one that is wrong.
CASE(LengthsThatDoNotBeginAtZero) {
  for (const bool scan : {false, true}) {
    for (const auto& backend : Backends()) {
      context = std::string(scan ? "scan on " : "advance on ") + backend->name();
      RecurrentProblem p = Sound(CAIRN_KERNELS_GATED_DELTA);
      p.scan = scan;
      p.change = [](Args& a, Backend& to) {
        a.cu_seqlens = to.Put(std::vector<std::int32_t>{3, 5, 75});
      };
      const RecurrentResult result = Run(p, *backend);
      CHECK_EQ(result.status, CAIRN_KERNELS_LENGTHS);
      CHECK(result.finals[0] == Bytes(result.finals[0].size(), std::byte{0xFF}));
    }
  }
}

CASE(Workspaces) {
  const auto refused = [](const char* what, cairn_kernels_status code, std::int64_t more,
                          std::ptrdiff_t shift, bool null) {
    Refused(
        what, code,
        [=](RecurrentProblem& p) {
          p.change_scan = [=](cairn_kernels_scan& args, Backend& backend) {
            const cairn_kernels_scan_shape shape = {.rule = args.of.rule,
                                                    .sequences = args.of.sequences,
                                                    .tokens = args.of.tokens,
                                                    .key_heads = args.of.key_heads,
                                                    .value_heads = args.of.value_heads,
                                                    .value_dim = args.of.value_dim,
                                                    .emissions = args.of.emissions,
                                                    .outputs = 1,
                                                    .reserved = 0};
            args.workspace_bytes = cairn_kernels_scan_workspace(&shape) + more;
            void* const room =
                backend.Put(nullptr, static_cast<std::size_t>(args.workspace_bytes + shift));
            args.workspace = null ? nullptr : static_cast<std::byte*>(room) + shift;
          };
        },
        true);
  };
  refused("a byte too little", CAIRN_KERNELS_SHAPE, -1, 0, false);
  refused("none", CAIRN_KERNELS_NULL, 0, 0, true);
  refused("a crooked one", CAIRN_KERNELS_ALIGNMENT, 0, 8, false);
}

}  // namespace
}  // namespace cairn::kernels::test
