#include "libcache/solver/trie_budget.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <utility>

#include "libcache/solver/price_search.h"
#include "libcache/solver/trie_sweep.h"

namespace cairn {
namespace {

/// At this price nothing that has bytes is kept: the least of it costs more than recomputing all.
double Prohibitive(const TrieInstance& trie) {
  double all = 0;
  std::uint64_t least_bytes = kMaxTrieBytes;
  for (std::size_t v = 1; v < trie.Size(); ++v) {
    all += trie.weight[v] * (trie.potential[v] - trie.potential[0]);
    for (const std::uint64_t bytes : {trie.CheckpointBytes(v), trie.KvBytes(v)}) {
      least_bytes = bytes > 0 ? std::min(least_bytes, bytes) : least_bytes;
    }
  }
  // Not 0 where nearly nothing is divided by much.
  return std::max(2 * all / static_cast<double>(least_bytes), std::numeric_limits<double>::min());
}

PricedCost CostOf(const BudgetedPlan& best) {
  return {best.price_per_byte, best.plan.recompute, best.plan.bytes};
}
PricedCost CostOf(const HullPoint& point) {
  return {point.price_per_byte, point.recompute, point.bytes};
}

template <bool Joint>
Result<BudgetedPlan> SolveForBudget(const TrieInstance& trie, std::uint64_t budget_bytes) {
  if (auto status = Validate(trie); !status) {
    return Fail(std::move(status).error());
  }
  internal::TrieSweep<Joint> sweep;
  BudgetedPlan most{0, sweep.Solve(trie, 0)};
  if (most.plan.bytes <= budget_bytes) {
    return most;
  }
  const double prohibitive = Prohibitive(trie);
  BudgetedPlan best{prohibitive, sweep.Solve(trie, prohibitive)};
  PriceSearch search(CostOf(most), CostOf(best), budget_bytes);
  while (!search.Done()) {
    const double price = search.NextPrice();
    TriePlan plan = sweep.Solve(trie, price);
    if (search.Learn(plan.recompute, plan.bytes)) {
      best = {price, std::move(plan)};
    }
  }
  return best;
}

template <bool Joint>
HullPoint SolvePoint(internal::TrieSweep<Joint>& sweep, const TrieInstance& trie, double price) {
  const TriePlan plan = sweep.Solve(trie, price);
  return {price, plan.recompute, plan.bytes, plan.checkpoints.size()};
}

template <bool Joint>
Result<CostHull> SolveHull(const TrieInstance& trie, std::size_t max_points) {
  if (auto status = Validate(trie); !status) {
    return Fail(std::move(status).error());
  }
  internal::TrieSweep<Joint> sweep;
  const HullPoint least = SolvePoint(sweep, trie, Prohibitive(trie));
  const HullPoint most = SolvePoint(sweep, trie, 0);
  CostHull hull{{most}, true};
  if (most.bytes == least.bytes) {
    return hull;
  }
  hull.points.push_back(least);
  std::deque<std::pair<HullPoint, HullPoint>> gaps = {{most, least}};
  while (!gaps.empty()) {
    const auto [more, less] = gaps.front();
    gaps.pop_front();
    const HullPoint between = SolvePoint(sweep, trie, CrossingPrice(CostOf(more), CostOf(less)));
    if (between.bytes >= more.bytes || between.bytes <= less.bytes) {
      continue;  // A side of the hull.
    }
    if (hull.points.size() >= max_points) {
      hull.complete = false;
      break;
    }
    hull.points.push_back(between);
    gaps.emplace_back(more, between);
    gaps.emplace_back(between, less);
  }
  auto& points = hull.points;
  std::sort(points.begin(), points.end(),
            [](const HullPoint& a, const HullPoint& b) { return a.bytes > b.bytes; });
  for (std::size_t i = 1; i < points.size(); ++i) {
    points[i].price_per_byte = CrossingPrice(CostOf(points[i - 1]), CostOf(points[i]));
  }
  // At price 0 more bytes are no reason against a plan. Any price above 0 sees the difference.
  while (points.size() > 1 && !(points[1].price_per_byte > 0)) {
    points.erase(points.begin());
  }
  points.front().price_per_byte = 0;
  return hull;
}

}  // namespace

Result<BudgetedPlan> SolveTrieForBudget(const TrieInstance& trie, std::uint64_t budget_bytes) {
  return SolveForBudget<false>(trie, budget_bytes);
}

Result<BudgetedPlan> SolveJointForBudget(const TrieInstance& trie, std::uint64_t budget_bytes) {
  return SolveForBudget<true>(trie, budget_bytes);
}

Result<CostHull> TrieCostHull(const TrieInstance& trie, std::size_t max_points) {
  return SolveHull<false>(trie, max_points);
}

Result<CostHull> JointCostHull(const TrieInstance& trie, std::size_t max_points) {
  return SolveHull<true>(trie, max_points);
}

}  // namespace cairn
