#include "libcache/sim/two_sided.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace cairn::sim {
namespace {

/// Overlaps that end at one place of a coordinate.
struct Point {
  double at = 0;
  double weight = 0;
  double uncovered = 0;  // Weight times what is recomputed where no position is at or before it.
};

/// Puts points in order and joins those at one place.
void Merge(std::vector<Point>& points) {
  std::sort(points.begin(), points.end(),
            [](const Point& a, const Point& b) { return a.at < b.at; });
  std::size_t last = 0;
  for (std::size_t i = 1; i < points.size(); ++i) {
    if (points[i].at == points[last].at) {
      points[last].weight += points[i].weight;
      points[last].uncovered += points[i].uncovered;
    } else {
      points[++last] = points[i];
    }
  }
  points.resize(std::min(points.size(), last + 1));
}

/// f(m, j), the least cost of the first j points with at most m positions, all of them at points:
///   f(m, j) = min over i < j of f(m - 1, i) + sum over k in [i, j) of w(k) (x(k) - x(i))
/// For one j that is the least of lines -x(i) W(j) + c(i), W being the sum of weights before; both
/// slopes and W are in order, so a pointer walks along their envelope.
class Table {
 public:
  Table(const std::vector<Point>& points, std::uint32_t most) : points_(points) {
    const std::size_t n = points.size();
    for (const Point& p : points) {
      weight_.push_back(weight_.back() + p.weight);
      moment_.push_back(moment_.back() + p.weight * p.at);
      cost_.push_back(cost_.back() + p.uncovered);
    }
    everything_ = cost_.back();
    for (std::uint32_t m = 0; m < most; ++m) {
      choice_.emplace_back(n + 1, kNone);
      Layer(choice_.back());
    }
  }

  /// The best places of at most m positions, ascending.
  [[nodiscard]] std::vector<double> Places(std::size_t m) const {
    std::vector<double> places;
    for (std::size_t j = points_.size(); m > 0 && j > 0; --m) {
      const std::uint32_t i = choice_[m - 1][j];
      if (i != kNone) {  // Else one position less is as good.
        places.push_back(points_[i].at);
        j = i;
      }
    }
    std::reverse(places.begin(), places.end());
    return places;
  }

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  /// A position that gains less, of all there is to gain, gains by rounding.
  static constexpr double kNoise = 1e-9;

  struct Line {
    double slope = 0;
    double constant = 0;
    std::uint32_t i = 0;
    [[nodiscard]] double At(double x) const { return slope * x + constant; }
  };

  void Layer(std::vector<std::uint32_t>& choice) {
    std::vector<double> next = cost_;
    std::vector<Line> hull;
    std::size_t front = 0;
    for (std::size_t j = 1; j < cost_.size(); ++j) {
      const std::size_t i = j - 1;
      const double at = points_[i].at;
      const Line line{.slope = -at,
                      .constant = cost_[i] - moment_[i] + at * weight_[i],
                      .i = static_cast<std::uint32_t>(i)};
      while (hull.size() > front + 1 && Hidden(hull[hull.size() - 2], hull.back(), line)) {
        hull.pop_back();
      }
      hull.push_back(line);
      while (front + 1 < hull.size() &&
             hull[front + 1].At(weight_[j]) <= hull[front].At(weight_[j])) {
        ++front;
      }
      const double cost = hull[front].At(weight_[j]) + moment_[j];
      if (cost < next[j] - kNoise * everything_) {
        next[j] = cost;
        choice[j] = hull[front].i;
      }
    }
    cost_ = std::move(next);
  }
  /// Whether `b` is nowhere the least of the three; slopes fall from a to c.
  static bool Hidden(const Line& a, const Line& b, const Line& c) {
    return (c.constant - a.constant) * (a.slope - b.slope) <=
           (b.constant - a.constant) * (a.slope - c.slope);
  }

  const std::vector<Point>& points_;
  double everything_ = 0;
  std::vector<double> weight_{0};
  std::vector<double> moment_{0};
  std::vector<double> cost_{0};
  std::vector<std::vector<std::uint32_t>> choice_;  // [m - 1][j]
};

/// The deepest of the ascending `positions` at or before `overlap`, 0 if there is none.
std::uint32_t Resume(const std::vector<std::uint32_t>& positions, std::uint32_t overlap) {
  const auto after = std::upper_bound(positions.begin(), positions.end(), overlap);
  return after == positions.begin() ? 0 : *std::prev(after);
}

/// The same for positions that are given back from the end, farthest first.
std::uint32_t ResumeBack(const std::vector<std::uint32_t>& back, std::uint32_t overlap,
                         std::uint32_t stored) {
  const auto near = std::partition_point(back.begin(), back.end(), [&](std::uint32_t distance) {
    return distance >= stored || stored - distance <= overlap;
  });
  if (near == back.begin() || *std::prev(near) >= stored) {
    return 0;
  }
  return stored - *std::prev(near);
}

}  // namespace

void TwoSidedPlacement::Observe(std::uint32_t overlap, std::uint32_t stored) {
  seen_.push_back({.overlap = overlap, .stored = std::max(overlap, stored)});
  if (seen_.size() > kWindow) {
    seen_.pop_front();
  }
  ++observed_;
  if (observed_ % kEvery == 0 || (observed_ < kEvery && std::has_single_bit(observed_))) {
    Solve();
  }
}

void TwoSidedPlacement::Solve() {
  std::vector<Point> front;
  std::vector<Point> back;
  double weight = 1;
  for (auto seen = seen_.rbegin(); seen != seen_.rend(); ++seen, weight *= kDecay) {
    const double overlap = seen->overlap;
    front.push_back({.at = overlap, .weight = weight, .uncovered = weight * overlap});
    // A position `distance` back stands at -distance here, and serves what ends at or behind it.
    back.push_back({.at = overlap - seen->stored, .weight = weight, .uncovered = weight * overlap});
  }
  Merge(front);
  Merge(back);
  const Table from_front(front, most_);
  const Table from_end(back, most_);
  double least = std::numeric_limits<double>::infinity();
  for (std::uint32_t count = 0; count <= most_; ++count) {
    std::vector<std::uint32_t> ahead;
    for (const double at : from_front.Places(count)) {
      ahead.push_back(static_cast<std::uint32_t>(at));
    }
    std::vector<std::uint32_t> behind;
    for (const double at : from_end.Places(most_ - count)) {
      behind.push_back(static_cast<std::uint32_t>(-at));
    }
    double cost = 0;
    weight = 1;
    for (auto seen = seen_.rbegin(); seen != seen_.rend(); ++seen, weight *= kDecay) {
      const std::uint32_t resume =
          std::max(Resume(ahead, seen->overlap), ResumeBack(behind, seen->overlap, seen->stored));
      cost += weight * (seen->overlap - resume);
    }
    if (cost < least) {
      least = cost;
      from_front_ = std::move(ahead);
      from_end_ = std::move(behind);
    }
  }
}

std::vector<std::uint32_t> TwoSidedPlacement::Positions(std::uint32_t length) const {
  std::vector<std::uint32_t> positions;
  for (const std::uint32_t at : from_front_) {
    if (at <= length) {
      positions.push_back(at);
    }
  }
  for (const std::uint32_t distance : from_end_) {
    if (distance < length) {
      positions.push_back(length - distance);
    }
  }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return positions;
}

}  // namespace cairn::sim
