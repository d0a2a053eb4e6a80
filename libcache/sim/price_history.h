#pragma once

#include <cstddef>
#include <vector>

#include "libcache/sim/simulator.h"

namespace cairn::sim {

/// Prices over time, thinned while they come in: at least half of kMost points once there are that
/// many, at even distances, however long the trace is.
class PriceHistory {
 public:
  static constexpr std::size_t kMost = 512;

  void Add(double at_s, double price) {
    if (!points_.empty() &&
        (at_s <= points_.back().at_s || at_s < points_.back().at_s + least_gap_s_)) {
      return;
    }
    points_.push_back({.at_s = at_s, .price = price});
    if (points_.size() < kMost) {
      return;
    }
    least_gap_s_ = 2 * (points_.back().at_s - points_.front().at_s) / kMost;
    std::vector<Report::PricePoint> kept;
    for (const Report::PricePoint& point : points_) {
      if (kept.empty() || point.at_s >= kept.back().at_s + least_gap_s_) {
        kept.push_back(point);
      }
    }
    points_ = std::move(kept);
  }
  [[nodiscard]] const std::vector<Report::PricePoint>& points() const { return points_; }

 private:
  std::vector<Report::PricePoint> points_;
  double least_gap_s_ = 0;
};

}  // namespace cairn::sim
