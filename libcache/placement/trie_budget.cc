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

/// Looks for the least price at which the best plan fits, between a price at which it does not and
/// one at which it does.
class PriceSearch {
 public:
  PriceSearch(BudgetedPlan over, BudgetedPlan fits, std::uint64_t budget_bytes)
      : over_(std::move(over)), fits_(std::move(fits)), budget_bytes_(budget_bytes) {}

  [[nodiscard]] bool Done() const {
    return found_ || step_ >= kMaxSteps ||
           fits_.price_per_byte - over_.price_per_byte <= kPriceTolerance * fits_.price_per_byte ||
           // Two that recompute as little as possible, and one of them fits.
           Crossing(over_.plan, fits_.plan) <= 0;
  }

  /// Crossings end the search exactly and are sure where plans are few. Where they are many,
  /// interpolation comes close at once: first to one side, then, aimed just beyond, to the other.
  /// When three steps together brought little, the ratio of the prices is halved.
  [[nodiscard]] double NextPrice() {
    if (step_ % 3 == 0) {
      const double ratio = Ratio();
      stuck_ = step_ > 0 && ratio > ratio_ / 8;
      ratio_ = ratio;
    }
    crossing_ = step_ % 3 == 0;
    double price = 0;
    if (crossing_) {
      price = Crossing(over_.plan, fits_.plan) * (1 + nudge_);
    } else if (stuck_ || over_.price_per_byte <= 0 || fits_.plan.bytes == 0) {
      price = over_.price_per_byte > 0
                  ? std::sqrt(over_.price_per_byte) * std::sqrt(fits_.price_per_byte)
                  : fits_.price_per_byte / 256;
    } else {
      price = Interpolated(step_ % 3 == 2);
    }
    ++step_;
    return std::clamp(price, over_.price_per_byte, fits_.price_per_byte);
  }

  /// `plan` is the best at `price`, which NextPrice() asked for.
  void Learn(double price, TriePlan plan) {
    if (plan.bytes > budget_bytes_) {
      // The known plans meet here, but the crossing was rounded to the wrong side.
      if (crossing_ && plan.bytes == over_.plan.bytes) {
        nudge_ = std::min(std::max(2 * nudge_, 0x1p-44), 0x1p-31);
      }
      over_ = {price, std::move(plan)};
    } else {
      // At the crossing the known plans are still the best, so nothing lies between them.
      found_ = crossing_ && plan.bytes == fits_.plan.bytes;
      fits_ = {price, std::move(plan)};
    }
  }

  [[nodiscard]] BudgetedPlan Take() { return std::move(fits_); }

 private:
  /// Of the prices, as a logarithm.
  [[nodiscard]] double Ratio() const {
    return over_.price_per_byte > 0 ? std::log(fits_.price_per_byte / over_.price_per_byte)
                                    : std::numeric_limits<double>::infinity();
  }
  /// Where bytes would meet the budget if they fell by a power of the price, as they roughly do; or
  /// as far beyond as the nearer side is off.
  [[nodiscard]] double Interpolated(bool beyond) const {
    const double budget = std::log(static_cast<double>(budget_bytes_));
    const double above = std::log(static_cast<double>(over_.plan.bytes)) - budget;
    const double below = budget - std::log(static_cast<double>(fits_.plan.bytes));
    double part = above / (above + below);
    if (beyond) {
      part += above < below ? 2 * above / (above + below) : -2 * below / (above + below);
    }
    return over_.price_per_byte * std::exp(std::clamp(part, 0.01, 0.99) * Ratio());
  }

  BudgetedPlan over_;
  BudgetedPlan fits_;
  std::uint64_t budget_bytes_;
  int step_ = 0;
  double ratio_ = 0;  // Three steps ago.
  double nudge_ = 0;  // Added to crossings, relative.
  bool stuck_ = false;
  bool crossing_ = false;
  bool found_ = false;
};

template <bool kJoint>
Result<BudgetedPlan> SolveForBudget(const TrieInstance& trie, std::uint64_t budget_bytes) {
  if (auto status = Validate(trie); !status) {
    return Fail(std::move(status).error());
  }
  internal::TrieSweep<kJoint> sweep;
  BudgetedPlan most{0, sweep.Solve(trie, 0)};
  if (most.plan.bytes <= budget_bytes) {
    return most;
  }
  const double prohibitive = Prohibitive(trie);
  PriceSearch search(std::move(most), {prohibitive, sweep.Solve(trie, prohibitive)}, budget_bytes);
  while (!search.Done()) {
    const double price = search.NextPrice();
    TriePlan plan = sweep.Solve(trie, price);
    search.Learn(price, std::move(plan));
  }
  return search.Take();
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
