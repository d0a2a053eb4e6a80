#include "libcache/solver/chain.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>

namespace cairn {
namespace {

using Positions = std::vector<std::uint32_t>;

constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();

/// Uniform from the first case on; see planner_test.cc.
template <class T>
T Draw(T low, T high) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(low, high));
}

/// Of any scale: many ties among small numbers, and sums that need 128 bits among large ones.
std::vector<ChainPoint> AnyChain(std::size_t size) {
  const std::uint64_t weights = Draw(0, 4) == 0 ? std::uint64_t{1} << 44U : 5;
  const std::uint64_t steps = Draw(0, 4) == 0 ? std::uint64_t{1} << 44U : 4;
  std::vector<ChainPoint> points;
  std::uint32_t position = 0;
  std::uint64_t potential = 0;
  for (std::size_t i = 0; i < size; ++i) {
    position += Draw(1U, 4U);
    potential += Draw<std::uint64_t>(0, steps);
    points.push_back(
        {.position = position, .potential = potential, .weight = Draw<std::uint64_t>(0, weights)});
  }
  return points;
}

Positions Subset(const std::vector<ChainPoint>& points, std::uint32_t bits) {
  Positions positions;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if ((bits >> i & 1U) != 0) {
      positions.push_back(points[i].position);
    }
  }
  return positions;
}

/// From the definition of the cost, not from CostOfPositions.
ChainCost CostByDefinition(const std::vector<ChainPoint>& points, const Positions& positions) {
  ChainCost cost = 0;
  for (const ChainPoint& request : points) {
    std::uint64_t resumed = 0;
    for (const ChainPoint& point : points) {
      if (point.position <= request.position &&
          std::find(positions.begin(), positions.end(), point.position) != positions.end()) {
        resumed = std::max(resumed, point.potential);
      }
    }
    cost += static_cast<ChainCost>(request.weight) *
            static_cast<ChainCost>(request.potential - resumed);
  }
  return cost;
}

void SmallChainsAreOptimal() {
  const auto points = AnyChain(Draw<std::size_t>(0, 9));
  std::vector<ChainCost> best(points.size() + 1, -1);
  for (std::uint32_t bits = 0; bits < 1U << points.size(); ++bits) {
    const auto positions = Subset(points, bits);
    const ChainCost cost = CostByDefinition(points, positions);
    RC_ASSERT((CostOfPositions(points, positions).value() == cost));
    ChainCost& least = best[positions.size()];
    least = least < 0 ? cost : std::min(least, cost);
  }
  const auto max_count = Draw<std::size_t>(0, 12);
  const auto table = std::move(ChainTable::Solve(points, max_count)).value();
  RC_ASSERT(table.MaxCount() == std::min(max_count, points.size()));
  for (std::size_t m = 0; m <= table.MaxCount(); ++m) {
    RC_ASSERT((table.CostByCount()[m] == best[m]));
    const auto positions = table.Positions(m, kEnd);
    RC_ASSERT(positions.size() <= m);
    RC_ASSERT((CostByDefinition(points, positions) == best[m]));
  }
  const auto fewest = table.MinPositions();
  RC_ASSERT(fewest.size() == table.MinCount());
  RC_ASSERT((CostByDefinition(points, fewest) == best[table.MaxCount()]));
  RC_ASSERT((fewest.empty() || best[fewest.size() - 1] > best[fewest.size()]));

  const auto price = static_cast<ChainCost>(
      Draw<std::uint64_t>(0, Draw(0, 2) == 0 ? 20 : std::uint64_t{1} << 60U));
  const auto priced = std::move(PlacePriced(points, price)).value();
  RC_ASSERT((CostByDefinition(points, priced.positions) == priced.cost));
  const auto total = [&](std::size_t m) { return best[m] + price * static_cast<ChainCost>(m); };
  const ChainCost ours = priced.cost + price * static_cast<ChainCost>(priced.positions.size());
  for (std::size_t m = 0; m < best.size(); ++m) {
    // Of equal sums the fewest checkpoints.
    RC_ASSERT((ours < total(m) || (ours == total(m) && priced.positions.size() <= m)));
  }
}

