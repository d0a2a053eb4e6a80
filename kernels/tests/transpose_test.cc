// Transposed states: element by element where they belong, there and back, nothing else touched.
#include <sys/mman.h>

#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "kernels/tests/backend.h"
#include "kernels/tests/check.h"
#include "kernels/tests/random.h"

namespace cairn::kernels::test {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();

std::size_t Size(std::int64_t n) { return static_cast<std::size_t>(n); }

struct TransposeProblem {
  int layers = 2;
  int heads = 2;
  int key_dim = 128;
  int value_dim = 64;
  int dtype = CAIRN_KERNELS_F32;
  bool to_key_first = true;
  bool pointers = false;
  int padding = 8;
  int slots = 4;
  std::vector<std::int32_t> from = {2, 0, -1, 1};
  std::vector<std::int32_t> to = {0, 3, 2, -1};
  Bytes source{};  ///< Empty: random.
  std::function<void(cairn_kernels_transpose&, Backend&)> change{};

  std::size_t element() const { return dtype == CAIRN_KERNELS_F32 ? 4 : 2; }
  std::int64_t stride() const { return std::int64_t{heads} * key_dim * value_dim + padding; }
  std::size_t bytes() const { return Size(layers * slots * stride()) * element(); }
};

Bytes SourceOf(const TransposeProblem& p) {
  if (!p.source.empty()) {
    return p.source;
  }
  Random random(5);
  Bytes bytes(p.bytes());
  for (std::byte& b : bytes) {
    b = static_cast<std::byte>(random.Next());
  }
  return bytes;
}

struct TransposeResult {
  cairn_kernels_status status = CAIRN_KERNELS_OK;
  Bytes target;
};

TransposeResult Run(const TransposeProblem& p, Backend& backend) {
  cairn_kernels_transpose args{};
  args.struct_bytes = sizeof(args);
  args.to_key_first = p.to_key_first ? 1 : 0;
  args.layers = p.layers;
  args.count = static_cast<std::int32_t>(p.from.size());
  args.heads = p.heads;
  args.key_dim = p.key_dim;
  args.value_dim = p.value_dim;
  args.from_slots = backend.Put(p.from);
  args.to_slots = backend.Put(p.to);
  TransposeResult result{CAIRN_KERNELS_OK, Bytes(p.bytes(), std::byte{0xFF})};
  const auto pool = [&](void* data) {
    cairn_kernels_layer_pool to = {data,       nullptr, p.slots * p.stride(),
                                   p.stride(), p.slots, p.dtype};
    if (p.pointers) {
      std::vector<void*> layers;
      for (int l = 0; l < p.layers; ++l) {
        layers.push_back(static_cast<std::byte*>(data) +
                         Size(l * p.slots * p.stride()) * p.element());
      }
      to.data = nullptr;
      to.layers = backend.Put(layers);
    }
    return to;
  };
  void* target = backend.Put(result.target);
  args.from = pool(backend.Put(SourceOf(p)));
  args.to = pool(target);
  if (p.change) {
    p.change(args, backend);
  }
  result.status = backend.Transpose(args);
  backend.Get(result.target, target);
  return result;
}

Bytes Expected(const TransposeProblem& p) {
  const Bytes source = SourceOf(p);
  Bytes target(p.bytes(), std::byte{0xFF});
  const int rows = p.to_key_first ? p.value_dim : p.key_dim;
  const int columns = p.to_key_first ? p.key_dim : p.value_dim;
  const std::size_t w = p.element();
  for (int layer = 0; layer < p.layers; ++layer) {
    for (std::size_t i = 0; i < p.from.size(); ++i) {
      for (int at = 0; p.from[i] >= 0 && p.to[i] >= 0 && at < p.heads * rows * columns; ++at) {
        const int head = at / rows / columns;
        const int row = at / columns % rows;
        const int column = at % columns;
        std::memcpy(&target[Size((layer * p.slots + p.to[i]) * p.stride() +
                                 std::int64_t{head} * rows * columns + column * rows + row) *
                            w],
                    &source[Size((layer * p.slots + p.from[i]) * p.stride() + at) * w], w);
      }
    }
  }
  return target;
}

CASE(EveryShapeAndType) {
  const std::pair<int, int> shapes[] = {{128, 128}, {64, 128}, {8, 8},
                                        {256, 16},  {24, 72},  {96, 40}};
  for (const auto& [key_dim, value_dim] : shapes) {
    for (const int dtype : {CAIRN_KERNELS_F32, CAIRN_KERNELS_BF16, CAIRN_KERNELS_F16}) {
      for (const bool to_key_first : {true, false}) {
        TransposeProblem p;
        p.key_dim = key_dim;
        p.value_dim = value_dim;
        p.dtype = dtype;
        p.to_key_first = to_key_first;
        const Bytes expected = Expected(p);
        for (const auto& backend : Backends()) {
          context = std::to_string(key_dim) + " x " + std::to_string(value_dim) + ", dtype " +
                    std::to_string(dtype) + " on " + backend->name();
          p.pointers = key_dim == 64;
          const TransposeResult result = Run(p, *backend);
          CHECK_EQ(result.status, CAIRN_KERNELS_OK);
          CHECK(result.target == expected);
        }
      }
    }
  }
}

CASE(ThereAndBack) {
  for (const int dtype : {CAIRN_KERNELS_F32, CAIRN_KERNELS_BF16}) {
    TransposeProblem p;
    p.dtype = dtype;
    p.padding = 0;
    p.from = p.to = {0, 1, 2, 3};
    for (const auto& backend : Backends()) {
      TransposeProblem back = p;
      back.to_key_first = false;
      back.source = Run(p, *backend).target;
      CHECK(Run(back, *backend).target == SourceOf(p));
    }
  }
}

CASE(ListsAreOptional) {
  TransposeProblem p;
  p.from = p.to = {0, 1, 2};
  const Bytes expected = Expected(p);
  p.change = [](cairn_kernels_transpose& args, Backend&) {
    args.from_slots = args.to_slots = nullptr;
  };
  for (const auto& backend : Backends()) {
    CHECK(Run(p, *backend).target == expected);
  }
  p.from = p.to = {};
  p.change = nullptr;
  CHECK_EQ(Run(p, *Cpu()).status, CAIRN_KERNELS_OK);
}

CASE(AnyOrderOfThreads) {
  for (const int dtype : {CAIRN_KERNELS_F32, CAIRN_KERNELS_F16}) {
    TransposeProblem p;
    p.dtype = dtype;
    for (const unsigned seed : {1U, 2U, 3U}) {
      CHECK(Run(p, *Emulated(seed)).target == Expected(p));
    }
  }
}

void Refused(const char* what, cairn_kernels_status code, bool whole,
             const std::function<void(cairn_kernels_transpose&, Backend&)>& change) {
  for (const auto& backend : Backends()) {
    context = std::string(what) + " on " + backend->name();
    TransposeProblem p;
    p.change = change;
    const TransposeResult result = Run(p, *backend);
    CHECK_EQ(result.status, code);
    if (whole || std::strcmp(backend->name(), "cpu") == 0) {
      CHECK(result.target == Bytes(p.bytes(), std::byte{0xFF}));
    }
  }
}

CASE(BadArguments) {
  using Args = cairn_kernels_transpose;
  CHECK_EQ(cairn_kernels_transpose_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
  struct Case {
    const char* what;
    cairn_kernels_status code;
    std::function<void(Args&)> change;
  };
  const Case cases[] = {
      {"version", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.struct_bytes = 0; }},
      {"reserved", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.reserved = -1; }},
      {"direction", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.to_key_first = 2; }},
      {"from", CAIRN_KERNELS_NULL, [](Args& a) { a.from.data = nullptr; }},
      {"to", CAIRN_KERNELS_NULL, [](Args& a) { a.to.data = nullptr; }},
      {"layers", CAIRN_KERNELS_SHAPE, [](Args& a) { a.layers = 0; }},
      {"count", CAIRN_KERNELS_SHAPE, [](Args& a) { a.count = -1; }},
      {"heads", CAIRN_KERNELS_SHAPE, [](Args& a) { a.heads = 0; }},
      {"K of 12", CAIRN_KERNELS_SHAPE, [](Args& a) { a.key_dim = 12; }},
      {"V of 1032", CAIRN_KERNELS_SHAPE, [](Args& a) { a.value_dim = 1032; }},
      {"stride", CAIRN_KERNELS_SHAPE, [](Args& a) { a.to.slot_stride -= 16; }},
      {"slots", CAIRN_KERNELS_SHAPE, [](Args& a) { a.to.slots = 0; }},
      {"type", CAIRN_KERNELS_DTYPE, [](Args& a) { a.from.dtype = a.to.dtype = 3; }},
      {"types", CAIRN_KERNELS_DTYPE, [](Args& a) { a.to.dtype = CAIRN_KERNELS_BF16; }},
      {"stride", CAIRN_KERNELS_ALIGNMENT, [](Args& a) { a.to.slot_stride += 2; }},
      {"address", CAIRN_KERNELS_ALIGNMENT,
       [](Args& a) { a.from.data = static_cast<char*>(a.from.data) + 4; }}};
  for (const Case& each : cases) {
    Refused(each.what, each.code, true, [&](Args& args, Backend&) { each.change(args); });
  }
}

