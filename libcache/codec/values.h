#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "kernels/quantise/number.h"
#include "libcache/codec/codec.h"

// What the lossy codecs share beside the arithmetic, which is kernels/quantise/number.h.
namespace cairn::internal {

using kernels::Bf16BitsUp;
using kernels::FromFp8;
using kernels::FromInt8;
using kernels::IsFinite;
using kernels::kInt8Max;
using kernels::kMaxDifference;
using kernels::kMinScale;
using kernels::Magnitude;
using kernels::NanValue;
using kernels::Quantise;
using kernels::RoundToInt;
using kernels::ScaleOf;
using kernels::ToFp8;
using kernels::ToInt8;

inline float FromBFloat16(std::uint16_t bits) { return kernels::ToFloat(kernels::Bf16{bits}); }
inline float FromHalf(std::uint16_t bits) { return kernels::ToFloat(kernels::F16{bits}); }

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

/// fp32 to elements as kernels::StoredElement has it: no infinities, one NaN.
inline void StoreValues(Element element, std::span<const float> values, std::byte* to) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (element == Element::kF32) {
      const float value = kernels::StoredElement<float>(values[i]);
      std::memcpy(to + 4 * i, &value, 4);
    } else {
      const std::uint16_t half = element == Element::kF16
                                     ? kernels::StoredElement<kernels::F16>(values[i]).bits
                                     : kernels::StoredElement<kernels::Bf16>(values[i]).bits;
      std::memcpy(to + 2 * i, &half, 2);
    }
  }
}

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
  constexpr std::uint32_t kMost = 0x7FFFFFFFU;
  if (shape.matrices == 0 || shape.rows == 0 || shape.columns == 0 || shape.columns > 1U << 16U) {
    return bad("matrices of 1 to 65536 columns");
  }
  if (shape.matrices > kMost || shape.rows > kMost) {
    return bad("fewer than 2^31 matrices and rows");
  }
  const std::uint64_t each = std::uint64_t{shape.rows} * shape.columns;
  if (each > kMaxCodecBytes / shape.matrices || shape.Bytes() != raw_bytes) {
    return bad("a shape of just as many bytes as the object has");
  }
  return {};
}

}  // namespace cairn::internal
