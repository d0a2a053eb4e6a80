#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/arith/elements.h"
#include "kernels/arith/host_device.h"

// A value and its code. All of it is fp32 arithmetic that IEEE 754 fixes to the bit (add, subtract,
// multiply, divide, round to nearest even, no contraction, denormals kept) and integers, no libm:
// the same codes on every machine.
namespace cairn::kernels {

constexpr float kInt8Max = 127.0F;
constexpr std::int8_t kInt8Nan = -128;
constexpr float kFp8Max = 448.0F;  ///< Largest e4m3.
constexpr std::uint8_t kFp8Nan = 0x7F;
/// Scales below the smallest normal number count as zero: what they would tell apart is nothing.
constexpr float kMinScale = 0x1p-126F;
/// Differences above it count as not finite: a few roundings up must not overflow.
constexpr float kMaxDifference = 0x1p126F;

CAIRN_BOTH float Magnitude(float value) { return FloatOf(BitsOf(value) & 0x7FFFFFFFU); }

/// Nearest integer, ties to even; |value| < 2^22.
CAIRN_BOTH std::int32_t RoundToInt(float value) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: its last bit stands for 1.
  constexpr std::uint32_t kShiftBits = 0x4B400000U;
  return static_cast<std::int32_t>(BitsOf(value + kShift) - kShiftBits);
}

/// The next bf16 that is not smaller; `value` is positive and finite.
CAIRN_BOTH std::uint16_t Bf16BitsUp(float value) {
  return static_cast<std::uint16_t>((BitsOf(value) + 0xFFFFU) >> 16U);
}

/// fp32 to an element, to nearest even. Every NaN becomes the same one; what is too large becomes
/// the largest finite element: rounding made it so, since decoders know no infinities.
template <class T>
CAIRN_BOTH T StoredElement(float value) {
  constexpr std::uint32_t kMost = std::is_same_v<T, float> ? 0x7F7FFFFFU
                                  : std::is_same_v<T, F16> ? 0x477FE000U  // 65504
                                                           : 0x7F7F0000U;
  constexpr std::uint32_t kSign = 0x80000000U;
  std::uint32_t bits = BitsOf(value);
  const std::uint32_t size = bits & ~kSign;
  if (size > kMost) {
    bits = size > 0x7F800000U ? kNanBits : (bits & kSign) | kMost;
  }
  return FromFloat<T>(FloatOf(bits));
}

/// most / steps, or 0 where that is no normal number.
CAIRN_BOTH float ScaleOf(float most, float steps) {
  const float scale = most / steps;
  return scale < kMinScale ? 0.0F : scale;
}

CAIRN_BOTH float Clamped(float x, float most) {
  const float above = x < -most ? -most : x;
  return above > most ? most : above;
}

/// x / scale as an integer in [-most, most], 0 where the scale is 0; `x` is finite.
CAIRN_BOTH std::int32_t Quantise(float x, float scale, std::int32_t most) {
  return scale == 0.0F ? 0 : RoundToInt(Clamped(x / scale, static_cast<float>(most)));
}

CAIRN_BOTH std::int8_t ToInt8(float x, float scale) {
  return IsFinite(x) ? static_cast<std::int8_t>(Quantise(x, scale, 127)) : kInt8Nan;
}
CAIRN_BOTH float FromInt8(std::int8_t code, float scale) {
  return code == kInt8Nan ? NanValue() : static_cast<float>(code) * scale;
}

/// e4m3 without infinities (OCP FP8): 3 bits of mantissa, exponents from 2^-6 to 2^8, denormals in
/// steps of 2^-9. To nearest even.
CAIRN_BOTH std::uint8_t ToFp8(float x, float scale) {
  if (!IsFinite(x)) {
    return kFp8Nan;
  }
  const std::uint32_t bits = BitsOf(scale == 0.0F ? 0.0F : Clamped(x / scale, kFp8Max));
  const std::uint32_t sign = bits >> 24U & 0x80U;
  const std::uint32_t rest = bits & 0x7FFFFFFFU;
  const std::uint32_t code = rest < 0x3C800000U  // 2^-6
                                 ? static_cast<std::uint32_t>(RoundToInt(FloatOf(rest) * 512.0F))
                                 : (rest - 0x3C000000U + 0x7FFFFU + (rest >> 20U & 1U)) >> 20U;
  return static_cast<std::uint8_t>(sign | code);
}
/// Without branches, which random codes would mispredict.
CAIRN_BOTH float FromFp8(std::uint8_t code, float scale) {
  const std::uint32_t rest = code & 0x7FU;
  const std::uint32_t denormal = BitsOf(static_cast<float>(rest) * 0x1p-9F);
  const std::uint32_t size = rest < 8 ? denormal : (rest << 20U) + 0x3C000000U;
  const float value = FloatOf(size | (code & 0x80U) << 24U) * scale;
  return rest == kFp8Nan ? NanValue() : value;
}

/// The two codes of a byte, for what is written once for both.
struct Int8Code {
  static constexpr float kMost = kInt8Max;
  CAIRN_BOTH_MEMBER static std::uint8_t Put(float x, float scale) {
    return static_cast<std::uint8_t>(ToInt8(x, scale));
  }
  CAIRN_BOTH_MEMBER static float Get(std::uint8_t code, float scale) {
    return FromInt8(static_cast<std::int8_t>(code), scale);
  }
};
struct Fp8Code {
  static constexpr float kMost = kFp8Max;
  CAIRN_BOTH_MEMBER static std::uint8_t Put(float x, float scale) { return ToFp8(x, scale); }
  CAIRN_BOTH_MEMBER static float Get(std::uint8_t code, float scale) {
    return FromFp8(code, scale);
  }
};

}  // namespace cairn::kernels