CASE(BadLists) {
  using Args = cairn_kernels_transpose;
  const auto list = [](const std::int32_t* Args::*at, std::vector<std::int32_t> values) {
    Refused("slots", CAIRN_KERNELS_SLOTS, false,
            [&](Args& args, Backend& backend) { args.*at = backend.Put(values); });
  };
  for (const std::int32_t slot : {-2, 4, kMost, std::numeric_limits<std::int32_t>::min()}) {
    list(&Args::from_slots, {2, 0, -1, slot});
    list(&Args::to_slots, {slot, 3, 2, -1});
  }
  Refused("no pointer", CAIRN_KERNELS_NULL, false, [](Args& args, Backend& backend) {
    args.to.layers = backend.Put(std::vector<void*>{args.to.data, nullptr});
  });
  Refused("crooked pointer", CAIRN_KERNELS_ALIGNMENT, false, [](Args& args, Backend& backend) {
    args.from.layers =
        backend.Put(std::vector<void*>{static_cast<char*>(args.from.data) + 4, args.from.data});
  });
  // Targets that others write or read: seen on the CPU.
  TransposeProblem p;
  p.to = {3, 3, 2, -1};
  CHECK_EQ(Run(p, *Cpu()).status, CAIRN_KERNELS_SLOTS);
  p = {};
  p.from = p.to = {1};
  p.change = [](Args& args, Backend&) { args.to = args.from; };
  CHECK_EQ(Run(p, *Cpu()).status, CAIRN_KERNELS_SLOTS);
}

