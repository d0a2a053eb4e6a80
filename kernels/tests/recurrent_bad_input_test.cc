// What a caller may get wrong: a code, and nothing written, on the CPU and on the device.
#include <sys/mman.h>

#include <cstring>
#include <limits>

#include "kernels/tests/check.h"
#include "kernels/tests/recurrent_problem.h"

namespace cairn::kernels::test {
namespace {

using Change = std::function<void(cairn_kernels_recurrent&, Backend&)>;

RecurrentProblem Sound() {
  RecurrentProblem p;
  p.value_heads = 2;
  p.value_dim = 16;
  p.sequences = {{.seed = 1, .length = 5, .emit = {2, 5}}, {.seed = 2, .length = 4, .emit = {1}}};
  return p;
}

Bytes Untouched(std::size_t size) { return Bytes(size, std::byte{0xFF}); }

/// The call says `code`; with `whole`, nothing at all was written.
void Refused(const char* what, cairn_kernels_status code, bool whole, const Change& change) {
  for (const auto& backend : Backends()) {
    context = std::string(what) + " on " + backend->name();
    RecurrentProblem p = Sound();
    p.change = change;
    const RecurrentResult result = Run(p, *backend);
    CHECK_EQ(result.status, code);
    // Device code can only leave the sequence alone that is wrong: the second one here.
    const std::size_t first = whole || std::strcmp(backend->name(), "cpu") == 0 ? 0 : 1;
    for (std::size_t n = first; n < p.sequences.size(); ++n) {
      CHECK(result.finals[n] == Untouched(result.finals[n].size()));
      CHECK(result.outputs[n] == Untouched(result.outputs[n].size()));
      for (const Bytes& emitted : result.emitted[n]) {
        CHECK(emitted == Untouched(emitted.size()));
      }
    }
  }
}
void RefusedAtOnce(const char* what, cairn_kernels_status code,
                   const std::function<void(cairn_kernels_recurrent&)>& change) {
  Refused(what, code, true, [&](cairn_kernels_recurrent& args, Backend&) { change(args); });
}
/// Replaces a list of the call.
template <class T>
Change Lists(const T* cairn_kernels_recurrent::*list, std::vector<T> values) {
  return [=](cairn_kernels_recurrent& args, Backend& backend) { args.*list = backend.Put(values); };
}

CASE(NullPointers) {
  using Args = cairn_kernels_recurrent;
  CHECK_EQ(cairn_kernels_recurrent_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
  RefusedAtOnce("lengths", CAIRN_KERNELS_NULL, [](Args& a) { a.cu_seqlens = nullptr; });
  RefusedAtOnce("key", CAIRN_KERNELS_NULL, [](Args& a) { a.key.data = nullptr; });
  RefusedAtOnce("value", CAIRN_KERNELS_NULL, [](Args& a) { a.value.data = nullptr; });
  RefusedAtOnce("query", CAIRN_KERNELS_NULL, [](Args& a) { a.query.data = nullptr; });
  RefusedAtOnce("gate", CAIRN_KERNELS_NULL, [](Args& a) { a.gate.data = nullptr; });
  RefusedAtOnce("positions", CAIRN_KERNELS_NULL, [](Args& a) { a.emit_positions = nullptr; });
  for (const auto& backend : Backends()) {  // Their memory must stay readable.
    RecurrentProblem p = Sound();
    for (const bool emit : {false, true}) {
      void* kept = nullptr;
      p.change = [&](Args& a, Backend&) {
        std::swap(kept, emit ? a.emit.data : a.state.data);
        cairn_kernels_recurrent broken = a;
        std::swap(kept, emit ? a.emit.data : a.state.data);
        CHECK_EQ(backend->Recurrent(broken), CAIRN_KERNELS_NULL);
      };
      CHECK_EQ(Run(p, *backend).status, CAIRN_KERNELS_OK);
    }
  }
}

CASE(Shapes) {
  using Args = cairn_kernels_recurrent;
  const std::pair<const char*, std::function<void(Args&)>> shapes[] = {
      {"K of 96", [](Args& a) { a.key_dim = 96; }},
      {"K of 0", [](Args& a) { a.key_dim = 0; }},
      {"V of 24", [](Args& a) { a.value_dim = 24; }},
      {"V of 272", [](Args& a) { a.value_dim = 272; }},
      {"V of -16", [](Args& a) { a.value_dim = -16; }},
      {"sequences", [](Args& a) { a.sequences = -1; }},
      {"tokens", [](Args& a) { a.tokens = -1; }},
      {"tokens", [](Args& a) { a.tokens = std::int64_t{1} << 31; }},
      {"no key heads", [](Args& a) { a.key_heads = 0; }},
      {"no value heads", [](Args& a) { a.value_heads = 0; }},
      {"emissions", [](Args& a) { a.emissions = -1; }},
      {"slots", [](Args& a) { a.state.slots = 0; }},
      {"slot stride", [](Args& a) { a.state.slot_stride -= 1; }},
      {"emission stride", [](Args& a) { a.emit.slot_stride -= 1; }},
      {"key stride", [](Args& a) { a.key.token_stride = -1; }},
      {"output stride", [](Args& a) { a.output.token_stride = 15; }},
      {"output heads on each other", [](Args& a) { a.output.head_stride = 0; }}};
  for (const auto& [what, change] : shapes) {
    RefusedAtOnce(what, CAIRN_KERNELS_SHAPE, change);
  }
  RefusedAtOnce("heads", CAIRN_KERNELS_HEADS, [](Args& a) { a.key_heads = 3; });
  cairn_kernels_recurrent args{};
  args.struct_bytes = sizeof(args);
  const std::int32_t lengths[] = {0};
  args.cu_seqlens = lengths;
  args.key_heads = args.value_heads = 1;
  args.key_dim = 64;
  args.value_dim = 16;
  CHECK_EQ(cairn_kernels_recurrent_cpu(&args, 0, 1), CAIRN_KERNELS_OK);  // No sequences at all.
  CHECK_EQ(cairn_kernels_recurrent_cpu(&args, 0, 0), CAIRN_KERNELS_SHAPE);
  CHECK_EQ(cairn_kernels_recurrent_cpu(&args, 1, 1), CAIRN_KERNELS_SHAPE);
  CHECK_EQ(cairn_kernels_recurrent_cpu(&args, -1, 2), CAIRN_KERNELS_SHAPE);
}

CASE(TypesAndOptions) {
  using Args = cairn_kernels_recurrent;
  const std::pair<const char*, std::function<void(Args&)>> types[] = {
      {"key", [](Args& a) { a.key.dtype = 3; }},
      {"value", [](Args& a) { a.value.dtype = -1; }},
      {"output", [](Args& a) { a.output.dtype = 99; }},
      {"gate", [](Args& a) { a.gate.dtype = CAIRN_KERNELS_BF16; }},
      {"beta", [](Args& a) { a.beta.dtype = CAIRN_KERNELS_F16; }},
      {"state", [](Args& a) { a.state.dtype = CAIRN_KERNELS_BF16; }},
      {"emission", [](Args& a) { a.emit.dtype = CAIRN_KERNELS_F16; }}};
  for (const auto& [what, change] : types) {
    RefusedAtOnce(what, CAIRN_KERNELS_DTYPE, change);
  }
  const float skip = 1;
  const std::pair<const char*, std::function<void(Args&)>> options[] = {
      {"another version", [](Args& a) { a.struct_bytes -= 8; }},
      {"rule", [](Args& a) { a.rule = 5; }},
      {"rule", [](Args& a) { a.rule = -1; }},
      {"gate kind", [](Args& a) { a.gate_kind = 2; }},
      {"normalize", [](Args& a) { a.normalize = 2; }},
      {"reserved", [](Args& a) { a.reserved = 1; }},
      {"skip of a delta rule", [&](Args& a) { a.skip = &skip; }}};
  for (const auto& [what, change] : options) {
    RefusedAtOnce(what, CAIRN_KERNELS_UNKNOWN, change);
  }
}

CASE(ListsOfLengths) {
  using Args = cairn_kernels_recurrent;
  Refused("falling", CAIRN_KERNELS_LENGTHS, false,
          Lists<std::int32_t>(&Args::cu_seqlens, {0, 5, 3}));
  Refused("too long", CAIRN_KERNELS_LENGTHS, false,
          Lists<std::int32_t>(&Args::cu_seqlens, {0, 5, 10}));
  Refused("largest", CAIRN_KERNELS_LENGTHS, false,
          Lists<std::int32_t>(&Args::cu_seqlens, {0, 5, std::numeric_limits<std::int32_t>::max()}));
  Refused("negative", CAIRN_KERNELS_LENGTHS, false,
          Lists<std::int32_t>(&Args::cu_seqlens, {0, 5, -1}));
}

CASE(ListsOfPositions) {
  using Args = cairn_kernels_recurrent;
  const auto positions = [](const char* what, std::vector<std::int32_t> values) {
    Refused(what, CAIRN_KERNELS_POSITIONS, false,
            [=](Args& args, Backend& backend) {  // Both for the second sequence.
              args.emit_positions = backend.Put(values);
              args.emit_starts = backend.Put(std::vector<std::int32_t>{0, 1, 3});
            });
  };
  positions("twice the same", {2, 3, 3});
  positions("falling", {2, 3, 1});
  positions("negative", {2, -1, 1});
  positions("past the end", {2, 1, 5});
  const auto starts = [](const char* what, std::vector<std::int32_t> values) {
    Refused(what, CAIRN_KERNELS_POSITIONS, false, Lists<std::int32_t>(&Args::emit_starts, values));
  };
  starts("past the list", {0, 2, 4});
  starts("falling", {0, 2, 1});
}

CASE(ListsOfSlots) {
  using Args = cairn_kernels_recurrent;
  for (const std::int32_t slot : {-2, 5, std::numeric_limits<std::int32_t>::min(),
                                  std::numeric_limits<std::int32_t>::max()}) {
    const char* what = slot < 0 ? "below" : "past the pool";
    Refused(what, CAIRN_KERNELS_SLOTS, false,
            Lists<std::int32_t>(&Args::initial_slots, {-1, slot}));
    Refused(what, CAIRN_KERNELS_SLOTS, false, Lists<std::int32_t>(&Args::final_slots, {1, slot}));
  }
  Refused("emission past the pool", CAIRN_KERNELS_SLOTS, false,
          Lists<std::int32_t>(&Args::emit_slots, {4, 2, 6}));
  Refused("emission to nowhere", CAIRN_KERNELS_SLOTS, false,
          Lists<std::int32_t>(&Args::emit_slots, {4, 2, -1}));
  // Two that write one slot, and one that reads what another writes: seen on the CPU.
  const auto cpu = Cpu();
  RecurrentProblem p = Sound();
  p.change = Lists<std::int32_t>(&Args::final_slots, {1, 1});
  CHECK_EQ(Run(p, *cpu).status, CAIRN_KERNELS_SLOTS);
  p.change = Lists<std::int32_t>(&Args::initial_slots, {-1, 1});
  CHECK_EQ(Run(p, *cpu).status, CAIRN_KERNELS_SLOTS);
}

// Rows and slots further apart than 2^31 elements.
CASE(OffsetsPast32Bits) {
  constexpr std::int64_t kApart = (std::int64_t{1} << 31) + 64;
  constexpr std::size_t kBytes = static_cast<std::size_t>(kApart) * 3 * sizeof(float);
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::printf("NOT TESTED: this machine does not lend 24 GiB of addresses\n");
    return;
  }
  RecurrentProblem p;
  p.value_heads = 1;
  p.value_dim = 16;
  p.dtype = CAIRN_KERNELS_F32;
  p.sequences = {{.seed = 1, .length = 2, .emit = {1}}};
  const RecurrentResult near = Run(p, *Cpu());
  float* const all = static_cast<float*>(memory);
  for (const auto& backend : {Cpu(), Emulated()}) {
    context = backend->name();
    p.change = [&](cairn_kernels_recurrent& args, Backend&) {
      const float* keys = static_cast<const float*>(args.key.data);
      for (const int t : {0, 1}) {
        std::memcpy(all + t * kApart, keys + t * 128, 128 * sizeof(float));
      }
      args.key.data = all;
      args.key.token_stride = kApart;
      static std::int32_t slot = 2;
      args.state = {all + 1024, kApart, 3, CAIRN_KERNELS_F32};
      args.final_slots = &slot;
    };
    const RecurrentResult far = Run(p, *backend);
    CHECK(far.outputs == near.outputs);
    CHECK(far.emitted == near.emitted);
  }
  munmap(memory, kBytes);
}

CASE(EveryStatusHasAText) {
  for (int status = 0; status <= CAIRN_KERNELS_CHECKSUM; ++status) {
    const char* text = cairn_kernels_status_text(static_cast<cairn_kernels_status>(status));
    CHECK(std::strcmp(text, "unknown status") != 0);
  }
  CHECK_EQ(std::string("unknown status"),
           cairn_kernels_status_text(static_cast<cairn_kernels_status>(15)));
}

}  // namespace
}  // namespace cairn::kernels::test
