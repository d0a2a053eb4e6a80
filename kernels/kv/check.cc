#include "kernels/kv/check.h"

#include <cstdint>

namespace cairn::kernels {
namespace {

/// Of n below 2^31 by d, exactly.
Divider DividerOf(std::int32_t d) {
  const auto by = static_cast<std::uint64_t>(d);
  std::uint32_t shift = 0;
  while (std::uint64_t{1} << shift < by) {
    ++shift;
  }
  const std::uint64_t rest = (std::uint64_t{1} << shift) - by;
  return {static_cast<std::uint32_t>((rest << 32U) / by + 1), shift};
}

/// A stride of a dimension of `count` places that are `least` bytes long: what lies there must not
/// overlap, and its end is added to `end`. 2^56 is far more than any memory.
bool Stride(std::int64_t stride, std::int64_t count, std::int64_t least, std::int64_t& end) {
  constexpr std::int64_t kMost = std::int64_t{1} << 56;
  if (stride < 0 || (count > 1 && stride < least) || stride > kMost / count) {
    return false;
  }
  end += stride * (count - 1);
  return true;
}

bool Strides(const cairn_kernels_kv& args) {
  const cairn_kernels_kv_layout& paged = args.paged;
  const bool one = paged.parts == nullptr;
  std::int64_t end = 0;
  return (!one || (Stride(paged.layer_stride, args.layers, args.unit_bytes, end) &&
                   Stride(paged.kv_stride, args.kv, args.unit_bytes, end))) &&
         Stride(paged.page_stride, paged.pages, args.unit_bytes, end) &&
         Stride(paged.token_stride, paged.page_tokens, args.unit_bytes, end) &&
         Stride(paged.head_stride, args.heads, args.unit_bytes, end);
}

cairn_kernels_status CheckRope(const cairn_kernels_kv& args, KvPlan& plan) {
  if (args.rope_table == nullptr) {
    return args.rope_rows == 0 ? CAIRN_KERNELS_OK : CAIRN_KERNELS_NULL;
  }
  if (args.rope_style != CAIRN_KERNELS_ROPE_HALVES && args.rope_style != CAIRN_KERNELS_ROPE_PAIRS) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (args.rope_dtype != CAIRN_KERNELS_F32 && args.rope_dtype != CAIRN_KERNELS_BF16 &&
      args.rope_dtype != CAIRN_KERNELS_F16) {
    return CAIRN_KERNELS_DTYPE;
  }
  plan.rope_element = args.rope_dtype == CAIRN_KERNELS_F32 ? 4 : 2;
  const int elements = args.unit_bytes / plan.rope_element;
  if (args.rope_rows <= 0 || args.rope_pairs <= 0 || args.rope_pairs % 2 != 0 ||
      args.rope_first < 0 || args.rope_first % 2 != 0 || args.rope_pairs > elements / 2 ||
      args.rope_first > elements - 2 * args.rope_pairs) {
    return CAIRN_KERNELS_SHAPE;
  }
  plan.rope_begin = args.rope_first * plan.rope_element;
  plan.rope_end = plan.rope_begin + 2 * args.rope_pairs * plan.rope_element;
  return CAIRN_KERNELS_OK;
}

/// What every address is a multiple of: 16, 4 or nothing of use.
int WordBytes(const cairn_kernels_kv& args, const KvPlan& plan) {
  const cairn_kernels_kv_layout& paged = args.paged;
  const bool one = paged.parts == nullptr;
  const std::uint64_t all =
      static_cast<std::uint64_t>(args.unit_bytes) | reinterpret_cast<std::uintptr_t>(args.objects) |
      static_cast<std::uint64_t>(paged.page_stride | paged.token_stride | paged.head_stride) |
      (one ? reinterpret_cast<std::uintptr_t>(paged.data) |
                 static_cast<std::uint64_t>(paged.layer_stride | paged.kv_stride)
           : 0) |
      static_cast<std::uint64_t>(plan.rope_begin | (plan.rope_end - plan.rope_begin) / 2);
  if (all % 16 == 0) {
    return 16;
  }
  return all % 4 == 0 ? 4 : 1;
}

cairn_kernels_status CheckPointers(const cairn_kernels_kv& args) {
  const bool paged = args.paged.data != nullptr || args.paged.parts != nullptr;
  const bool pages = args.page_ids != nullptr || args.page_id_count == 0;
  return paged && pages && args.objects != nullptr && args.ranges != nullptr ? CAIRN_KERNELS_OK
                                                                             : CAIRN_KERNELS_NULL;
}

bool Options(const cairn_kernels_kv& args) {
  return args.struct_bytes == sizeof(args) &&
         (args.direction == CAIRN_KERNELS_KV_PACK || args.direction == CAIRN_KERNELS_KV_UNPACK) &&
         (args.skip_missing == 0 || args.skip_missing == 1);
}

bool Sizes(const cairn_kernels_kv& args) {
  return args.layers > 0 && args.layers <= 65535 && (args.kv == 1 || args.kv == 2) &&
         args.heads > 0 && args.heads <= 65535 && args.unit_bytes > 0 &&
         args.unit_bytes <= 1 << 20 && args.paged.pages > 0 && args.paged.page_tokens > 0 &&
         args.range_count >= 0 && args.object_bytes >= 0 && args.page_id_count >= 0 &&
         args.leaf_count >= 0 && args.max_blocks >= 0 && args.rope_rows >= 0;
}

}  // namespace

cairn_kernels_status CheckKv(const cairn_kernels_kv* args, KvPlan& plan) {
  if (args == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (!Options(*args)) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  if (!Sizes(*args)) {
    return CAIRN_KERNELS_SHAPE;
  }
  plan = {};
  plan.args = *args;
  if (args->range_count == 0 || args->leaf_count == 0) {
    return CAIRN_KERNELS_OK;  // There is nothing to copy.
  }
  if (const auto status = CheckPointers(*args)) {
    return status;
  }
  if (!Strides(*args)) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (const auto status = CheckRope(*args, plan)) {
    return status;
  }
  plan.word_bytes = WordBytes(*args, plan);
  if (plan.word_bytes < 4) {
    return CAIRN_KERNELS_ALIGNMENT;
  }
  plan.token_bytes =
      std::int64_t{args->layers} * args->kv * args->heads * args->unit_bytes;  // At most 2^53.
  plan.unit_words = DividerOf(args->unit_bytes / plan.word_bytes);
  plan.heads = DividerOf(args->heads);
  plan.page_tokens = DividerOf(args->paged.page_tokens);
  return CAIRN_KERNELS_OK;
}

namespace {

cairn_kernels_status CheckPages(const KvPlan& plan, const cairn_kernels_kv_range& range) {
  const cairn_kernels_kv& args = plan.args;
  const std::int64_t first = range.first_token / args.paged.page_tokens;
  const std::int64_t end = std::int64_t{range.first_token} + range.tokens;
  for (std::int64_t e = first; range.tokens > 0 && e * args.paged.page_tokens < end; ++e) {
    const std::int32_t page = args.page_ids[range.table_at + e];
    const bool missing = page == -1 && args.skip_missing != 0;
    if (!missing && (page < 0 || page >= args.paged.pages)) {
      return CAIRN_KERNELS_SLOTS;
    }
  }
  return CAIRN_KERNELS_OK;
}

/// Objects that are packed must not overlap. Quadratic, as nothing may be allocated; in order of
/// their places, which they usually have, it is one pass.
bool ObjectsApart(const KvPlan& plan) {
  const cairn_kernels_kv& args = plan.args;
  const auto end = [&](int r) {
    return args.ranges[r].object_at + args.ranges[r].object_tokens * plan.token_bytes;
  };
  bool ordered = true;
  for (int r = 1; r < args.range_count; ++r) {
    ordered = ordered && args.ranges[r].object_at >= end(r - 1);
  }
  for (int a = 0; !ordered && a < args.range_count; ++a) {
    for (int b = 0; b < a; ++b) {
      if (args.ranges[a].object_at < end(b) && args.ranges[b].object_at < end(a)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

cairn_kernels_status CheckKvLists(const KvPlan& plan) {
  const cairn_kernels_kv& args = plan.args;
  std::int64_t leaves = 0;
  for (int r = 0; r < args.range_count; ++r) {
    KvObject object{};
    if (const int error = ReadKvObject(plan, args.ranges[r], object)) {
      return static_cast<cairn_kernels_status>(error);
    }
    if (args.ranges[r].leaf_at != leaves) {
      return CAIRN_KERNELS_LENGTHS;
    }
    leaves += object.leaves;
    if (const auto status = CheckPages(plan, args.ranges[r])) {
      return status;
    }
  }
  if (leaves != args.leaf_count) {
    return CAIRN_KERNELS_LENGTHS;
  }
  for (int i = 0; args.paged.parts != nullptr && i < args.layers * args.kv; ++i) {
    if (args.paged.parts[i] == nullptr) {
      return CAIRN_KERNELS_NULL;
    }
    if (reinterpret_cast<std::uintptr_t>(args.paged.parts[i]) %
            static_cast<unsigned>(plan.word_bytes) !=
        0) {
      return CAIRN_KERNELS_ALIGNMENT;
    }
  }
  return args.direction == CAIRN_KERNELS_KV_UNPACK || ObjectsApart(plan) ? CAIRN_KERNELS_OK
                                                                         : CAIRN_KERNELS_LENGTHS;
}

}  // namespace cairn::kernels
