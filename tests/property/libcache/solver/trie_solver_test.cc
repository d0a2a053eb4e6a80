#include "libcache/solver/trie_solver.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "tests/property/libcache/solver/trie_reference.h"

namespace cairn {
namespace {

using trie_reference::AsMask;
using trie_reference::Cost;
using trie_reference::CostOf;
using trie_reference::DrawTrie;
using trie_reference::ForEachSet;
using trie_reference::LeastObjective;
using trie_reference::Shape;
using trie_reference::Subtrie;
using trie_reference::TrieData;

/// Uniform from the first case on, not growing with the case number.
template <class T>
T Draw(T low, T high) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(low, high));
}

Shape AnyShape(std::size_t fewest, std::size_t most) {
  Shape shape;
  shape.nodes = Draw<std::size_t>(fewest, most + 1);
  shape.kind = static_cast<Shape::Kind>(Draw<int>(0, 4));
  shape.potential_steps = Draw<std::uint64_t>(1, 12);
  shape.weights = Draw<std::uint64_t>(1, 16);  // Few values: many ties.
  shape.checkpoint_bytes = Draw<std::uint64_t>(0, 8);
  shape.kv_bytes = Draw<std::uint64_t>(0, 12);
  shape.grid = Draw<int>(0, 2) == 1;
  shape.fetch = Draw<int>(0, 2) == 1 ? Draw<std::uint64_t>(1, 20) : 0;
  return shape;
}

/// Sixteenths, so that every objective is exact; from free to more than anything is worth.
double AnyPrice() {
  return static_cast<double>(Draw<int>(0, 40)) * static_cast<double>(1 << Draw<int>(0, 8)) / 16;
}

TriePlan Solve(const TrieInstance& trie, double price, bool joint) {
  return (joint ? SolveJoint(trie, price) : SolveTrie(trie, price)).value();
}

/// The plan is what it says of itself.
void ExpectHonest(const TrieInstance& trie, const TriePlan& plan, double price, bool joint) {
  const auto chosen = AsMask(plan.checkpoints, trie.Size());
  const Cost cost = CostOf(trie, chosen, joint);
  RC_ASSERT(cost.recompute == plan.recompute);
  RC_ASSERT(cost.bytes == plan.bytes);
  RC_ASSERT(cost.Objective(price) == plan.objective);
  RC_ASSERT(std::is_sorted(plan.checkpoints.begin(), plan.checkpoints.end()));
  RC_ASSERT(std::is_sorted(plan.kept_kv.begin(), plan.kept_kv.end()));
  std::vector<bool> on_path(trie.Size());
  for (std::uint32_t u : plan.checkpoints) {
    RC_ASSERT(u > 0U);
    RC_ASSERT(trie.Allowed(u));
    for (; u != 0; u = trie.parent[u]) {
      on_path[u] = true;
    }
  }
  RC_ASSERT(AsMask(plan.kept_kv, trie.Size()) ==
            (joint ? on_path : std::vector<bool>(trie.Size())));
}

void ExpectBestOfAll(const TrieData& data, double price, bool joint) {
  const TrieInstance trie = data.View();
  const TriePlan plan = Solve(trie, price, joint);
  ExpectHonest(trie, plan, price, joint);
  double least = std::numeric_limits<double>::infinity();
  std::uint64_t fewest_bytes = 0;
  ForEachSet(trie, joint, [&](const Cost& cost) {
    const double objective = cost.Objective(price);
    if (objective < least || (objective == least && cost.bytes < fewest_bytes)) {
      least = objective;
      fewest_bytes = cost.bytes;
    }
  });
  RC_ASSERT(plan.objective == least);
  if (price > 0) {
    RC_ASSERT(plan.bytes == fewest_bytes);
  }
  // Nothing is kept for nothing.
  for (const auto v : plan.checkpoints) {
    auto without = AsMask(plan.checkpoints, trie.Size());
    without[v] = false;
    RC_ASSERT(CostOf(trie, without, joint).Objective(price) > plan.objective);
  }
}

void ExpectBestByTable(const TrieData& data, double price, bool joint) {
  const TrieInstance trie = data.View();
  const TriePlan plan = Solve(trie, price, joint);
  ExpectHonest(trie, plan, price, joint);
  RC_ASSERT(plan.objective == LeastObjective(trie, price, joint));
}

