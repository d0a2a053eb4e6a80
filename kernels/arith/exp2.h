#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/arith/host_device.h"

namespace cairn::kernels {

constexpr float kLog2E = 0x1.715476p+0F;

/// 2^x, the same bits on every machine, which neither libm's nor CUDA's are. 0 at and below -150,
/// infinity from 128 on, NaN for NaN. Elsewhere within 1.01 ulp of normal results
/// (tests/arith_test.cc).
/// The polynomial is the minimax one of degree 6 for 2^f on [-1/2, 1/2], by Remez' exchange: error
/// 2^-29, so that what remains is the rounding of the last step.
CAIRN_BOTH float Exp2(float x) {
  if (!(x > -150.0F)) {
    return x <= -150.0F ? 0.0F : x;
  }
  if (x >= 128.0F) {
    return FloatOf(0x7F800000U);
  }
  // Adding 1.5 * 2^23 leaves x rounded to an integer in the low bits.
  const float shifted = x + 12582912.0F;
  const float f = x - (shifted - 12582912.0F);
  const auto n = static_cast<std::int32_t>(BitsOf(shifted) - 0x4B400000U);
  float p = fmaf(0x1.41d334p-13F, f, 0x1.5f456ap-10F);
  p = fmaf(p, f, 0x1.3b2dbcp-7F);
  p = fmaf(p, f, 0x1.c6aed4p-5F);
  p = fmaf(p, f, 0x1.ebfbdap-3F);
  p = fmaf(p, f, 0x1.62e430p-1F);
  p = fmaf(p, f, 1.0F);
  // In two steps: 2^n alone may be denormal or infinite where the product is not.
  const std::int32_t half = n / 2;
  const float first = FloatOf(static_cast<std::uint32_t>(half + 127) << 23U);
  const float second = FloatOf(static_cast<std::uint32_t>(n - half + 127) << 23U);
  return p * first * second;
}

}  // namespace cairn::kernels