/// The joint form: the deepest checkpoint also pays for the KV up to it.
void SmallChainsAreOptimalWithTheirKv() {
  const auto points = AnyChain(Draw<std::size_t>(0, 8));
  const std::uint64_t scale = Draw(0, 2) == 0 ? 10 : std::uint64_t{1} << 50U;
  const auto price = static_cast<ChainCost>(Draw<std::uint64_t>(0, scale));
  std::vector<ChainCost> reach;
  for (std::size_t i = 0; i < points.size(); ++i) {
    reach.push_back(static_cast<ChainCost>(Draw<std::uint64_t>(0, scale)));
  }
  const auto sum_of = [&](const Positions& positions) {
    ChainCost sum =
        CostByDefinition(points, positions) + price * static_cast<ChainCost>(positions.size());
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (!positions.empty() && points[i].position == positions.back()) {
        sum += reach[i];
      }
    }
    return sum;
  };
  const auto placement = std::move(PlacePriced(points, price, reach)).value();
  RC_ASSERT((CostByDefinition(points, placement.positions) == placement.cost));
  const ChainCost ours = sum_of(placement.positions);
  for (std::uint32_t bits = 0; bits < 1U << points.size(); ++bits) {
    const auto positions = Subset(points, bits);
    const ChainCost theirs = sum_of(positions);
    RC_ASSERT(
        (ours < theirs || (ours == theirs && placement.positions.size() <= positions.size())));
  }
}

RC_GTEST_PROP(ChainProperty, NoSetWithItsKvIsCheaper, ()) {
  for (int i = 0; i < 30; ++i) {
    SmallChainsAreOptimalWithTheirKv();
  }
}

RC_GTEST_PROP(ChainProperty, NoSetIsCheaperThanTheOptimum, ()) {
  for (int i = 0; i < 50; ++i) {  // Of each of RapidCheck's cases.
    SmallChainsAreOptimal();
  }
}

struct QuadraticTable {
  std::vector<std::vector<ChainCost>> cost;  // [m][j]: the first j points with at most m.
  std::vector<std::vector<std::size_t>> choice;
};

/// The recurrence as it is written, O(count * points^2); of equal costs the smallest point.
QuadraticTable SolveQuadratic(const std::vector<ChainPoint>& points, std::size_t count) {
  const std::size_t n = points.size();
  QuadraticTable table;
  table.cost.assign(count + 1, std::vector<ChainCost>(n + 1, 0));
  table.choice.assign(count + 1, std::vector<std::size_t>(n + 1, 0));
  for (std::size_t j = 1; j <= n; ++j) {
    table.cost[0][j] = table.cost[0][j - 1] + static_cast<ChainCost>(points[j - 1].weight) *
                                                  static_cast<ChainCost>(points[j - 1].potential);
  }
  for (std::size_t m = 1; m <= count; ++m) {
    for (std::size_t j = 1; j <= n; ++j) {
      ChainCost segment = 0;
      ChainCost best = -1;
      // From j down, so that the cost of the segment s..j grows by what its checkpoint moves back.
      ChainCost weight = 0;
      for (std::size_t s = j; s >= 1; --s) {
        if (s < j) {
          segment += weight * static_cast<ChainCost>(points[s].potential - points[s - 1].potential);
        }
        weight += static_cast<ChainCost>(points[s - 1].weight);
        const ChainCost cost = table.cost[m - 1][s - 1] + segment;
        if (best < 0 || cost <= best) {
          best = cost;
          table.choice[m][j] = s;
        }
      }
      table.cost[m][j] = best;
    }
  }
  return table;
}

RC_GTEST_PROP(ChainProperty, AgreesWithTheQuadraticProgram, ()) {
  const auto points = AnyChain(Draw<std::size_t>(1, 120));
  const auto count = std::min(Draw<std::size_t>(1, 20), points.size());
  const auto expected = SolveQuadratic(points, count);
  const auto table = std::move(ChainTable::Solve(points, count)).value();
  for (std::size_t m = 0; m <= count; ++m) {
    RC_ASSERT((table.CostByCount()[m] == expected.cost[m][points.size()]));
  }
  // At every column, with the same choice among equals.
  for (std::size_t column = 1; column <= points.size(); ++column) {
    Positions positions;
    for (std::size_t m = count, j = column; m > 0 && j > 0; --m) {
      j = expected.choice[m][j] - 1;
      positions.insert(positions.begin(), points[j].position);
    }
    RC_ASSERT(table.Positions(count, points[column - 1].position) == positions);
  }
}

