// What a caller of the KV copies may get wrong: a code, and nothing written that must not be.
#include <sys/mman.h>

#include <cstring>
#include <limits>
#include <string>
#include <tuple>
#include <utility>

#include "kernels/tests/check.h"
#include "kernels/tests/kv_problem.h"

namespace cairn::kernels::test {
namespace {

constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMost64 = std::numeric_limits<std::int64_t>::max();

KvProblem Sound() {
  KvProblem p;
  p.ranges = {
      {.object_tokens = 8, .tokens = 8, .pages = {5, 2}},
      {.object_tokens = 6, .object_first = 1, .tokens = 3, .first_token = 2, .pages = {0, 6}}};
  return p;
}

/// The call says `code`. Objects of a pack and pages of an unpack stay as they were, on the CPU and
/// where it is seen at once; else what is written is what would have been, or as it was.
void Refused(const char* what, cairn_kernels_status code, bool whole, KvProblem p) {
  for (const bool unpack : {false, true}) {
    for (const auto& backend : Backends()) {
      context = std::string(what) + (unpack ? ", unpack on " : ", pack on ") + backend->name();
      p.unpack = unpack;
      const KvResult result = Run(p, *backend);
      CHECK_EQ(result.status, code);
      const Bytes pages = PagesOf(p);
      const Bytes objects = ObjectsOf(p);
      CHECK((unpack ? result.objects : result.pages) == (unpack ? objects : pages));
      if (whole || std::strcmp(backend->name(), "cpu") == 0) {
        CHECK(result.pages == pages);
        CHECK(result.objects == objects);
      }
    }
  }
}
void RefusedAtOnce(const char* what, cairn_kernels_status code,
                   const std::function<void(cairn_kernels_kv&)>& change) {
  KvProblem p = Sound();
  p.change = [&](cairn_kernels_kv& args, Backend&) { change(args); };
  Refused(what, code, true, p);
}

CASE(NullPointersAndOptions) {
  using Args = cairn_kernels_kv;
  CHECK_EQ(cairn_kernels_kv_cpu(nullptr, 0, 1), CAIRN_KERNELS_NULL);
  struct Case {
    const char* what;
    cairn_kernels_status code;
    std::function<void(Args&)> change;
  };
  const Case cases[] = {{"pages", CAIRN_KERNELS_NULL, [](Args& a) { a.paged.data = nullptr; }},
                        {"objects", CAIRN_KERNELS_NULL, [](Args& a) { a.objects = nullptr; }},
                        {"ranges", CAIRN_KERNELS_NULL, [](Args& a) { a.ranges = nullptr; }},
                        {"page ids", CAIRN_KERNELS_NULL, [](Args& a) { a.page_ids = nullptr; }},
                        {"angles", CAIRN_KERNELS_NULL, [](Args& a) { a.rope_rows = 1; }},
                        {"version", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.struct_bytes -= 8; }},
                        {"direction", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.direction = 2; }},
                        {"missing", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.skip_missing = 2; }}};
  for (const Case& each : cases) {
    RefusedAtOnce(each.what, each.code, each.change);
  }
}