/// Tries of one drawn shape and price: thousands in all, where RapidCheck itself stops at a
/// hundred.
template <class Check>
void ForSomeTries(std::size_t most_nodes, int tries, bool joint, Check check) {
  const Shape shape = AnyShape(1, most_nodes);
  const double price = AnyPrice();
  const auto seed = Draw<std::uint64_t>(0, UINT64_MAX - 1000);
  for (int i = 0; i < tries; ++i) {
    check(DrawTrie(shape, seed + static_cast<std::uint64_t>(i)), price, joint);
  }
}

RC_GTEST_PROP(TrieSolver, NoSetOfCheckpointsIsCheaperNorSmallerAtTheSameCost, ()) {
  ForSomeTries(10, 40, false, ExpectBestOfAll);
}

RC_GTEST_PROP(TrieSolver, NoSetOfCheckpointsAndKvIsCheaperNorSmallerAtTheSameCost, ()) {
  ForSomeTries(10, 40, true, ExpectBestOfAll);
}

RC_GTEST_PROP(TrieSolver, MatchesATableOfEveryNodeAndEveryAncestor, ()) {
  ForSomeTries(400, 4, false, ExpectBestByTable);
}

RC_GTEST_PROP(TrieSolver, JointMatchesATableOfEveryNodeAndEveryAncestor, ()) {
  ForSomeTries(400, 4, true, ExpectBestByTable);
}

// What an incremental planner builds on.
RC_GTEST_PROP(TrieSolver, ATrieIsTheForestOfTheRootsChildren, ()) {
  const bool joint = Draw<int>(0, 2) == 1;
  const TrieData data = DrawTrie(AnyShape(1, 200), Draw<std::uint64_t>(0, UINT64_MAX));
  const double price = AnyPrice();
  const TriePlan whole = Solve(data.View(), price, joint);
  TriePlan sum;
  TrieSolver solver;
  std::vector<std::uint32_t> ids;
  for (std::uint32_t child = 1; child < data.Size(); ++child) {
    if (data.parent[child] != 0) {
      continue;
    }
    const TrieData part = Subtrie(data, child, ids);
    const auto plan =
        joint ? solver.SolveJoint(part.View(), price) : solver.SolveTrie(part.View(), price);
    sum.objective += plan->objective;
    sum.bytes += plan->bytes;
    for (const auto v : plan->checkpoints) {
      sum.checkpoints.push_back(ids[v]);
    }
    for (const auto v : plan->kept_kv) {
      sum.kept_kv.push_back(ids[v]);
    }
  }
  std::sort(sum.checkpoints.begin(), sum.checkpoints.end());
  std::sort(sum.kept_kv.begin(), sum.kept_kv.end());
  RC_ASSERT(sum.objective == whole.objective);
  RC_ASSERT(sum.bytes == whole.bytes);
  RC_ASSERT(sum.checkpoints == whole.checkpoints);
  RC_ASSERT(sum.kept_kv == whole.kept_kv);
}

// Rates that decayed, potentials that were measured: no cost is a whole number.
RC_GTEST_PROP(TrieSolver, FractionsOfAnySizeStayWithinAMillionthOfAThousandth, ()) {
  const bool joint = Draw<int>(0, 2) == 1;
  TrieData data = DrawTrie(AnyShape(1, 300), Draw<std::uint64_t>(0, UINT64_MAX));
  std::mt19937_64 random(Draw<std::uint64_t>(0, UINT64_MAX));
  std::uniform_real_distribution<double> uniform(0, 1);
  const double spread = Draw<int>(0, 12);
  for (std::size_t v = 0; v < data.Size(); ++v) {
    data.weight[v] *= std::pow(10, spread * uniform(random) - 6);
    if (v > 0) {
      data.potential[v] =
          data.potential[data.parent[v]] + std::pow(10, spread / 2 * uniform(random)) / 7;
    }
  }
  const double price = AnyPrice() * std::pow(10, 12 * uniform(random) - 6);
  const TriePlan plan = Solve(data.View(), price, joint);
  const Cost cost = CostOf(data.View(), AsMask(plan.checkpoints, data.Size()), joint);
  RC_ASSERT(cost.bytes == plan.bytes);
  RC_ASSERT(std::abs(cost.Objective(price) - plan.objective) <= 1e-12 * plan.objective);
  const double least = LeastObjective(data.View(), price, joint);
  RC_ASSERT(std::abs(plan.objective - least) <= 1e-9 * least);
}

}  // namespace
}  // namespace cairn
