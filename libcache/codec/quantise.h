#pragma once

#include <algorithm>
#include <cstdint>

#include "libcache/codec/values.h"

// A value and its code, for one scale. Fixed to the bit; see values.h.
namespace cairn::internal {

inline constexpr float kInt8Max = 127.0F;
inline constexpr std::int8_t kInt8Nan = -128;
inline constexpr float kFp8Max = 448.0F;  ///< Largest e4m3.
inline constexpr std::uint8_t kFp8Nan = 0x7F;

/// most / steps, or 0 where that is no normal number.
inline float ScaleOf(float most, float steps) {
  const float scale = most / steps;
  return scale < kMinScale ? 0.0F : scale;
}

/// x / scale as an integer in [-most, most], 0 where the scale is 0; `x` is finite.
inline std::int32_t Quantise(float x, float scale, std::int32_t most) {
  if (scale == 0.0F) {
    return 0;
  }
  const auto limit = static_cast<float>(most);
  return RoundToInt(std::clamp(x / scale, -limit, limit));
}

inline std::int8_t ToInt8(float x, float scale) {
  return IsFinite(x) ? static_cast<std::int8_t>(Quantise(x, scale, 127)) : kInt8Nan;
}

inline float FromInt8(std::int8_t code, float scale) {
  return code == kInt8Nan ? std::bit_cast<float>(kNanBits) : static_cast<float>(code) * scale;
}

/// e4m3 without infinities (OCP FP8): 3 bits of mantissa, exponents from 2^-6 to 2^8, denormals in
/// steps of 2^-9. To nearest even.
inline std::uint8_t ToFp8(float x, float scale) {
  if (!IsFinite(x)) {
    return kFp8Nan;
  }
  const float value = scale == 0.0F ? 0.0F : std::clamp(x / scale, -kFp8Max, kFp8Max);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 24U & 0x80U;
  const std::uint32_t rest = bits & 0x7FFFFFFFU;
  const std::uint32_t code =
      rest < 0x3C800000U  // 2^-6
          ? static_cast<std::uint32_t>(RoundToInt(std::bit_cast<float>(rest) * 512.0F))
          : (rest - 0x3C000000U + 0x7FFFFU + (rest >> 20U & 1U)) >> 20U;
  return static_cast<std::uint8_t>(sign | code);
}

inline float FromFp8(std::uint8_t code, float scale) {
  const std::uint32_t rest = code & 0x7FU;
  if (rest == kFp8Nan) {
    return std::bit_cast<float>(kNanBits);
  }
  const float size = rest < 8 ? static_cast<float>(rest) * 0x1p-9F
                              : std::bit_cast<float>((rest << 20U) + 0x3C000000U);
  return ((code & 0x80U) != 0 ? -size : size) * scale;
}

}  // namespace cairn::internal