CASE(Shapes) {
  using Args = cairn_kernels_kv;
  const std::pair<const char*, std::function<void(Args&)>> shapes[] = {
      {"layers", [](Args& a) { a.layers = 0; }},
      {"layers", [](Args& a) { a.layers = kMost; }},
      {"kv", [](Args& a) { a.kv = 3; }},
      {"heads", [](Args& a) { a.heads = -1; }},
      {"unit", [](Args& a) { a.unit_bytes = 0; }},
      {"unit", [](Args& a) { a.unit_bytes = kMost; }},
      {"ranges", [](Args& a) { a.range_count = -1; }},
      {"bytes", [](Args& a) { a.object_bytes = -1; }},
      {"ids", [](Args& a) { a.page_id_count = -1; }},
      {"leaves", [](Args& a) { a.leaf_count = -1; }},
      {"blocks", [](Args& a) { a.max_blocks = -1; }},
      {"pages", [](Args& a) { a.paged.pages = 0; }},
      {"page tokens", [](Args& a) { a.paged.page_tokens = 0; }},
      {"falling stride", [](Args& a) { a.paged.page_stride = -64; }},
      {"tokens on each other", [](Args& a) { a.paged.token_stride = 0; }},
      {"heads on each other", [](Args& a) { a.paged.head_stride = 48; }},
      {"K on V", [](Args& a) { a.paged.kv_stride = 0; }},
      {"endless", [](Args& a) { a.paged.layer_stride = kMost64 - 15; }}};
  for (const auto& [what, change] : shapes) {
    RefusedAtOnce(what, CAIRN_KERNELS_SHAPE, change);
  }
  const std::pair<const char*, std::function<void(Args&)>> crooked[] = {
      {"pages", [](Args& a) { a.paged.data = static_cast<char*>(a.paged.data) + 2; }},
      {"objects", [](Args& a) { a.objects = static_cast<char*>(a.objects) + 1; }},
      {"stride", [](Args& a) { a.paged.page_stride += 2; }},
      {"unit", [](Args& a) { a.unit_bytes = 63; }}};
  for (const auto& [what, change] : crooked) {
    RefusedAtOnce(what, CAIRN_KERNELS_ALIGNMENT, change);
  }
  cairn_kernels_kv nothing{};
  nothing.struct_bytes = sizeof(nothing);
  nothing.layers = nothing.kv = nothing.heads = nothing.unit_bytes = 1;
  nothing.paged.pages = nothing.paged.page_tokens = 1;
  CHECK_EQ(cairn_kernels_kv_cpu(&nothing, 0, 1), CAIRN_KERNELS_OK);
  CHECK_EQ(cairn_kernels_kv_cpu(&nothing, 1, 1), CAIRN_KERNELS_SHAPE);
  CHECK_EQ(cairn_kernels_kv_cpu(&nothing, 0, 0), CAIRN_KERNELS_SHAPE);
}

CASE(Angles) {
  using Args = cairn_kernels_kv;
  const std::tuple<const char*, cairn_kernels_status, std::function<void(Args&)>> cases[] = {
      {"style", CAIRN_KERNELS_UNKNOWN, [](Args& a) { a.rope_style = 2; }},
      {"type", CAIRN_KERNELS_DTYPE, [](Args& a) { a.rope_dtype = 3; }},
      {"no pairs", CAIRN_KERNELS_SHAPE, [](Args& a) { a.rope_pairs = 0; }},
      {"odd pairs", CAIRN_KERNELS_SHAPE, [](Args& a) { a.rope_pairs = 3; }},
      {"too many pairs", CAIRN_KERNELS_SHAPE, [](Args& a) { a.rope_pairs = 18; }},
      {"odd first", CAIRN_KERNELS_SHAPE, [](Args& a) { a.rope_first = 1; }},
      {"late first", CAIRN_KERNELS_SHAPE, [](Args& a) { a.rope_first = 18; }},
      {"endless first", CAIRN_KERNELS_SHAPE, [](Args& a) { a.rope_first = kMost - 1; }},
      {"no rows", CAIRN_KERNELS_SHAPE, [](Args& a) { a.rope_rows = 0; }},
      {"no table", CAIRN_KERNELS_NULL, [](Args& a) { a.rope_table = nullptr; }}};
  for (const auto& [what, code, change] : cases) {
    KvProblem p = Sound();
    p.rope_pairs = 8;
    p.rope_table.assign(16, 1.0F);
    p.change = [&fault = change](Args& args, Backend&) { fault(args); };
    Refused(what, code, true, p);
  }
}

