#include "libcache/solver/trie_budget.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "libcache/solver/price_search.h"
#include "tests/property/libcache/solver/trie_reference.h"

namespace cairn {
namespace {

using trie_reference::AsMask;
using trie_reference::Cost;
using trie_reference::CostOf;
using trie_reference::DrawTrie;
using trie_reference::ForEachSet;
using trie_reference::Shape;
using trie_reference::Subtrie;
using trie_reference::TrieData;

template <class T>
T Draw(T low, T high) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(low, high));
}

Shape AnyShape(std::size_t most) {
  Shape shape;
  shape.nodes = Draw<std::size_t>(1, most + 1);
  shape.kind = static_cast<Shape::Kind>(Draw<int>(0, 4));
  shape.checkpoint_bytes = Draw<std::uint64_t>(0, 8);
  shape.kv_bytes = Draw<std::uint64_t>(0, 12);
  shape.grid = Draw<int>(0, 2) == 1;
  return shape;
}

struct Vertex {
  std::uint64_t bytes = 0;
  double recompute = 0;
  double price = 0;  // The least at which it is best.
};

/// The lower convex hull of all sets, by falling bytes, from the set that recomputes least.
std::vector<Vertex> HullOfAllSets(const TrieInstance& trie, bool joint) {
  std::map<std::uint64_t, double> least;
  ForEachSet(trie, joint, [&](const Cost& cost) {
    const auto [it, first] = least.emplace(cost.bytes, cost.recompute);
    it->second = std::min(it->second, cost.recompute);
  });
  std::vector<Vertex> hull;
  const auto price = [](const Vertex& more, const Vertex& less) {
    return (less.recompute - more.recompute) / static_cast<double>(more.bytes - less.bytes);
  };
  for (auto it = least.rbegin(); it != least.rend(); ++it) {
    const Vertex next{it->first, it->second, 0};
    // What has fewer bytes and recomputes no more, or lies on or below a side, takes its place.
    while (!hull.empty() && (next.recompute <= hull.back().recompute ||
                             price(hull.back(), next) <= hull.back().price)) {
      hull.pop_back();
    }
    hull.push_back(next);
    if (hull.size() > 1) {
      hull.back().price = price(hull[hull.size() - 2], next);
    }
  }
  return hull;
}

BudgetedPlan Solve(const TrieInstance& trie, std::uint64_t budget, bool joint) {
  return (joint ? SolveJointForBudget(trie, budget) : SolveTrieForBudget(trie, budget)).value();
}

void ExpectVertexThatFits(const TrieInstance& trie, bool joint) {
  const std::vector<Vertex> hull = HullOfAllSets(trie, joint);
  for (std::uint64_t budget = 0; budget <= hull.front().bytes + 2; ++budget) {
    const auto vertex =
        std::find_if(hull.begin(), hull.end(), [&](const Vertex& v) { return v.bytes <= budget; });
    const BudgetedPlan best = Solve(trie, budget, joint);
    RC_ASSERT(best.plan.bytes == vertex->bytes);
    RC_ASSERT(best.plan.recompute == vertex->recompute);
    RC_ASSERT(std::abs(best.price_per_byte - vertex->price) <= 1e-9 * vertex->price);
    const double price = best.price_per_byte;
    const auto again = joint ? SolveJoint(trie, price) : SolveTrie(trie, price);
    RC_ASSERT(again->checkpoints == best.plan.checkpoints);
    RC_ASSERT(again->objective == best.plan.objective);
  }
}

RC_GTEST_PROP(TrieBudget, TheBestThatFitsIsTheVertexOfAllSets, ()) {
  const bool joint = Draw<int>(0, 2) == 1;
  const Shape shape = AnyShape(9);
  const auto seed = Draw<std::uint64_t>(0, UINT64_MAX - 10);
  for (std::uint64_t i = 0; i < 10; ++i) {
    ExpectVertexThatFits(DrawTrie(shape, seed + i).View(), joint);
  }
}

