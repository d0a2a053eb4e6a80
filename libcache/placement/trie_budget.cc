#include "libcache/placement/trie_budget.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>

#include "libcache/placement/trie_sweep.h"

namespace cairn {
namespace {

constexpr double kPriceTolerance = 1e-9;
constexpr int kMaxSteps = 200;

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
  // The price itself must stay finite where the cost it is compared with hardly does.
  constexpr double kHighest = std::numeric_limits<double>::max() / 4;
  return std::min(2 * all, kHighest) / static_cast<double>(least_bytes);
}

/// The price at which two plans cost the same. REQUIRES: more.bytes > less.bytes.
template <class Plan>
double Crossing(const Plan& more, const Plan& less) {
  return std::max(less.recompute - more.recompute, 0.0) /
         static_cast<double>(more.bytes - less.bytes);
}

template <bool kJoint>
Result<BudgetedPlan> SolveForBudget(const TrieInstance& trie, std::uint64_t budget_bytes) {
  if (auto status = Validate(trie); !status) {
    return Fail(std::move(status).error());
  }
  internal::TrieSweep<kJoint> sweep;
  BudgetedPlan over{0, sweep.Solve(trie, 0)};
  if (over.plan.bytes <= budget_bytes) {
    return over;
  }
  const double prohibitive = Prohibitive(trie);
  BudgetedPlan fits{prohibitive, sweep.Solve(trie, prohibitive)};
  for (int step = 0; step < kMaxSteps; ++step) {
    if (fits.price_per_byte - over.price_per_byte <= kPriceTolerance * fits.price_per_byte) {
      break;
    }
    const bool cross = step % 2 == 0;
    double price = Crossing(over.plan, fits.plan);
    if (!(price > 0)) {
      break;  // Two that recompute as little as possible, and one of them fits.
    }
    if (!cross) {
      price = over.price_per_byte > 0
                  ? std::sqrt(over.price_per_byte) * std::sqrt(fits.price_per_byte)
                  : fits.price_per_byte / 256;
    }
    price = std::clamp(price, over.price_per_byte, fits.price_per_byte);
    TriePlan plan = sweep.Solve(trie, price);
    if (plan.bytes > budget_bytes) {
      over = {price, std::move(plan)};
      continue;
    }
    // At the crossing the known plans are still the best, so nothing lies between them.
    const bool last = cross && plan.bytes == fits.plan.bytes;
    fits = {price, std::move(plan)};
    if (last) {
      break;
    }
  }
  return fits;
}

template <bool kJoint>
HullPoint SolvePoint(internal::TrieSweep<kJoint>& sweep, const TrieInstance& trie, double price) {
  const TriePlan plan = sweep.Solve(trie, price);
  return {price, plan.recompute, plan.bytes, plan.checkpoints.size()};
}

template <bool kJoint>
Result<CostHull> SolveHull(const TrieInstance& trie, std::size_t max_points) {
  if (auto status = Validate(trie); !status) {
    return Fail(std::move(status).error());
  }
  internal::TrieSweep<kJoint> sweep;
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
    const HullPoint between = SolvePoint(sweep, trie, Crossing(more, less));
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
    points[i].price_per_byte = Crossing(points[i - 1], points[i]);
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
