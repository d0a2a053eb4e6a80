#pragma once

#include <cmath>
#include <string>
#include <vector>

namespace cairn::sim {

/// A place on an axis, as a share of its length, and what is written there.
struct Tick {
  double at = 0;
  std::string label;
};

/// An axis from 0.
struct Axis {
  double most = 1;       ///< At its end.
  bool counted = false;  ///< By the logarithm of one more, so that 0 and 1 have a place as well.
  std::vector<Tick> ticks;
  std::string factor;  ///< Markup for the title: what the labels are to be multiplied by; or empty.

  [[nodiscard]] double At(double value) const {
    return counted ? std::log1p(value) / std::log1p(most) : value / most;
  }
};

enum class AxisEnd { kAtTick, kAtMost };

/// Ticks at 1, 2 or 5 times a power of ten, about `count` of them, up to `most`; the axis ends
/// there or at the next tick above. With `most` of 0 it is that of 1.
Axis MakeAxis(double most, int count, AxisEnd end);

/// For counts of which a few are far above the others: ticks at 0, 1, 10, 100, ...
Axis MakeLogAxis(double most);

/// An axis of time, and its unit: "s", "min", "h" or "days".
Axis MakeTimeAxis(double most_s, int count, std::string& unit);

}  // namespace cairn::sim
