// KV between pages and objects against one loop over all units, everywhere; digests against
// xxHash's own; turned keys against the rotation in double precision.
#include <cmath>
#include <cstring>

#include "kernels/arith/elements.h"
#include "kernels/kv/digest.h"
#include "kernels/tests/check.h"
#include "kernels/tests/kv_problem.h"
#include "kernels/tests/random.h"

namespace cairn::kernels::test {
namespace {

std::size_t Size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// Whole pages, parts of pages, parts of objects and nothing at all, in mixed order.
std::vector<KvTokens> Ranges() {
  return {{.object_tokens = 8, .tokens = 8, .pages = {5, 2}},
          {.object_tokens = 3, .tokens = 3, .first_token = 2, .pages = {0, 6}},
          {.object_tokens = 0, .pages = {}},
          {.object_tokens = 9, .object_first = 4, .tokens = 1, .first_token = 7, .pages = {-1, 1}},
          {.object_tokens = 5, .object_first = 2, .tokens = 0, .pages = {}},
          {.object_tokens = 4, .tokens = 4, .first_token = 4, .pages = {3, 4}}};
}

/// Runs it everywhere, against what is expected.
void AsExpected(KvProblem p) {
  if (p.unpack && p.digests) {
    p.leaves = ExpectedOf(p).leaves;
  }
  const KvResult expected = ExpectedOf(p);
  const std::string before = context;
  for (const auto& backend : Backends()) {
    context = before + (p.unpack ? ", unpack on " : ", pack on ") + backend->name();
    const KvResult result = Run(p, *backend);
    CHECK_EQ(result.status, CAIRN_KERNELS_OK);
    CHECK(result.pages == expected.pages);
    CHECK(result.objects == expected.objects);
    CHECK(!p.digests || Same(result.leaves, expected.leaves));
  }
  context = before;
}
void BothWays(KvProblem p) {
  for (const bool unpack : {false, true}) {
    p.unpack = unpack;
    AsExpected(p);
  }
}

CASE(EveryLayout) {
  for (int kind = 0; kind <= CAIRN_KERNELS_KV_SGLANG_PAGE_HEAD; ++kind) {
    for (const int unit : {16, 64, 36}) {
      for (const bool digests : {false, true}) {
        context = "kind " + std::to_string(kind) + ", unit " + std::to_string(unit);
        KvProblem p;
        p.kind = kind;
        p.shape.unit_bytes = unit;
        if (kind == CAIRN_KERNELS_KV_MLA) {
          p.shape.kv = p.shape.heads = 1;
        }
        p.ranges = Ranges();
        p.digests = digests;
        p.gap = 16;
        BothWays(p);
        p.parts = true;
        BothWays(p);
      }
    }
  }
}

CASE(ShapesAndAlignments) {
  const cairn_kernels_kv_shape shapes[] = {
      {.layers = 1, .kv = 1, .heads = 1, .unit_bytes = 4, .pages = 7, .page_tokens = 4},
      {.layers = 2, .kv = 2, .heads = 3, .unit_bytes = 256, .pages = 7, .page_tokens = 4},
      {.layers = 1, .kv = 2, .heads = 1, .unit_bytes = 4112, .pages = 7, .page_tokens = 4},
      {.layers = 2, .kv = 1, .heads = 1, .unit_bytes = 1152, .pages = 7, .page_tokens = 4},
      {.layers = 5, .kv = 1, .heads = 7, .unit_bytes = 132, .pages = 7, .page_tokens = 4}};
  for (const auto& shape : shapes) {
    for (const int shift : {0, 4}) {
      context = "unit " + std::to_string(shape.unit_bytes) + ", shift " + std::to_string(shift);
      KvProblem p;
      p.shape = shape;
      p.shift = shift;
      p.gap = shift == 0 ? 32 : 4;
      p.ranges = Ranges();
      p.digests = true;
      BothWays(p);
    }
  }
}

CASE(LengthsAtTheEdges) {
  for (const int tokens : {0, 1, 63, 64, 65}) {
    for (const int page_tokens : {1, 16, 64}) {
      context = std::to_string(tokens) + " tokens in pages of " + std::to_string(page_tokens);
      KvProblem p;
      p.shape.page_tokens = page_tokens;
      p.shape.pages = 67;
      KvTokens range{.object_tokens = tokens, .tokens = tokens, .first_token = 1};
      for (int page = 0; page <= tokens / page_tokens + 1; ++page) {
        range.pages.push_back(p.shape.pages - 1 - page);
      }
      p.ranges = {range};
      p.digests = tokens % 2 == 1;
      BothWays(p);
    }
  }
}

// Every range of tokens of a small object, into and out of it.
CASE(EveryRangeOfTokens) {
  for (int first = 0; first <= 6; ++first) {
    for (int tokens = 0; first + tokens <= 6; ++tokens) {
      context = std::to_string(first) + " + " + std::to_string(tokens);
      KvProblem p;
      p.ranges = {{.object_tokens = 6,
                   .object_first = first,
                   .tokens = tokens,
                   .first_token = 3,
                   .pages = {1, 4, 0}}};
      BothWays(p);
    }
  }
}

CASE(PackedAndUnpackedIsWhatItWas) {
  for (const auto& backend : Backends()) {
    context = backend->name();
    KvProblem p;
    p.kind = CAIRN_KERNELS_KV_VLLM_HND;
    p.digests = true;
    p.ranges = {{.object_tokens = 28, .tokens = 28, .pages = {0, 1, 2, 3, 4, 5, 6}}};
    const KvResult packed = Run(p, *backend);
    p.unpack = true;
    p.objects = packed.objects;
    p.leaves = packed.leaves;
    void* pages = nullptr;
    p.change = [&](cairn_kernels_kv& args, Backend& b) {
      pages = b.Put(nullptr, packed.pages.size());
      args.paged.data = pages;
    };
    CHECK_EQ(Run(p, *backend).status, CAIRN_KERNELS_OK);
    Bytes back(packed.pages.size());
    backend->Get(back, pages);
    CHECK(back == PagesOf(p));
  }
}

CASE(MissingPages) {
  KvProblem p;
  p.ranges = {{.object_tokens = 12, .tokens = 12, .pages = {5, -1, 3}}};
  p.digests = true;
  p.skip_missing = true;
  BothWays(p);
}

// The quota changes no bit, nor does the order in which threads take turns.
CASE(AnyNumberOfBlocksAndOrderOfThreads) {
  KvProblem p;
  p.shape.unit_bytes = 1024;
  p.ranges = Ranges();
  p.digests = true;
  for (const int blocks : {1, 2, 3, 1000}) {
    p.max_blocks = blocks;
    BothWays(p);
  }
  const KvResult expected = ExpectedOf(p);
  for (const unsigned seed : {1U, 2U, 3U}) {
    const KvResult result = Run(p, *Emulated(seed));
    CHECK(result.objects == expected.objects);
    CHECK(Same(result.leaves, expected.leaves));
  }
}

// A leaf that was damaged is not copied; all others are.
CASE(DamagedLeaves) {
  KvProblem p;
  p.shape.unit_bytes = 256;
  p.ranges = {{.object_tokens = 12, .tokens = 12, .pages = {5, 1, 3}}};
  p.unpack = true;
  p.digests = true;
  const KvResult whole = ExpectedOf(p);
  p.leaves = whole.leaves;
  for (std::size_t bit = 0; bit < whole.objects.size() * 8; bit += 8191 * 5) {
    p.objects = whole.objects;
    p.objects[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    for (const auto& backend : Backends()) {
      context = "bit " + std::to_string(bit) + " on " + backend->name();
      const KvResult result = Run(p, *backend);
      CHECK_EQ(result.status, CAIRN_KERNELS_CHECKSUM);
      // What differs from the whole copy is as it was, one leaf of bytes in all.
      const Bytes before = PagesOf(p);
      std::size_t missing = 0;
      for (std::size_t i = 0; i < before.size(); ++i) {
        if (result.pages[i] != whole.pages[i]) {
          CHECK(result.pages[i] == before[i]);
          ++missing;
        }
      }
      CHECK_LE(missing, Size(4096));
      CHECK_LE(Size(3000), missing);
    }
  }
}

// Made with XXH3_128bits of libxxhash 0.8.1.
CASE(DigestsAreXxHashs) {
  const cairn_kernels_digest known[] = {{0x93D76FE148C689BAU, 0x3EE8DC4F9E7EE495U},
                                        {0x074CFAC273851DD6U, 0x5D26B21D7E0140BDU},
                                        {0x730B7FD9161947E3U, 0x49FA8CB592C2C384U},
                                        {0xFD523E7E53F2F211U, 0x536C5E1B45262B55U},
                                        {0xD19FA37F651EC9F4U, 0x0B8B686F0402AFA0U}};
  for (std::size_t n = 0; n < 5; ++n) {
    std::vector<std::uint8_t> leaf(4096, n == 0 ? 0 : 0xFF);
    Random random(n);
    for (std::size_t i = 0; n > 1 && i < leaf.size(); ++i) {
      leaf[i] = static_cast<std::uint8_t>(random.Next());
    }
    const cairn_kernels_digest digest = LeafDigest(leaf.data());
    CHECK_EQ(digest.low, known[n].low);
    CHECK_EQ(digest.high, known[n].high);
  }
}

/// Angles of `deltas`, with the frequencies of a base of 10,000.
std::vector<float> Table(int pairs, const std::vector<std::int64_t>& deltas) {
  std::vector<double> frequencies;
  for (int i = 0; i < pairs; ++i) {
    frequencies.push_back(std::pow(10000.0, -static_cast<double>(i) / pairs));
  }
  std::vector<float> table(deltas.size() * Size(2 * pairs));
  for (std::size_t d = 0; d < deltas.size(); ++d) {
    CHECK_EQ(cairn_kernels_rope_row(frequencies.data(), pairs, deltas[d],
                                    table.data() + d * Size(2 * pairs)),
             CAIRN_KERNELS_OK);
  }
  return table;
}

double Element(const Bytes& bytes, std::size_t at, int dtype) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, bytes.data() + at, dtype == CAIRN_KERNELS_F32 ? 4 : 2);
  const auto half = static_cast<std::uint16_t>(bits);
  if (dtype == CAIRN_KERNELS_F32) {
    return FloatOf(bits);
  }
  return dtype == CAIRN_KERNELS_BF16 ? ToFloat(Bf16{half}) : ToFloat(F16{half});
}

/// All units of `turned` against `plain`: turned pairs near the rotation, all else the same bytes.
void NearRotation(const KvProblem& p, const Bytes& plain, const Bytes& turned, int layer_units,
                  int key_units) {
  const int width = p.rope_dtype == CAIRN_KERNELS_F32 ? 4 : 2;
  const double rounding = p.rope_dtype == CAIRN_KERNELS_F32   ? 4e-7
                          : p.rope_dtype == CAIRN_KERNELS_F16 ? 1e-3
                                                              : 8e-3;
  const auto unit = Size(p.shape.unit_bytes);
  for (std::size_t u = 0; u * unit < plain.size(); ++u) {
    const bool key = static_cast<int>(u) % layer_units < key_units;
    for (int e = 0; e * width < p.shape.unit_bytes; ++e) {
      const int from = e - p.rope_first;
      const std::size_t at = u * unit + Size(e * width);
      if (!key || from < 0 || from >= 2 * p.rope_pairs) {
        CHECK(std::memcmp(&plain[at], &turned[at], Size(width)) == 0);
        continue;
      }
      const bool halves = p.rope_style == CAIRN_KERNELS_ROPE_HALVES;
      const int pair = halves ? from % p.rope_pairs : from / 2;
      const int first = p.rope_first + (halves ? pair : 2 * pair);
      const int second = first + (halves ? p.rope_pairs : 1);
      const double x = Element(plain, u * unit + Size(first * width), p.rope_dtype);
      const double y = Element(plain, u * unit + Size(second * width), p.rope_dtype);
      const double c = p.rope_table[Size(2 * pair)];
      const double s = p.rope_table[Size(2 * pair) + 1];
      const double exact = e == first ? x * c - y * s : y * c + x * s;
      CHECK_LE(std::fabs(Element(turned, at, p.rope_dtype) - exact),
               rounding * (std::fabs(x) + std::fabs(y)) + 1e-7);
    }
  }
}

CASE(TurnedKeys) {
  for (const int style : {CAIRN_KERNELS_ROPE_HALVES, CAIRN_KERNELS_ROPE_PAIRS}) {
    for (const int dtype : {CAIRN_KERNELS_F32, CAIRN_KERNELS_BF16, CAIRN_KERNELS_F16}) {
      for (const int first : {0, 2, 16}) {  // 2: 4 bytes at a time.
        context = "style " + std::to_string(style) + ", dtype " + std::to_string(dtype) +
                  ", first " + std::to_string(first);
        KvProblem p;
        p.shape.unit_bytes = dtype == CAIRN_KERNELS_F32 ? 192 : 96;  // 48 elements.
        p.rope_style = style;
        p.rope_dtype = dtype;
        p.rope_pairs = first == 0 ? 24 : 8;
        p.rope_first = first;
        p.rope_table = Table(p.rope_pairs, {1000, -3});
        p.ranges = {{.object_tokens = 12, .tokens = 12, .pages = {5, 1, 3}, .rope = 0}};
        const Bytes plain = ExpectedOf(p).objects;
        const KvResult packed = Run(p, *Cpu());
        NearRotation(p, plain, packed.objects, 2 * 12 * 2, 12 * 2);
        p.ranges.push_back(
            {.object_tokens = 5, .tokens = 5, .first_token = 1, .pages = {6, 2}, .rope = 1});
        p.ranges.push_back({.object_tokens = 4, .tokens = 4, .pages = {4}});
        for (const bool unpack : {false, true}) {
          p.unpack = unpack;
          p.digests = false;
          p.objects.clear();
          const KvResult without = Run(p, *Cpu());
          p.digests = true;
          p.leaves = ExpectedOf(p).leaves;
          const KvResult on_cpu = Run(p, *Cpu());
          CHECK(without.objects == on_cpu.objects && without.pages == on_cpu.pages);
          for (const auto& backend : Backends()) {
            const KvResult result = Run(p, *backend);
            CHECK_EQ(result.status, CAIRN_KERNELS_OK);
            CHECK(result.objects == on_cpu.objects);
            CHECK(result.pages == on_cpu.pages);
            CHECK(Same(result.leaves, on_cpu.leaves));
          }
        }
      }
    }
  }
}

CASE(AnglesAreThoseOfTheLibrary) {
  Random random(9);
  double worst = 0;
  for (int i = 0; i < 100000; ++i) {
    const auto delta = static_cast<std::int64_t>(random.Next() % 2097152) - 1048576;
    const double frequency = std::pow(1e6, -random.Uniform());
    float row[2];
    CHECK_EQ(cairn_kernels_rope_row(&frequency, 1, delta, row), CAIRN_KERNELS_OK);
    const double angle = static_cast<double>(delta) * frequency;
    worst = std::fmax(worst, std::fabs(row[0] - std::cos(angle)));
    worst = std::fmax(worst, std::fabs(row[1] - std::sin(angle)));
  }
  CHECK_LE(worst, 3.1e-8);  // Half a unit in the last place of a float below 1.
  const double frequency = 1;
  float row[2];
  CHECK_EQ(cairn_kernels_rope_row(&frequency, 1, 0, row), CAIRN_KERNELS_OK);
  CHECK_EQ(row[0], 1.0F);
  CHECK_EQ(row[1], 0.0F);
  CHECK_EQ(cairn_kernels_rope_row(nullptr, 1, 0, row), CAIRN_KERNELS_NULL);
  CHECK_EQ(cairn_kernels_rope_row(&frequency, 0, 0, row), CAIRN_KERNELS_SHAPE);
  const double endless = HUGE_VAL;
  CHECK_EQ(cairn_kernels_rope_row(&endless, 1, 1, row), CAIRN_KERNELS_SHAPE);
  CHECK_EQ(cairn_kernels_rope_row(&endless, 1, 0, row), CAIRN_KERNELS_SHAPE);
}

CASE(WhichWayToCopy) {
  constexpr std::int64_t kKib = 1024;
  CHECK_EQ(cairn_kernels_copy_way_of(64 * kKib, 1 << 30), CAIRN_KERNELS_COPY_BY_ENGINE);
  CHECK_EQ(cairn_kernels_copy_way_of(28 * kKib - 1, 1), CAIRN_KERNELS_COPY_BY_KERNEL);
  CHECK_EQ(cairn_kernels_copy_way_of(28 * kKib, 0), CAIRN_KERNELS_COPY_BY_ENGINE);
  CHECK_EQ(cairn_kernels_copy_way_of(40 * kKib, 48 * kKib), CAIRN_KERNELS_COPY_BY_KERNEL);
  CHECK_EQ(cairn_kernels_copy_way_of(48 * kKib, 48 * kKib), CAIRN_KERNELS_COPY_BY_ENGINE);
}

}  // namespace
}  // namespace cairn::kernels::test