RC_GTEST_PROP(TrieBudget, TheHullIsThatOfAllSets, ()) {
  const bool joint = Draw<int>(0, 2) == 1;
  const Shape shape = AnyShape(9);
  const auto seed = Draw<std::uint64_t>(0, UINT64_MAX - 10);
  for (std::uint64_t i = 0; i < 10; ++i) {
    const TrieData data = DrawTrie(shape, seed + i);
    const auto hull =
        (joint ? JointCostHull(data.View(), 1000) : TrieCostHull(data.View(), 1000)).value();
    const std::vector<Vertex> all = HullOfAllSets(data.View(), joint);
    RC_ASSERT(hull.complete);
    RC_ASSERT(hull.points.size() == all.size());
    for (std::size_t p = 0; p < all.size(); ++p) {
      RC_ASSERT(hull.points[p].bytes == all[p].bytes);
      RC_ASSERT(hull.points[p].recompute == all[p].recompute);
      RC_ASSERT(hull.points[p].price_per_byte == all[p].price);
    }
  }
}

// Larger ones, with fetch costs: against the hull found another way.
RC_GTEST_PROP(TrieBudget, EveryBudgetIsAPointOfTheHull, ()) {
  const bool joint = Draw<int>(0, 2) == 1;
  Shape shape = AnyShape(300);
  shape.fetch = Draw<std::uint64_t>(0, 15);
  const TrieData data = DrawTrie(shape, Draw<std::uint64_t>(0, UINT64_MAX));
  const auto hull =
      (joint ? JointCostHull(data.View(), 5000) : TrieCostHull(data.View(), 5000)).value();
  RC_ASSERT(hull.complete);
  const std::uint64_t budget = Draw<std::uint64_t>(0, hull.points.front().bytes + 10);
  const auto point = std::find_if(hull.points.begin(), hull.points.end(),
                                  [&](const HullPoint& p) { return p.bytes <= budget; });
  const BudgetedPlan best = Solve(data.View(), budget, joint);
  RC_ASSERT(best.plan.recompute == point->recompute);
  RC_ASSERT(best.plan.bytes <= budget);
  // Where bytes cost nothing, one of two equal offers may have more of them.
  RC_ASSERT(best.price_per_byte == 0.0 || best.plan.bytes == point->bytes);
}

// As a planner does that solves each child of the root for itself, from the price of last time.
RC_GTEST_PROP(TrieBudget, ASearchOverAForestFindsTheSamePrice, ()) {
  const TrieData data = DrawTrie(AnyShape(100), Draw<std::uint64_t>(0, UINT64_MAX));
  const double most = SolveTrie(data.View(), 0)->recompute;
  const std::uint64_t all = SolveTrie(data.View(), 0)->bytes;
  if (all == 0) {
    return;
  }
  const std::uint64_t budget = Draw<std::uint64_t>(0, all);
  const BudgetedPlan whole = Solve(data.View(), budget, false);
  const double none = SolveTrie(data.View(), 1e9)->recompute;
  PriceSearch search({0, most, all}, {1e9, none, 0}, budget);
  TrieSolver solver;
  std::vector<std::uint32_t> ids;
  while (!search.Done()) {
    const double price = search.NextPrice();
    double recompute = 0;
    std::uint64_t bytes = 0;
    for (std::uint32_t child = 1; child < data.Size(); ++child) {
      if (data.parent[child] == 0) {
        const TrieData part = Subtrie(data, child, ids);
        const auto plan = solver.SolveTrie(part.View(), price);
        recompute += plan->recompute;
        bytes += plan->bytes;
      }
    }
    RC_ASSERT(search.Learn(recompute, bytes) == (bytes <= budget));
  }
  RC_ASSERT(search.Fits().bytes == whole.plan.bytes);
  RC_ASSERT(search.Fits().recompute == whole.plan.recompute);
  RC_ASSERT(std::abs(search.Fits().price_per_byte - whole.price_per_byte) <=
            2e-9 * whole.price_per_byte);
}

}  // namespace
}  // namespace cairn
