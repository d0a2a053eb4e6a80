#pragma once

#include <cstdint>

#include "kernels/quantise/number.h"

// One group of 32 of KIVI: the same loop on the CPU and in a thread of a GPU.
namespace cairn::kernels {

/// `codes` has kBits words, 32 codes.
template <class T, int kBits>
CAIRN_BOTH void EncodeKiviGroup(const T* from, std::int64_t apart, int count, T* stored_low,
                                std::uint16_t* stored_scale, std::uint32_t* codes) {
  constexpr int kMost = (1 << kBits) - 1;
  float low = ToFloat(from[0]);
  float high = low;
  bool finite = true;
  for (int i = 0; i < count; ++i) {
    const float x = ToFloat(from[i * apart]);
    finite = finite && IsFinite(x);
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  finite = finite && high - low <= kMaxDifference;
  float scale = finite ? ScaleOf(high - low, static_cast<float>(kMost)) : 0.0F;
  // Rounded up, so that the highest code reaches the highest value.
  const std::uint16_t scale_bits = scale > 0.0F ? Bf16BitsUp(scale) : std::uint16_t{0};
  scale = ToFloat(Bf16{scale_bits});
  *stored_low = StoredElement<T>(finite ? low : NanValue());
  *stored_scale = scale_bits;
  constexpr int kPerWord = 32 / kBits;
  for (int w = 0; w < kBits; ++w) {
    std::uint32_t word = 0;
    for (int i = 0; i < kPerWord && w * kPerWord + i < count && scale > 0.0F; ++i) {
      const float x = ToFloat(from[(w * kPerWord + i) * apart]);
      const std::int32_t code = Quantise(x - low, scale, kMost);
      word |= static_cast<std::uint32_t>(code < 0 ? 0 : code) << (i * kBits);
    }
    codes[w] = word;
  }
}

template <class T, int kBits>
CAIRN_BOTH void DecodeKiviGroup(T stored_low, std::uint16_t stored_scale,
                                const std::uint32_t* codes, T* to, std::int64_t apart, int count) {
  constexpr std::uint32_t kMask = (1U << kBits) - 1;
  constexpr int kPerWord = 32 / kBits;
  const float low = ToFloat(stored_low);
  const float scale = ToFloat(Bf16{stored_scale});
  for (int i = 0; i < count; ++i) {
    const std::uint32_t code = codes[i / kPerWord] >> (i % kPerWord * kBits) & kMask;
    to[i * apart] = StoredElement<T>(low + static_cast<float>(code) * scale);
  }
}

}  // namespace cairn::kernels
