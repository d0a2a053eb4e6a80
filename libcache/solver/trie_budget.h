#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/solver/trie_instance.h"
#include "libcache/solver/trie_solver.h"

namespace cairn {

/// What fits, and the price at which it was the best.
struct BudgetedPlan {
  double price_per_byte = 0;
  TriePlan plan;  ///< Its objective is at that price.
};

/// The least price at which the best plan has at most `budget_bytes`, and that plan. Of all plans
/// with as many bytes it recomputes least; a plan with more bytes that also fits may recompute less
/// if no price makes it the best (it lies above the lower convex hull, TrieCostHull).
///
/// If all that is useful fits, the price is 0 and the plan is that of SolveTrie or SolveJoint at 0.
/// With a budget of 0 only what costs no bytes is kept, at the least price that drives out all
/// else. Solving at the returned price gives the same plan, and a price lower by more than one part
/// in 10^9 one that does not fit. (Unless fetch costs make two plans equal at price 0, of which the
/// smaller fits: then any price above 0 will do, and some such price is returned.)
///
/// Some 10 to 20 solves of the whole trie, at most 200: crossings of the costs of the known plans
/// on either side of the budget, interpolation between them, and halving where both bring little.
/// Pure: may run in any number of threads. Errors: those of Validate.
Result<BudgetedPlan> SolveTrieForBudget(const TrieInstance& trie, std::uint64_t budget_bytes);
Result<BudgetedPlan> SolveJointForBudget(const TrieInstance& trie, std::uint64_t budget_bytes);

/// A plan that some price makes the best.
struct HullPoint {
  double price_per_byte = 0;  ///< The least such price.
  double recompute = 0;       ///< The least possible with `bytes`.
  std::uint64_t bytes = 0;
  std::size_t checkpoints = 0;
};

struct CostHull {
  std::vector<HullPoint> points;  ///< From price 0 up, so by falling bytes.
  bool complete = true;           ///< False if there are more than the points asked for.
};

/// Every trade of bytes for recomputation that a price can reach, the lower convex hull of cost
/// over bytes; with checkpoint_bytes empty, of cost over the number of checkpoints. At most
/// `max_points` of them, at least 2: coarse ones first, so that a cut-off hull still spans the
/// range. Two solves per point. Errors: those of Validate.
Result<CostHull> TrieCostHull(const TrieInstance& trie, std::size_t max_points);
Result<CostHull> JointCostHull(const TrieInstance& trie, std::size_t max_points);

}  // namespace cairn