CASE(PageIds) {
  for (const std::int32_t page : {-1, -2, 7, kMost, std::numeric_limits<std::int32_t>::min()}) {
    KvProblem p = Sound();
    p.ranges[1].pages[1] = page;
    Refused("page", CAIRN_KERNELS_SLOTS, false, p);
    p.skip_missing = page != -1;
    Refused("page", CAIRN_KERNELS_SLOTS, false, p);
  }
  // One that no token is in is not looked at.
  KvProblem p = Sound();
  p.ranges[1].first_token = 4;
  p.ranges[1].pages[0] = 99;
  for (const auto& backend : Backends()) {
    CHECK_EQ(Run(p, *backend).status, CAIRN_KERNELS_OK);
  }
  const auto pointer = [](const char* what, cairn_kernels_status code, std::size_t part,
                          int shift) {
    KvProblem wrong = Sound();
    wrong.change = [=](cairn_kernels_kv& args, Backend& backend) {
      std::vector<void*> parts;
      for (int i = 0; i < 6; ++i) {
        parts.push_back(static_cast<char*>(args.paged.data) + i * args.paged.kv_stride);
      }
      parts[part] = shift == 0 ? nullptr : static_cast<char*>(parts[part]) + shift;
      args.paged.parts = backend.Put(parts);
    };
    Refused(what, code, false, wrong);
  };
  pointer("no pointer", CAIRN_KERNELS_NULL, 5, 0);
  pointer("crooked pointer", CAIRN_KERNELS_ALIGNMENT, 3, 4);
}

CASE(Ranges) {
  using Range = cairn_kernels_kv_range;
  const auto range = [](const char* what, cairn_kernels_status code,
                        const std::function<void(Range&)>& change) {
    KvProblem p = Sound();
    p.change = [&](cairn_kernels_kv& args, Backend& backend) {
      std::vector<Range> ranges(2);
      backend.Get(ranges, args.ranges);
      change(ranges[1]);
      args.ranges = backend.Put(ranges);
    };
    Refused(what, code, false, p);
  };
  const std::pair<const char*, std::function<void(Range&)>> lengths[] = {
      {"object tokens", [](Range& r) { r.object_tokens = -1; }},
      {"object tokens", [](Range& r) { r.object_tokens = kMost; }},
      {"object first", [](Range& r) { r.object_first = -1; }},
      {"object first", [](Range& r) { r.object_first = 4; }},
      {"object first", [](Range& r) { r.object_first = kMost; }},
      {"tokens", [](Range& r) { r.tokens = -1; }},
      {"tokens", [](Range& r) { r.tokens = 6; }},
      {"first token", [](Range& r) { r.first_token = -1; }},
      {"first token", [](Range& r) { r.first_token = 6; }},
      {"first token", [](Range& r) { r.first_token = kMost; }},
      {"table", [](Range& r) { r.table_at = -1; }},
      {"table", [](Range& r) { r.table_at = 3; }},
      {"table", [](Range& r) { r.table_at = kMost64; }},
      {"object", [](Range& r) { r.object_at = -16; }},
      {"object", [](Range& r) { r.object_at += 16; }},
      {"object", [](Range& r) { r.object_at = kMost64 - 15; }},
      {"leaf", [](Range& r) { r.leaf_at = kMost64; }},
      {"leaf", [](Range& r) { r.leaf_at += 1; }}};
  for (const auto& [what, change] : lengths) {
    range(what, CAIRN_KERNELS_LENGTHS, change);
  }
  range("object", CAIRN_KERNELS_ALIGNMENT, [](Range& r) { r.object_at -= 8; });
  range("angles", CAIRN_KERNELS_POSITIONS, [](Range& r) { r.rope = 0; });
  range("angles", CAIRN_KERNELS_POSITIONS, [](Range& r) { r.rope = -2; });
  range("reserved", CAIRN_KERNELS_UNKNOWN, [](Range& r) { r.reserved = 1; });
  // Objects on each other, and leaves that do not add up: seen on the CPU.
  KvProblem p = Sound();
  p.change = [](cairn_kernels_kv& args, Backend& backend) {
    std::vector<Range> ranges(2);
    backend.Get(ranges, args.ranges);
    ranges[1].object_at = 16;
    args.ranges = backend.Put(ranges);
  };
  CHECK_EQ(Run(p, *Cpu()).status, CAIRN_KERNELS_LENGTHS);
  p.change = [](cairn_kernels_kv& args, Backend&) { args.leaf_count -= 1; };
  CHECK_EQ(Run(p, *Cpu()).status, CAIRN_KERNELS_LENGTHS);
}

