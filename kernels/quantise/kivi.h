#pragma once

#include <cstdint>

#include "kernels/quantise/number.h"

// One group of 32 of KIVI: the same loop on the CPU and in a thread of a GPU.
namespace cairn::kernels {

/// The elements of a group, `apart` elements from each other.
template <class T>
struct KiviValues {
  T* values;
  std::int64_t apart;
  int count;
};
/// And what they are stored as: kBits words of 32 codes.
template <class T>
struct KiviCoded {
  T* low;
  std::uint16_t* scale;
  std::uint32_t* codes;
};

template <class T, int kBits>
CAIRN_BOTH void EncodeKiviGroup(const KiviValues<T>& from, const KiviCoded<T>& to) {
  constexpr int kMost = (1 << kBits) - 1;
  float low = ToFloat(from.values[0]);
  float high = low;
  bool finite = true;
  for (int i = 0; i < from.count; ++i) {
    const float x = ToFloat(from.values[i * from.apart]);
    finite = finite && IsFinite(x);
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  finite = finite && high - low <= kMaxDifference;
  float scale = finite ? ScaleOf(high - low, static_cast<float>(kMost)) : 0.0F;
  // Rounded up, so that the highest code reaches the highest value.
  const std::uint16_t scale_bits = scale > 0.0F ? Bf16BitsUp(scale) : std::uint16_t{0};
  scale = ToFloat(Bf16{scale_bits});
  *to.low = StoredElement<T>(finite ? low : NanValue());
  *to.scale = scale_bits;
  constexpr int kPerWord = 32 / kBits;
  for (int w = 0; w < kBits; ++w) {
    std::uint32_t word = 0;
    for (int i = 0; i < kPerWord && w * kPerWord + i < from.count && scale > 0.0F; ++i) {
      const float x = ToFloat(from.values[(w * kPerWord + i) * from.apart]);
      const std::int32_t code = Quantise(x - low, scale, kMost);
      word |= static_cast<std::uint32_t>(code < 0 ? 0 : code) << (i * kBits);
    }
    to.codes[w] = word;
  }
}

template <class T, int kBits>
CAIRN_BOTH void DecodeKiviGroup(const KiviCoded<T>& from, const KiviValues<T>& to) {
  constexpr std::uint32_t kMask = (1U << kBits) - 1;
  constexpr int kPerWord = 32 / kBits;
  const float low = ToFloat(*from.low);
  const float scale = ToFloat(Bf16{*from.scale});
  for (int i = 0; i < to.count; ++i) {
    const std::uint32_t code = from.codes[i / kPerWord] >> (i % kPerWord * kBits) & kMask;
    to.values[i * to.apart] = StoredElement<T>(low + static_cast<float>(code) * scale);
  }
}

}  // namespace cairn::kernels
