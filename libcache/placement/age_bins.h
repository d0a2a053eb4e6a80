#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace cairn {

/// Ages in bins that widen by the square root of two, from 250 ms to three days: a reuse after 10 s
/// and one after 20 s are different habits, one after 1000 s and one after 1010 s are not. What is
/// older than the last bin stays in it.
struct AgeBins {
  static constexpr std::size_t kCount = 40;
  static constexpr double kFirstEndSeconds = 0.25;

  static std::size_t Of(double age_s) {
    if (!(age_s >= kFirstEndSeconds)) {  // Also for ages that are no number.
      return 0;
    }
    const double steps = 2.0 * std::log2(age_s / kFirstEndSeconds);
    return std::min(kCount - 1, static_cast<std::size_t>(std::min(steps, 1e6)) + 1);
  }
  static double BeginSeconds(std::size_t bin) { return bin == 0 ? 0.0 : EndSeconds(bin - 1); }
  static double EndSeconds(std::size_t bin) { return kEndsSeconds[bin]; }
  static double WidthSeconds(std::size_t bin) { return EndSeconds(bin) - BeginSeconds(bin); }

 private:
  static constexpr std::array<double, kCount> kEndsSeconds = [] {
    std::array<double, kCount> ends{};
    double end_s = kFirstEndSeconds;
    for (std::size_t bin = 0; bin < kCount; bin += 2, end_s *= 2) {
      ends[bin] = end_s;
      if (bin + 1 < kCount) {
        ends[bin + 1] = end_s * std::numbers::sqrt2;
      }
    }
    return ends;
  }();
};

}  // namespace cairn
