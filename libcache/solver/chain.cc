#include "libcache/solver/chain.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "libcache/base/check.h"
#include "libcache/solver/chain_hull.h"

namespace cairn {
namespace {

using internal::ChainHull;

ChainCost Product(std::uint64_t a, std::uint64_t b) {
  return static_cast<ChainCost>(a) * static_cast<ChainCost>(b);
}

/// Sums over the points so far: weight (P) and weight times potential (T). A stretch of points s..j
/// served by the checkpoint at s costs T(j) - T(s-1) - D(s) (P(j) - P(s-1)), which for a given s is
/// a line in P(j). The interval cost is Monge, the slopes D(s) ascend and so does P.
struct Sums {
  std::uint64_t weight = 0;
  ChainCost moment = 0;

  void Add(const ChainPoint& point) {
    weight += point.weight;
    moment += Product(point.weight, point.potential);
  }
  /// A checkpoint at `point`, the next one, where all points before it cost `before`.
  [[nodiscard]] ChainHull::Line LineOf(const ChainPoint& point, std::size_t index,
                                       ChainCost before) const {
    return {.value = before - moment + Product(point.potential, weight),
            .slope = point.potential,
            .source = static_cast<std::uint32_t>(index),
            .count = 0};
  }
  /// The cost of the points so far, the last stretch being served by `line`.
  [[nodiscard]] ChainCost With(const ChainHull::Line& line) const {
    return moment + line.value - Product(line.slope, weight);
  }
};

/// Returns the sums over all points.
Result<Sums> Check(std::span<const ChainPoint> points) {
  const auto wrong = [](std::size_t i, const std::string& what) {
    return Fail(ErrorCode::kInvalidArgument, "point " + std::to_string(i) + ": " + what);
  };
  if (points.size() > kMaxChainPoints) {
    return Fail(ErrorCode::kInvalidArgument, "a chain has at most " +
                                                 std::to_string(kMaxChainPoints) + " points, not " +
                                                 std::to_string(points.size()));
  }
  Sums sums;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const ChainPoint& point = points[i];
    if (i > 0 && point.position <= points[i - 1].position) {
      return wrong(i, "positions must ascend");
    }
    if (i > 0 && point.potential < points[i - 1].potential) {
      return wrong(i, "the potential falls");
    }
    if (point.potential > kMaxChainSum) {
      return wrong(i, "the potential is above 2^62");
    }
    if (point.weight > kMaxChainSum - sums.weight) {
      return wrong(i, "the sum of the weights is above 2^62");
    }
    sums.Add(point);
  }
  return sums;
}

}  // namespace

Result<ChainCost> CostOfPositions(std::span<const ChainPoint> points,
                                  std::span<const std::uint32_t> positions) {
  if (const auto sums = Check(points); !sums) {
    return Fail(sums.error());
  }
  if (std::adjacent_find(positions.begin(), positions.end(), std::greater_equal<>()) !=
      positions.end()) {
    return Fail(ErrorCode::kInvalidArgument, "checkpoints must ascend");
  }
  ChainCost cost = 0;
  std::uint64_t offered = 0;
  std::uint64_t previous = 0;
  std::size_t next = 0;
  for (const ChainPoint& point : points) {
    for (; next < positions.size() && positions[next] <= point.position; ++next) {
      offered = positions[next] == point.position ? point.potential : previous;
    }
    cost += Product(point.weight, point.potential - offered);
    previous = point.potential;
  }
  return cost;
}

