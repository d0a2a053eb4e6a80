#include "kernels/tests/kv_problem.h"

#include <algorithm>
#include <cstring>

#include "kernels/kv/digest.h"
#include "kernels/tests/check.h"
#include "kernels/tests/random.h"

namespace cairn::kernels::test {
namespace {

std::size_t Size(std::int64_t n) { return static_cast<std::size_t>(n); }

Bytes RandomBytes(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  Bytes bytes(size);
  for (std::byte& b : bytes) {
    b = static_cast<std::byte>(random.Next());
  }
  // No infinities and NaNs in what may be turned: the top bit of every byte's exponent is off.
  for (std::size_t i = 1; i < size; i += 2) {
    bytes[i] &= std::byte{0xBF};
  }
  return bytes;
}

/// Place of a unit in the pages, counted in units: each kind written out by hand.
std::int64_t UnitOf(const KvProblem& p, std::int64_t layer, std::int64_t kv, std::int64_t page,
                    std::int64_t token, std::int64_t head) {
  const auto& s = p.shape;
  switch (p.kind) {
    case CAIRN_KERNELS_KV_VLLM_NHD:
      return (((layer * s.kv + kv) * s.pages + page) * s.page_tokens + token) * s.heads + head;
    case CAIRN_KERNELS_KV_VLLM_HND:
      return (((layer * s.kv + kv) * s.pages + page) * s.heads + head) * s.page_tokens + token;
    case CAIRN_KERNELS_KV_FLASHINFER_NHD:
      return (((layer * s.pages + page) * s.kv + kv) * s.page_tokens + token) * s.heads + head;
    case CAIRN_KERNELS_KV_FLASHINFER_HND:
      return (((layer * s.pages + page) * s.kv + kv) * s.heads + head) * s.page_tokens + token;
    case CAIRN_KERNELS_KV_LBNHC:
      return (((layer * s.pages + page) * s.page_tokens + token) * s.heads + head) * s.kv + kv;
    case CAIRN_KERNELS_KV_MLA: return (layer * s.pages + page) * s.page_tokens + token;
    case CAIRN_KERNELS_KV_SGLANG_LAYER_FIRST:
      return (((kv * s.layers + layer) * s.pages + page) * s.page_tokens + token) * s.heads + head;
    case CAIRN_KERNELS_KV_SGLANG_PAGE_FIRST:
      return (((kv * s.pages + page) * s.page_tokens + token) * s.layers + layer) * s.heads + head;
    case CAIRN_KERNELS_KV_SGLANG_PAGE_DIRECT:
      return (((kv * s.pages + page) * s.layers + layer) * s.page_tokens + token) * s.heads + head;
    default:
      return (((kv * s.pages + page) * s.heads + head) * s.page_tokens + token) * s.layers + layer;
  }
}

std::int64_t LeavesOf(const KvProblem& p, const KvTokens& range) {
  return (range.object_tokens * p.token_bytes() + 4095) / 4096;
}

void* Shifted(Backend& backend, const Bytes& bytes, int shift) {
  Bytes more(Size(shift), std::byte{0xEE});
  more.insert(more.end(), bytes.begin(), bytes.end());
  return static_cast<std::byte*>(backend.Put(more)) + shift;
}

}  // namespace

std::int64_t KvProblem::object_at(std::size_t range) const {
  std::int64_t at = gap;
  for (std::size_t r = 0; r < range; ++r) {
    at += ranges[r].object_tokens * token_bytes() + gap;
  }
  return at;
}

std::int64_t KvProblem::leaf_at(std::size_t range) const {
  std::int64_t before = 0;
  for (std::size_t r = 0; r < range; ++r) {
    before += LeavesOf(*this, ranges[r]);
  }
  return before;
}

Bytes PagesOf(const KvProblem& p) {
  return RandomBytes(Size(p.shape.pages * p.shape.page_tokens * p.token_bytes()), 1);
}
Bytes ObjectsOf(const KvProblem& p) {
  return p.objects.empty() ? RandomBytes(Size(p.object_at(p.ranges.size())), 2) : p.objects;
}

KvResult Run(const KvProblem& p, Backend& backend) {
  cairn_kernels_kv args{};
  args.struct_bytes = sizeof(args);
  args.direction = p.unpack ? CAIRN_KERNELS_KV_UNPACK : CAIRN_KERNELS_KV_PACK;
  args.layers = p.shape.layers;
  args.kv = p.shape.kv;
  args.heads = p.shape.heads;
  args.unit_bytes = p.shape.unit_bytes;
  args.range_count = static_cast<std::int32_t>(p.ranges.size());
  args.skip_missing = p.skip_missing ? 1 : 0;
  args.max_blocks = p.max_blocks;
  CHECK_EQ(cairn_kernels_kv_layout_of(p.kind, &p.shape, &args.paged), CAIRN_KERNELS_OK);
  KvResult result{CAIRN_KERNELS_OK, PagesOf(p), ObjectsOf(p), {}};
  auto* pages = static_cast<std::byte*>(Shifted(backend, result.pages, p.shift));
  args.paged.data = pages;
  if (p.parts) {
    std::vector<void*> parts;
    for (int layer = 0; layer < p.shape.layers; ++layer) {
      for (int kv = 0; kv < p.shape.kv; ++kv) {
        parts.push_back(pages + layer * args.paged.layer_stride + kv * args.paged.kv_stride);
      }
    }
    args.paged.parts = backend.Put(parts);
    args.paged.data = nullptr;
    args.paged.layer_stride = args.paged.kv_stride = -1;  // Nobody may look at them.
  }
  void* const objects = Shifted(backend, result.objects, p.shift);
  args.objects = objects;
  args.object_bytes = static_cast<std::int64_t>(result.objects.size());
  std::vector<cairn_kernels_kv_range> ranges;
  std::vector<std::int32_t> ids;
  for (std::size_t r = 0; r < p.ranges.size(); ++r) {
    const KvTokens& range = p.ranges[r];
    ranges.push_back({.object_at = p.object_at(r),
                      .leaf_at = p.leaf_at(r),
                      .table_at = static_cast<std::int64_t>(ids.size()),
                      .object_tokens = range.object_tokens,
                      .object_first = range.object_first,
                      .tokens = range.tokens,
                      .first_token = range.first_token,
                      .rope = range.rope,
                      .reserved = 0});
    ids.insert(ids.end(), range.pages.begin(), range.pages.end());
  }
  args.ranges = backend.Put(ranges);
  args.page_ids = backend.Put(ids);
  args.page_id_count = static_cast<std::int64_t>(ids.size());
  args.leaf_count = p.leaf_at(p.ranges.size());
  result.leaves.resize(Size(args.leaf_count));
  if (p.digests) {
    if (p.unpack) {
      result.leaves = p.leaves;
    }
    args.leaves = backend.Put(result.leaves);
  }
  if (p.rope_pairs > 0) {
    args.rope_table = backend.Put(p.rope_table);
    args.rope_pairs = p.rope_pairs;
    args.rope_rows = static_cast<std::int32_t>(p.rope_table.size()) / p.rope_pairs / 2;
    args.rope_first = p.rope_first;
    args.rope_style = p.rope_style;
    args.rope_dtype = p.rope_dtype;
  }
  const void* leaves = args.leaves;
  if (p.change) {
    p.change(args, backend);
  }
  result.status = backend.Kv(args);
  backend.Get(result.pages, pages);
  backend.Get(result.objects, objects);
  if (leaves != nullptr) {
    backend.Get(result.leaves, leaves);
  }
  return result;
}

KvResult ExpectedOf(const KvProblem& p) {
  KvResult result{CAIRN_KERNELS_OK, PagesOf(p), ObjectsOf(p), {}};
  const auto& s = p.shape;
  for (std::size_t r = 0; r < p.ranges.size(); ++r) {
    const KvTokens& range = p.ranges[r];
    std::int64_t at = p.object_at(r);
    for (int layer = 0; layer < s.layers; ++layer) {
      for (int kv = 0; kv < s.kv; ++kv) {
        for (int t = 0; t < range.object_tokens; ++t) {
          for (int head = 0; head < s.heads; ++head, at += s.unit_bytes) {
            const int token = range.first_token + t - range.object_first;
            if (t < range.object_first || t >= range.object_first + range.tokens ||
                range.pages[Size(token / s.page_tokens)] < 0) {
              continue;
            }
            std::byte* unit =
                result.pages.data() + UnitOf(p, layer, kv, range.pages[Size(token / s.page_tokens)],
                                             token % s.page_tokens, head) *
                                          s.unit_bytes;
            std::byte* object = result.objects.data() + at;
            std::memcpy(p.unpack ? unit : object, p.unpack ? object : unit, Size(s.unit_bytes));
          }
        }
      }
    }
    for (std::int64_t leaf = p.object_at(r); leaf < at; leaf += 4096) {
      Bytes bytes(4096);
      std::memcpy(bytes.data(), result.objects.data() + leaf,
                  Size(std::min<std::int64_t>(4096, at - leaf)));
      result.leaves.push_back(LeafDigest(bytes.data()));
    }
  }
  return result;
}

bool Same(const std::vector<cairn_kernels_digest>& a, const std::vector<cairn_kernels_digest>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) {
           return x.low == y.low && x.high == y.high;
         });
}

}  // namespace cairn::kernels::test
