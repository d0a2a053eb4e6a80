#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace cairn::kernels::test {

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30U) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27U) * 0x94D049BB133111EBU;
    return z ^ z >> 31U;
  }
  int Below(int bound) { return static_cast<int>(Next() % static_cast<std::uint64_t>(bound)); }
  double Uniform() { return static_cast<double>(Next() >> 11U) * 0x1p-53; }
  double Uniform(double from, double to) { return from + (to - from) * Uniform(); }
  /// Nearly normal, from integers alone: the sum of twelve uniform numbers.
  double Normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) {
      sum += Uniform();
    }
    return sum;
  }

 private:
  std::uint64_t state_;
};

}  // namespace cairn::kernels::test
