#pragma once

#include <cstdint>

#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels.h"

// Which byte of an object is which byte of which page: what the CPU and the GPU must agree about.
namespace cairn::kernels {

/// Division by a number that is known before the launch, of numbers below 2^31 (Granlund and
/// Montgomery 1994): a multiplication, an addition and a shift.
struct Divider {
  std::uint32_t multiplier;
  std::uint32_t shift;
};
CAIRN_BOTH std::uint32_t Divide(std::uint32_t n, const Divider& by) {
  const auto high = static_cast<std::uint32_t>((std::uint64_t{n} * by.multiplier) >> 32U);
  return (high + n) >> by.shift;
}

/// A call, and what is worked out from it once. A word is the most bytes that everything is
/// aligned to, 16 or 4.
struct KvPlan {
  cairn_kernels_kv args;
  std::int64_t token_bytes;  ///< Of all layers.
  std::int32_t word_bytes;
  std::int32_t rope_element;  ///< Bytes of one.
  std::int32_t rope_begin;    ///< In a unit, in bytes; 0 and 0: there is nothing to turn.
  std::int32_t rope_end;
  Divider unit_words;
  Divider heads;
  Divider page_tokens;
};

/// A range, looked at.
struct KvObject {
  cairn_kernels_kv_range range;
  std::int64_t bytes;
  std::int64_t leaves;
  std::uint32_t slab_rows;  ///< Of one layer's K or V: tokens times heads.
};

CAIRN_BOTH int ReadKvObject(const KvPlan& plan, const cairn_kernels_kv_range& range,
                            KvObject& object) {
  const cairn_kernels_kv& args = plan.args;
  object.range = range;
  if (range.object_tokens < 0 || range.object_first < 0 || range.tokens < 0 ||
      range.first_token < 0 ||
      std::int64_t{range.object_first} + range.tokens > range.object_tokens ||
      std::int64_t{range.first_token} + range.tokens > INT32_MAX ||
      range.object_tokens > std::int64_t{INT32_MAX} * plan.word_bytes / plan.token_bytes) {
    return CAIRN_KERNELS_LENGTHS;
  }
  if (range.reserved != 0) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  object.bytes = range.object_tokens * plan.token_bytes;
  object.leaves = (object.bytes + CAIRN_KERNELS_LEAF_BYTES - 1) / CAIRN_KERNELS_LEAF_BYTES;
  object.slab_rows =
      static_cast<std::uint32_t>(range.object_tokens) * static_cast<std::uint32_t>(args.heads);
  const std::int64_t last = std::int64_t{range.first_token} + range.tokens - 1;
  const std::int64_t entries = range.tokens == 0 ? 0 : last / args.paged.page_tokens + 1;
  if (range.object_at < 0 || range.object_at > args.object_bytes - object.bytes ||
      range.leaf_at < 0 || range.leaf_at > args.leaf_count - object.leaves || range.table_at < 0 ||
      range.table_at > args.page_id_count - entries) {
    return CAIRN_KERNELS_LENGTHS;
  }
  if (range.object_at % plan.word_bytes != 0) {
    return CAIRN_KERNELS_ALIGNMENT;
  }
  return range.rope >= -1 && range.rope < args.rope_rows ? CAIRN_KERNELS_OK
                                                         : CAIRN_KERNELS_POSITIONS;
}

/// What lies at one place of an object.
struct KvPlace {
  std::uint32_t layer;
  std::uint32_t kv;
  std::uint32_t token;
  std::uint32_t head;
  std::int32_t byte;  ///< In the unit.
};

/// Of the word at `at` bytes in the object.
CAIRN_BOTH KvPlace PlaceOf(const KvPlan& plan, const KvObject& object, std::int64_t at) {
  const auto word = static_cast<std::uint32_t>(at / plan.word_bytes);
  const std::uint32_t row = Divide(word, plan.unit_words);
  const std::uint32_t unit_words = static_cast<std::uint32_t>(plan.args.unit_bytes) /
                                   static_cast<std::uint32_t>(plan.word_bytes);
  const std::uint32_t slab = row / object.slab_rows;
  const std::uint32_t rest = row - slab * object.slab_rows;
  const auto heads = static_cast<std::uint32_t>(plan.args.heads);
  KvPlace place{};
  place.token = Divide(rest, plan.heads);
  place.head = rest - place.token * heads;
  place.layer = plan.args.kv == 2 ? slab / 2 : slab;
  place.kv = plan.args.kv == 2 ? slab % 2 : 0;
  place.byte = static_cast<std::int32_t>(word - row * unit_words) * plan.word_bytes;
  return place;
}

/// Where in the pages that is; null if this is not to be copied, with what is wrong, if anything,
/// in `error`.
CAIRN_BOTH unsigned char* PagedAt(const KvPlan& plan, const KvObject& object, const KvPlace& place,
                                  int& error) {
  const cairn_kernels_kv_layout& paged = plan.args.paged;
  const auto first = static_cast<std::uint32_t>(object.range.object_first);
  if (place.token < first ||
      place.token - first >= static_cast<std::uint32_t>(object.range.tokens)) {
    return nullptr;
  }
  const std::uint32_t token =
      place.token - first + static_cast<std::uint32_t>(object.range.first_token);
  const std::uint32_t entry = Divide(token, plan.page_tokens);
  const std::int32_t page = plan.args.page_ids[object.range.table_at + entry];
  if (page < 0 || page >= paged.pages) {
    if (page != -1 || plan.args.skip_missing == 0) {
      error = CAIRN_KERNELS_SLOTS;
    }
    return nullptr;
  }
  auto* at = static_cast<unsigned char*>(paged.data);
  if (paged.parts != nullptr) {
    at = static_cast<unsigned char*>(
        paged.parts[std::int64_t{place.layer} * plan.args.kv + place.kv]);
    if (at == nullptr ||
        reinterpret_cast<std::uintptr_t>(at) % static_cast<unsigned>(plan.word_bytes) != 0) {
      error = at == nullptr ? CAIRN_KERNELS_NULL : CAIRN_KERNELS_ALIGNMENT;
      return nullptr;
    }
  } else {
    at += place.layer * paged.layer_stride + place.kv * paged.kv_stride;
  }
  const std::uint32_t in_page = token - entry * static_cast<std::uint32_t>(paged.page_tokens);
  return at + page * paged.page_stride + in_page * paged.token_stride +
         place.head * paged.head_stride + place.byte;
}

/// The row of angles that turns this place, or null.
CAIRN_BOTH const float* AnglesOf(const KvPlan& plan, const KvObject& object, const KvPlace& place) {
  const bool turned = object.range.rope >= 0 && place.kv == 0 && place.byte >= plan.rope_begin &&
                      place.byte < plan.rope_end;
  return turned ? plan.args.rope_table + std::int64_t{object.range.rope} * plan.args.rope_pairs * 2
                : nullptr;
}

}  // namespace cairn::kernels