RC_GTEST_PROP(ChainProperty, CostsAreConvexAndPricesFollowThem, ()) {
  const auto points = AnyChain(Draw<std::size_t>(1, 120));
  const auto table = std::move(ChainTable::Solve(points, points.size())).value();
  const auto cost = table.CostByCount();
  for (std::size_t m = 2; m < cost.size(); ++m) {
    RC_ASSERT((cost[m - 2] - cost[m - 1] >= cost[m - 1] - cost[m]));
  }
  const auto m = Draw<std::size_t>(1, cost.size());
  // A checkpoint is bought while it saves more than its price.
  const ChainCost price = cost[m - 1] - cost[m];
  const auto priced = std::move(PlacePriced(points, price)).value();
  const std::size_t bought = priced.positions.size();
  RC_ASSERT((priced.cost == cost[bought]));
  RC_ASSERT(bought < m);
  RC_ASSERT((bought + 1 == m || cost[bought] - cost[bought + 1] == price));
}

RC_GTEST_PROP(ChainProperty, PointsWithoutWeightChangeNoCost, ()) {
  const auto points = AnyChain(Draw<std::size_t>(0, 60));
  std::vector<ChainPoint> support;
  std::copy_if(points.begin(), points.end(), std::back_inserter(support),
               [](const ChainPoint& point) { return point.weight > 0; });
  const auto dense = std::move(ChainTable::Solve(points, 12)).value();
  const auto sparse = std::move(ChainTable::Solve(support, 12)).value();
  RC_ASSERT((dense.CostByCount().back() == sparse.CostByCount().back()));
  RC_ASSERT(dense.MinCount() == sparse.MinCount());
}

RC_GTEST_PROP(ChainProperty, TheGridLosesTheResidualOnly, ()) {
  const auto grid = Draw(1U, 40U);
  std::vector<Overlap> overlaps;
  std::vector<ChainPoint> fine(400);
  for (std::uint32_t i = 0; i < fine.size(); ++i) {
    fine[i] = {.position = i + 1, .potential = i + 1};
  }
  for (auto i = Draw(0, 30); i > 0; --i) {
    overlaps.push_back({.tokens = Draw(0U, 400U), .weight = Draw<std::uint64_t>(0, 9)});
    if (overlaps.back().tokens > 0) {
      fine[overlaps.back().tokens - 1].weight += overlaps.back().weight;
    }
  }
  const auto chain = std::move(ChainOfOverlaps(overlaps, grid)).value();
  const auto table = std::move(ChainTable::Solve(chain.points, 3)).value();
  const auto positions = table.MinPositions();
  RC_ASSERT(
      (table.CostByCount().back() + chain.residual == CostOfPositions(fine, positions).value()));
}

RC_GTEST_PROP(ChainProperty, AnyInputIsAnsweredOrRefused, ()) {
  std::vector<ChainPoint> points(Draw<std::size_t>(0, 5));
  for (ChainPoint& point : points) {
    point = {.position = Draw(0U, kEnd),
             .potential = Draw<std::uint64_t>(0, kLargest),
             .weight = Draw<std::uint64_t>(0, kLargest)};
  }
  if (Draw(0, 2) == 0) {
    std::sort(points.begin(), points.end(),
              [](const ChainPoint& a, const ChainPoint& b) { return a.position < b.position; });
    for (std::size_t i = 0; i < points.size(); ++i) {
      points[i].potential = kMaxChainSum - (points.size() - i) * Draw<std::uint64_t>(0, 2);
      points[i].weight /= 40;
    }
  }
  const auto table = ChainTable::Solve(points, Draw<std::size_t>(0, 9));
  const auto price = static_cast<ChainCost>(Draw<std::uint64_t>(0, kLargest)) << Draw(0, 63);
  const auto priced = PlacePriced(points, price);
  RC_ASSERT(table.has_value() == priced.has_value());
  if (table) {
    RC_ASSERT(
        (CostOfPositions(points, table->MinPositions()).value() == table->CostByCount().back()));
    RC_ASSERT((CostOfPositions(points, priced->positions).value() == priced->cost));
  }
}

}  // namespace
}  // namespace cairn