Result<ChainTable> ChainTable::Solve(std::span<const ChainPoint> points, std::size_t max_count) {
  const auto sums = Check(points);
  if (!sums) {
    return Fail(sums.error());
  }
  const std::size_t n = points.size();
  const std::size_t count = std::min(max_count, n);
  if (n > 0 && count > kMaxChainCells / n) {
    return Fail(ErrorCode::kInvalidArgument,
                std::to_string(n) + " points with " + std::to_string(count) +
                    " checkpoints need more than " + std::to_string(kMaxChainCells) + " cells");
  }
  ChainTable table;
  table.positions_.reserve(n);
  for (const ChainPoint& point : points) {
    table.positions_.push_back(point.position);
  }
  table.cost_by_count_.assign(1, sums->moment);
  table.choice_.resize(count * n);
  ChainHull hull(n, sums->weight);
  // [j] is the least cost of the first j points, with one checkpoint less and as many as now.
  std::vector<ChainCost> fewer(n + 1, 0);
  std::vector<ChainCost> least(n + 1, 0);
  Sums before;
  for (std::size_t j = 0; j < n; ++j) {
    before.Add(points[j]);
    fewer[j + 1] = before.moment;
  }
  for (std::size_t m = 0; m < count; ++m) {
    hull.Clear();
    before = {};
    for (std::size_t j = 0; j < n; ++j) {
      hull.Add(before.LineOf(points[j], j, fewer[j]));
      before.Add(points[j]);
      const ChainHull::Line best = hull.Best(before.weight);
      least[j + 1] = before.With(best);
      table.choice_[m * n + j] = best.source;
    }
    table.cost_by_count_.push_back(least[n]);
    std::swap(fewer, least);
  }
  return table;
}

std::size_t ChainTable::MinCount() const {
  const auto first = std::find(cost_by_count_.begin(), cost_by_count_.end(), cost_by_count_.back());
  return static_cast<std::size_t>(first - cost_by_count_.begin());
}

std::vector<std::uint32_t> ChainTable::Positions(std::size_t count, std::uint32_t tokens) const {
  const std::size_t n = positions_.size();
  const auto end = std::upper_bound(positions_.begin(), positions_.end(), tokens);
  auto left = static_cast<std::size_t>(end - positions_.begin());
  std::vector<std::uint32_t> chosen;
  for (std::size_t m = std::min(count, MaxCount()); m > 0 && left > 0; --m) {
    left = choice_[(m - 1) * n + left - 1];
    chosen.push_back(positions_[left]);
  }
  std::reverse(chosen.begin(), chosen.end());
  return chosen;
}

std::vector<std::uint32_t> ChainTable::MinPositions() const {
  return Positions(MinCount(), std::numeric_limits<std::uint32_t>::max());
}

Result<PricedPlacement> PlacePriced(std::span<const ChainPoint> points, ChainCost price,
                                    std::span<const ChainCost> reach) {
  const auto all = Check(points);
  if (!all) {
    return Fail(all.error());
  }
  const auto negative = [](ChainCost cost) { return cost < 0; };
  if (negative(price) || std::any_of(reach.begin(), reach.end(), negative)) {
    return Fail(ErrorCode::kInvalidArgument, "the price of a checkpoint is negative");
  }
  const std::size_t n = points.size();
  if (!reach.empty() && reach.size() != n) {
    return Fail(ErrorCode::kInvalidArgument, "there must be one reach per point");
  }
  // No checkpoint saves more than everything, so that a higher price changes nothing but overflows.
  const ChainCost too_much = all->moment + 1;
  price = std::min(price, too_much);
  // [j] is the last checkpoint for points 0..j, counted from 1; 0 is none. All else that the points
  // so far leave behind fits in two numbers: their least sum and its checkpoints.
  std::vector<std::uint32_t> last(n);
  ChainCost sum = 0;
  std::uint32_t count = 0;
  // Of the whole chain, with the KV up to its deepest checkpoint.
  ChainCost best_sum = all->moment;
  std::uint32_t best_count = 0;
  std::size_t deepest = 0;  // From 1; 0 is none.
  ChainHull hull(n + 1, all->weight);
  hull.Add({.value = 0,
            .slope = 0,
            .source = 0,
            .count = 0});  // No checkpoint so far: resume at position 0.
  Sums before;
  for (std::size_t j = 0; j < n; ++j) {
    ChainHull::Line line = before.LineOf(points[j], j + 1, sum + price);
    line.count = count + 1;
    if (!reach.empty()) {
      const ChainCost as_deepest = all->With(line) + std::min(reach[j], too_much);
      if (as_deepest < best_sum || (as_deepest == best_sum && line.count < best_count)) {
        best_sum = as_deepest;
        best_count = line.count;
        deepest = j + 1;
      }
    }
    hull.Add(line);
    before.Add(points[j]);
    const ChainHull::Line best = hull.Best(before.weight);
    sum = before.With(best);
    count = best.count;
    last[j] = best.source;
  }
  if (reach.empty() && n > 0) {
    best_sum = sum;
    best_count = count;
    deepest = last[n - 1];
  }
  PricedPlacement placement;
  placement.positions.reserve(best_count);
  for (std::size_t at = deepest; at > 0; at = at > 1 ? last[at - 2] : 0) {
    placement.positions.push_back(points[at - 1].position);
  }
  CAIRN_DCHECK(placement.positions.size() == best_count);
  std::reverse(placement.positions.begin(), placement.positions.end());
  const ChainCost kept = reach.empty() || deepest == 0 ? 0 : std::min(reach[deepest - 1], too_much);
  placement.cost = best_sum - price * static_cast<ChainCost>(best_count) - kept;
  return placement;
}

