#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/arith/host_device.h"

namespace cairn::kernels {

/// log2(x), the same bits on every machine: -infinity for 0, infinity for infinity, NaN below 0 and
/// for NaN, n for 2^n. Elsewhere, denormals included, within 3.2 ulp (tests/arith_test.cc).
/// x = 2^n m with m in [sqrt(1/2), sqrt(2)), and log2(m) = s p(s^2) with s = (m - 1) / (m + 1). The
/// polynomial is the minimax one of degree 3, by Remez' exchange: relative error 2^-30.
CAIRN_BOTH float Log2(float x) {
  if (!(x > 0.0F)) {
    return x == 0.0F ? FloatOf(0xFF800000U) : FloatOf(0x7FC00000U);
  }
  if (x >= FloatOf(0x7F800000U)) {
    return x;
  }
  const bool denormal = x < 0x1p-126F;
  const std::uint32_t bits = BitsOf(denormal ? x * 0x1p24F : x);
  const auto n =
      static_cast<std::int32_t>(bits - 0x3F3504F3U) >> 23;  // Less the bits of sqrt(1/2).
  const float f = FloatOf(bits - (static_cast<std::uint32_t>(n) << 23U)) - 1.0F;
  const float s = f / (2.0F + f);
  const float z = s * s;
  float p = fmaf(0x1.ba18f8p-2F, z, 0x1.27471cp-1F);
  p = fmaf(p, z, 0x1.ec70e6p-1F);
  p = fmaf(p, z, 0x1.715476p+1F);
  return fmaf(s, p, static_cast<float>(denormal ? n - 24 : n));
}

}  // namespace cairn::kernels