// Slots further apart than 2^31 elements.
CASE(OffsetsPast32Bits) {
  constexpr std::int64_t kApart = (std::int64_t{1} << 31) + 64;
  constexpr std::size_t kBytes = static_cast<std::size_t>(kApart) * 3 * 4;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::printf("NOT TESTED: this machine does not lend 24 GiB of addresses\n");
    return;
  }
  auto* const all = static_cast<float*>(memory);
  for (const auto& backend : {Cpu(), Emulated()}) {
    for (int i = 0; i < 64; ++i) {
      all[2 * kApart + i] = static_cast<float>(i);
      all[kApart + i] = -1;
    }
    TransposeProblem p;
    p.layers = p.heads = 1;
    p.key_dim = p.value_dim = 8;
    p.from = {2};
    p.to = {1};
    p.change = [&](cairn_kernels_transpose& args, Backend&) {
      args.from = args.to = {all, nullptr, 0, kApart, 3, CAIRN_KERNELS_F32};
    };
    CHECK_EQ(Run(p, *backend).status, CAIRN_KERNELS_OK);
    for (int i = 0; i < 64; ++i) {
      CHECK_EQ(all[kApart + i], static_cast<float>(i % 8 * 8 + i / 8));
    }
  }
  munmap(memory, kBytes);
}

}  // namespace
}  // namespace cairn::kernels::test
