#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "libcache/codec/codec.h"

// What the lossy codecs share. All of it is fp32 arithmetic that IEEE 754 fixes to the bit (add,
// subtract, multiply, divide, round to nearest even, no contraction, denormals kept) and integers,
// so that a GPU twin can write the same bytes. No libm.
namespace cairn::internal {

inline constexpr std::uint32_t kNanBits = 0x7FC00000;  ///< The one NaN that decoding gives back.

inline bool IsFinite(float value) {
  return (std::bit_cast<std::uint32_t>(value) & 0x7F800000U) != 0x7F800000U;
}

inline float Magnitude(float value) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFFU);
}

/// Nearest integer, ties to even; |value| < 2^22.
inline std::int32_t RoundToInt(float value) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: its last bit stands for 1.
  return static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(value + kShift)) -
         std::bit_cast<std::int32_t>(kShift);
}

inline std::uint16_t ToBFloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return kNanBits >> 16U;
  }
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U);
}

inline float FromBFloat16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16U);
}

/// The next bf16 that is not smaller; `value` is positive and finite.
inline std::uint16_t ToBFloat16Up(float value) {
  return static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(value) + 0xFFFFU) >> 16U);
}

inline float FromHalf(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000U} << 16U;
  const std::uint32_t rest = half & 0x7FFFU;
  if (rest >= 0x7C00U) {  // Infinity and NaN.
    return std::bit_cast<float>(sign | 0x7F800000U | (rest & 0x3FFU) << 13U);
  }
  // Put below the exponent of fp32, a half is its value times 2^-112, denormal or not.
  const float scaled = std::bit_cast<float>(rest << 13U) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

inline std::uint16_t ToHalf(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16U & 0x8000U;
  const std::uint32_t rest = bits & 0x7FFFFFFFU;
  if (rest > 0x7F800000U) {
    return 0x7E00;
  }
  if (rest >= 0x477FF000U) {  // 65520 and more is nearer to what would come after 65504.
    return static_cast<std::uint16_t>(sign | 0x7C00U);
  }
  if (rest < 0x38800000U) {  // Below 2^-14: multiples of 2^-24.
    return static_cast<std::uint16_t>(
        sign | static_cast<std::uint32_t>(RoundToInt(std::bit_cast<float>(rest) * 0x1p24F)));
  }
  return static_cast<std::uint16_t>(sign |
                                    (rest - 0x38000000U + 0xFFFU + (rest >> 13U & 1U)) >> 13U);
}

/// Elements to fp32, exactly.
inline void LoadValues(Element element, const std::byte* from, std::span<float> values) {
  if (element == Element::kF32) {
    std::memcpy(values.data(), from, values.size() * 4);
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, from + 2 * i, 2);
    values[i] = element == Element::kF16 ? FromHalf(half) : FromBFloat16(half);
  }
}

/// fp32 to elements, to nearest even. Every NaN becomes the same one; what is too large becomes the
/// largest finite element: rounding made it so, since decoders know no infinities.
inline void StoreValues(Element element, std::span<const float> values, std::byte* to) {
  constexpr std::uint32_t kSign = 0x80000000U;
  const std::uint32_t most = element == Element::kF32   ? 0x7F7FFFFFU
                             : element == Element::kF16 ? 0x477FE000U  // 65504
                                                        : 0x7F7F0000U;
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto bits = std::bit_cast<std::uint32_t>(values[i]);
    if ((bits & ~kSign) > most) {
      bits = (bits & ~kSign) > 0x7F800000U ? kNanBits : (bits & kSign) | most;
    }
    if (element == Element::kF32) {
      std::memcpy(to + 4 * i, &bits, 4);
    } else {
      const auto value = std::bit_cast<float>(bits);
      const std::uint16_t half = element == Element::kF16 ? ToHalf(value) : ToBFloat16(value);
      std::memcpy(to + 2 * i, &half, 2);
    }
  }
}

/// Scales below the smallest normal number count as zero: what they would tell apart is nothing.
inline constexpr float kMinScale = 0x1p-126F;

/// Differences above it count as not finite: a few roundings up must not overflow.
inline constexpr float kMaxDifference = 0x1p126F;

/// Largest size among the finite values; 0 if there is none.
inline float FiniteMax(std::span<const float> values) {
  float most = 0;
  for (const float value : values) {
    const float size = Magnitude(value);
    most = IsFinite(value) && size > most ? size : most;
  }
  return most;
}

/// What the lossy codecs ask of a shape. Errors: kInvalidArgument.
inline Status CheckValues(const CodecShape& shape, std::uint64_t raw_bytes) {
  const auto bad = [](const char* why) {
    return Fail(ErrorCode::kInvalidArgument, std::string("a lossy codec needs ") + why);
  };
  if (shape.element == Element::kBytes) {
    return bad("the type of the elements");
  }
  if (shape.matrices == 0 || shape.rows == 0 || shape.columns == 0 || shape.columns > 1U << 16U) {
    return bad("matrices of 1 to 65536 columns");
  }
  const std::uint64_t each = std::uint64_t{shape.rows} * shape.columns;
  if (each > kMaxCodecBytes / shape.matrices || shape.Bytes() != raw_bytes) {
    return bad("a shape of just as many bytes as the object has");
  }
  return {};
}

}  // namespace cairn::internal
