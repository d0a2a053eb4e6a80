#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "kernels/arith/host_device.h"

// Element types other than float, by their bits: the same result on every machine, NaN included.
namespace cairn::kernels {

#ifdef __CUDA_ARCH__
CAIRN_BOTH float FloatOf(std::uint32_t bits) { return __uint_as_float(bits); }
CAIRN_BOTH std::uint32_t BitsOf(float value) { return __float_as_uint(value); }
#else
CAIRN_BOTH float FloatOf(std::uint32_t bits) { return std::bit_cast<float>(bits); }
CAIRN_BOTH std::uint32_t BitsOf(float value) { return std::bit_cast<std::uint32_t>(value); }
#endif

constexpr std::uint32_t kNanBits = 0x7FC00000U;  ///< What is put in for no number.
CAIRN_BOTH float NanValue() { return FloatOf(kNanBits); }
CAIRN_BOTH bool IsFinite(float value) { return (BitsOf(value) & 0x7F800000U) != 0x7F800000U; }

/// The upper half of a float: 8 bits of exponent, 7 of mantissa.
struct Bf16 {
  std::uint16_t bits;
};
/// IEEE 754 binary16.
struct F16 {
  std::uint16_t bits;
};

CAIRN_BOTH float ToFloat(float value) { return value; }
CAIRN_BOTH float ToFloat(Bf16 value) { return FloatOf(std::uint32_t{value.bits} << 16U); }
CAIRN_BOTH float ToFloat(F16 value) {
  const std::uint32_t sign = (value.bits & 0x8000U) << 16U;
  const std::uint32_t rest = value.bits & 0x7FFFU;
  if (rest >= 0x7C00U) {  // Infinity and NaN, whose payload moves along.
    return FloatOf(sign | 0x7F800000U | (rest & 0x3FFU) << 13U);
  }
  if (rest < 0x400U) {  // Denormal: rest * 2^-24, exact.
    const float magnitude = static_cast<float>(rest) * 5.9604644775390625e-8F;
    return FloatOf(sign | BitsOf(magnitude));
  }
  return FloatOf(sign | ((rest << 13U) + 0x38000000U));
}

CAIRN_BOTH std::uint16_t Bf16Bits(float value) {
  const std::uint32_t bits = BitsOf(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return static_cast<std::uint16_t>((bits >> 16U & 0x8000U) | 0x7FC0U);
  }
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U);
}

CAIRN_BOTH std::uint16_t F16Bits(float value) {
  const std::uint32_t bits = BitsOf(value);
  const std::uint32_t sign = bits >> 16U & 0x8000U;
  const std::uint32_t rest = bits & 0x7FFFFFFFU;
  std::uint32_t half = 0;
  if (rest > 0x7F800000U) {
    half = 0x7E00U;
  } else if (rest >= 0x477FF000U) {  // 65520 and more round to infinity.
    half = 0x7C00U;
  } else if (rest >= 0x38800000U) {
    half = (rest - 0x38000000U + 0xFFFU + (rest >> 13U & 1U)) >> 13U;
  } else {
    // Adding 0.5 leaves a multiple of 2^-24 in the low bits, rounded as the addition rounds.
    half = BitsOf(FloatOf(rest) + 0.5F) - 0x3F000000U;
  }
  return static_cast<std::uint16_t>(sign | half);
}

/// Rounds to nearest, ties to even. Every NaN becomes the quiet one of its sign.
template <class T>
CAIRN_BOTH T FromFloat(float value) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return {Bf16Bits(value)};
  } else if constexpr (std::is_same_v<T, F16>) {
    return {F16Bits(value)};
  } else {
    return value;
  }
}

}  // namespace cairn::kernels