Result<GriddedOverlaps> ChainOfOverlaps(std::span<const Overlap> overlaps,
                                        std::uint32_t grid_tokens) {
  if (grid_tokens == 0) {
    return Fail(ErrorCode::kInvalidArgument, "the grid must be at least 1 token");
  }
  std::vector<Overlap> sorted(overlaps.begin(), overlaps.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const Overlap& a, const Overlap& b) { return a.tokens < b.tokens; });
  GriddedOverlaps chain;
  std::uint64_t sum = 0;
  for (const Overlap& overlap : sorted) {
    if (overlap.weight > kMaxChainSum - sum) {
      return Fail(ErrorCode::kInvalidArgument, "the sum of the weights is above 2^62");
    }
    sum += overlap.weight;
    const std::uint32_t position = overlap.tokens / grid_tokens * grid_tokens;
    chain.residual += Product(overlap.weight, overlap.tokens - position);
    if (position == 0 || overlap.weight == 0) {
      continue;
    }
    if (chain.points.empty() || chain.points.back().position != position) {
      chain.points.push_back({.position = position, .potential = position});
    }
    chain.points.back().weight += overlap.weight;
  }
  return chain;
}

double FixedChain::ToReal(ChainCost cost) const {
  return std::ldexp(static_cast<double>(cost), -weight_shift - potential_shift);
}

ChainCost FixedChain::Price(double price) const {
  constexpr int kBits = 125;
  const double scaled = std::ldexp(price, weight_shift + potential_shift);
  if (!(scaled > 0)) {
    return 0;
  }
  // Past the sum of all costs no checkpoint is bought, and 125 bits hold that sum.
  return static_cast<ChainCost>(std::min(std::round(scaled), std::ldexp(1.0, kBits)));
}

Result<FixedChain> ToFixedChain(std::span<const RealChainPoint> points, int bits) {
  if (bits < 1 || bits > std::numeric_limits<double>::digits) {
    return Fail(ErrorCode::kInvalidArgument, "bits must be 1 to 53, not " + std::to_string(bits));
  }
  const auto acceptable = [](double value) { return std::isfinite(value) && value >= 0; };
  double weights = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!acceptable(points[i].weight) || !acceptable(points[i].potential)) {
      return Fail(
          ErrorCode::kInvalidArgument,
          "point " + std::to_string(i) + ": weight and potential must be finite and not below 0");
    }
    // Before any is scaled by the last one.
    if (i > 0 && points[i].potential < points[i - 1].potential) {
      return Fail(ErrorCode::kInvalidArgument,
                  "point " + std::to_string(i) + ": the potential falls");
    }
    weights += points[i].weight;
  }
  if (!std::isfinite(weights)) {
    return Fail(ErrorCode::kInvalidArgument, "the sum of the weights is not finite");
  }
  // 0 keeps its magnitude; frexp's exponent e says value < 2^e.
  const auto shift_of = [bits](double value) {
    int exponent = 0;
    std::frexp(value, &exponent);
    return value > 0 ? bits - exponent : 0;
  };
  FixedChain chain;
  chain.weight_shift = shift_of(weights);
  chain.potential_shift = points.empty() ? 0 : shift_of(points.back().potential);
  chain.points.reserve(points.size());
  const auto fixed = [](double value, int shift) {
    return static_cast<std::uint64_t>(std::llround(std::ldexp(value, shift)));
  };
  for (const RealChainPoint& point : points) {
    chain.points.push_back({.position = point.position,
                            .potential = fixed(point.potential, chain.potential_shift),
                            .weight = fixed(point.weight, chain.weight_shift)});
  }
  if (const auto sums = Check(chain.points); !sums) {
    return Fail(sums.error());
  }
  return chain;
}

}  // namespace cairn