CASE(LayoutsOf) {
  cairn_kernels_kv_shape shape = {
      .layers = 2, .kv = 2, .heads = 2, .unit_bytes = 64, .pages = 7, .page_tokens = 4};
  cairn_kernels_kv_layout layout{};
  CHECK_EQ(cairn_kernels_kv_layout_of(0, nullptr, &layout), CAIRN_KERNELS_NULL);
  CHECK_EQ(cairn_kernels_kv_layout_of(0, &shape, nullptr), CAIRN_KERNELS_NULL);
  CHECK_EQ(cairn_kernels_kv_layout_of(-1, &shape, &layout), CAIRN_KERNELS_UNKNOWN);
  CHECK_EQ(cairn_kernels_kv_layout_of(10, &shape, &layout), CAIRN_KERNELS_UNKNOWN);
  CHECK_EQ(cairn_kernels_kv_layout_of(CAIRN_KERNELS_KV_MLA, &shape, &layout), CAIRN_KERNELS_SHAPE);
  for (std::int32_t cairn_kernels_kv_shape::*size :
       {&cairn_kernels_kv_shape::layers, &cairn_kernels_kv_shape::kv,
        &cairn_kernels_kv_shape::heads, &cairn_kernels_kv_shape::unit_bytes,
        &cairn_kernels_kv_shape::pages, &cairn_kernels_kv_shape::page_tokens}) {
    cairn_kernels_kv_shape wrong = shape;
    wrong.*size = 0;
    CHECK_EQ(cairn_kernels_kv_layout_of(0, &wrong, &layout), CAIRN_KERNELS_SHAPE);
  }
  shape.pages = shape.page_tokens = shape.heads = kMost;
  CHECK_EQ(cairn_kernels_kv_layout_of(0, &shape, &layout), CAIRN_KERNELS_SHAPE);
}

// Pages further apart than 2^32 bytes, and an object past 2^32.
CASE(OffsetsPast32Bits) {
  constexpr std::int64_t kApart = (std::int64_t{1} << 32) + 4096;
  constexpr std::size_t kBytes = static_cast<std::size_t>(kApart) * 7;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::printf("NOT TESTED: this machine does not lend 28 GiB of addresses\n");
    return;
  }
  auto* const all = static_cast<std::byte*>(memory);
  KvProblem p;
  p.shape.layers = p.shape.kv = p.shape.heads = 1;
  p.ranges = {{.object_tokens = 4, .tokens = 4, .pages = {6}}};
  const std::int64_t object = 5 * kApart + 1024;
  for (const auto& backend : {Cpu(), Emulated()}) {
    context = backend->name();
    for (int i = 0; i < 256; ++i) {
      all[6 * kApart + i] = static_cast<std::byte>(i);
      all[object + i] = std::byte{0};
    }
    p.change = [&](cairn_kernels_kv& args, Backend& b) {
      args.paged.data = all;
      args.paged.page_stride = kApart;
      args.objects = all;
      args.object_bytes = static_cast<std::int64_t>(kBytes);
      std::vector<cairn_kernels_kv_range> ranges(1);
      b.Get(ranges, args.ranges);
      ranges[0].object_at = object;
      args.ranges = b.Put(ranges);
    };
    CHECK_EQ(Run(p, *backend).status, CAIRN_KERNELS_OK);
    CHECK(std::memcmp(all + object, all + 6 * kApart, 256) == 0);
  }
  munmap(memory, kBytes);
}

}  // namespace
}  // namespace cairn::kernels::test
