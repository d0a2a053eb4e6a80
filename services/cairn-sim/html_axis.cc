#include "services/cairn-sim/html_axis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "services/terminal/table.h"

namespace cairn::sim {
namespace {

/// The smallest of 1, 2, 5, 10, ... that is not below.
double NiceStep(double least) {
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) {
      return factor * power;
    }
  }
  return 10 * power;
}

/// "20k", "1.5M"; `step` says how many digits tell neighbours apart.
std::string Label(double value, double step) {
  if (value == 0) {
    return "0";
  }
  double unit = 1;
  std::string name;
  if (value >= 1e6) {
    unit = 1e6;
    name = "M";
  } else if (value >= 1e4) {
    unit = 1e3;
    name = "k";
  }
  const double digits = -std::floor(std::log10(step / unit) + 1e-9);
  std::string text = terminal::Fixed(value / unit, static_cast<int>(std::clamp(digits, 0.0, 9.0)));
  return text + name;
}

}  // namespace

Axis MakeAxis(double most, int count, AxisEnd end) {
  Axis axis;
  axis.most = most > 0 && std::isfinite(most) ? most : 1;
  const double step = NiceStep(axis.most / count);
  // Labels of more than six digits are for nobody.
  double scale = 1;
  if (axis.most < 0.01 || axis.most >= 1e9) {
    const double exponent = 3 * std::floor(std::log10(axis.most) / 3);
    scale = std::pow(10, exponent);
    axis.factor = "&times;10<sup>" + terminal::Fixed(exponent, 0) + "</sup>";
  }
  if (end == AxisEnd::kAtTick) {
    axis.most = step * std::ceil(axis.most / step - 1e-9);
  }
  for (int i = 0; i * step <= axis.most * (1 + 1e-9); ++i) {
    axis.ticks.push_back(
        {std::min(1.0, i * step / axis.most), Label(i * step / scale, step / scale)});
  }
  return axis;
}

Axis MakeLogAxis(double most) {
  constexpr double kAir = 1.3;  // Above the highest bar, which is no tick.
  Axis axis{.most = kAir * std::max(most, 1.0), .counted = true, .ticks = {{0, "0"}}, .factor = ""};
  for (double value = 1; value <= axis.most; value *= 10) {
    axis.ticks.push_back({axis.At(value), Label(value, value)});
  }
  return axis;
}

Axis MakeTimeAxis(double most_s, int count, std::string& unit) {
  // Up to two of the next unit are still said in this one.
  constexpr std::array<std::pair<double, const char*>, 4> kUnits = {
      {{1, "s"}, {60, "min"}, {3600, "h"}, {86400, "days"}}};
  std::size_t i = 0;
  while (i + 1 < kUnits.size() && most_s > 2 * kUnits[i + 1].first) {
    ++i;
  }
  unit = kUnits[i].second;
  Axis axis = MakeAxis(most_s / kUnits[i].first, count, AxisEnd::kAtMost);
  axis.most = most_s > 0 ? most_s : 1;
  return axis;
}

}  // namespace cairn::sim
