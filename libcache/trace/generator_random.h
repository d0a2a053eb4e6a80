#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "libcache/trace/mix.h"

namespace cairn {

/// SplitMix64. Small, and the same everywhere: the distributions of the standard library are not.
class GeneratorRandom {
 public:
  explicit GeneratorRandom(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() { return Mix(state_ += kGoldenRatio); }
  /// Uniform in [0, limit), limit > 0; the bias of the multiplication is below 2^-32 * limit.
  std::uint32_t Below(std::uint32_t limit) {
    return static_cast<std::uint32_t>((Next() >> 32U) * limit >> 32U);
  }
  bool Permille(std::uint32_t chance) { return Below(1000) < chance; }

 private:
  std::uint64_t state_;
};

/// A point of a distribution: `permille` of the values are at most `value`.
struct QuantilePoint {
  std::uint32_t permille;
  std::uint32_t value;
};

/// Draws from the distribution that runs straight between the points, which rise from 0 to 1000
/// permille. Two points of one permille make a step, so that whole numbers can have a share each.
inline std::uint32_t Sample(std::span<const QuantilePoint> points, GeneratorRandom& random) {
  constexpr std::uint32_t kFine = 1000;
  const std::uint32_t at = random.Below(1000 * kFine);
  std::size_t i = 1;
  while (at >= points[i].permille * kFine) {
    ++i;
  }
  const QuantilePoint& low = points[i - 1];
  const QuantilePoint& high = points[i];
  const std::uint64_t width = std::uint64_t{high.permille - low.permille} * kFine;
  const std::uint64_t rise = high.value - low.value;
  return low.value + static_cast<std::uint32_t>(rise * (at - low.permille * kFine) / width);
}

/// 1000 times the quantiles of the exponential distribution of mean 1, -ln(1 - q).
inline constexpr QuantilePoint kExponential[] = {
    {0, 0},      {100, 105},  {200, 223},  {300, 357},  {400, 511},  {500, 693},
    {600, 916},  {700, 1204}, {800, 1609}, {900, 2303}, {950, 2996}, {980, 3912},
    {990, 4605}, {995, 5298}, {999, 6908}, {1000, 8500}};

/// A waiting time of an exponential distribution.
inline std::uint64_t SampleExponential(std::uint64_t mean, GeneratorRandom& random) {
  return mean * Sample(kExponential, random) / 1000;
}

/// Draws i in [0, n) with a chance in proportion to 1 / (i + 1).
class ZipfSampler {
 public:
  explicit ZipfSampler(std::uint32_t n) {
    constexpr std::uint32_t kScale = 1U << 24U;
    for (std::uint32_t i = 0; i < n; ++i) {
      cumulative_.push_back((cumulative_.empty() ? 0 : cumulative_.back()) + kScale / (i + 1));
    }
  }
  std::uint32_t Draw(GeneratorRandom& random) const {
    const std::uint32_t at = random.Below(cumulative_.back());
    return static_cast<std::uint32_t>(std::upper_bound(cumulative_.begin(), cumulative_.end(), at) -
                                      cumulative_.begin());
  }

 private:
  std::vector<std::uint32_t> cumulative_;
};

}  // namespace cairn
