#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/kv/plan.h"

// The turning of keys. A word here is 4 bytes: one f32 element or two of 16 bits.
namespace cairn::kernels {

/// Element `second` of the pair (x, y), turned.
CAIRN_BOTH float Turned(const float* angle, bool second, float x, float y) {
  return second ? fmaf(y, angle[0], x * angle[1]) : fmaf(x, angle[0], -(y * angle[1]));
}

/// How many bytes from a 4-byte word its partner word is, which has the other elements of its
/// pairs.
CAIRN_BOTH std::int32_t PartnerAt(const KvPlan& plan, std::int32_t byte) {
  if (plan.args.rope_style == CAIRN_KERNELS_ROPE_HALVES) {
    const std::int32_t half = plan.args.rope_pairs * plan.rope_element;
    return byte - plan.rope_begin < half ? half : -half;
  }
  if (plan.rope_element == 4) {
    return (byte - plan.rope_begin) / 4 % 2 == 0 ? 4 : -4;
  }
  return 0;
}

CAIRN_BOTH float HalfFloat(const KvPlan& plan, std::uint32_t bits) {
  const auto half = static_cast<std::uint16_t>(bits);
  return plan.args.rope_dtype == CAIRN_KERNELS_BF16 ? ToFloat(Bf16{half}) : ToFloat(F16{half});
}
CAIRN_BOTH std::uint32_t HalfBits(const KvPlan& plan, float value) {
  return plan.args.rope_dtype == CAIRN_KERNELS_BF16 ? Bf16Bits(value) : F16Bits(value);
}

/// The 4-byte word at `byte` of a unit, turned. `angles`: (cos, sin) by pair.
CAIRN_BOTH std::uint32_t TurnedWord(const KvPlan& plan, const float* angles, std::int32_t byte,
                                    std::uint32_t word, std::uint32_t partner) {
  const bool halves = plan.args.rope_style == CAIRN_KERNELS_ROPE_HALVES;
  const std::int32_t element = (byte - plan.rope_begin) / plan.rope_element;
  const bool second = halves ? element >= plan.args.rope_pairs : element % 2 != 0;
  const std::int32_t pair = halves ? element % plan.args.rope_pairs : element / 2;
  const float* angle = angles + 2 * pair;
  if (plan.rope_element == 4) {
    const float mine = FloatOf(word);
    const float other = FloatOf(partner);
    return BitsOf(Turned(angle, second, second ? other : mine, second ? mine : other));
  }
  float low = HalfFloat(plan, word & 0xFFFFU);
  float high = HalfFloat(plan, word >> 16U);
  if (halves) {
    const float other_low = HalfFloat(plan, partner & 0xFFFFU);
    const float other_high = HalfFloat(plan, partner >> 16U);
    low = Turned(angle, second, second ? other_low : low, second ? low : other_low);
    high = Turned(angle + 2, second, second ? other_high : high, second ? high : other_high);
  } else {
    const float x = low;
    low = Turned(angle, false, x, high);
    high = Turned(angle, true, x, high);
  }
  return HalfBits(plan, high) << 16U | HalfBits(plan, low);
}

}  // namespace cairn::kernels
