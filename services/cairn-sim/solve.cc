#include "services/cairn-sim/solve.h"

#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/solver/chain.h"
#include "libcache/solver/trie_budget.h"
#include "libcache/solver/trie_counts.h"
#include "libcache/solver/trie_solver.h"
#include "services/cairn-sim/json.h"
#include "services/cairn-sim/report.h"
#include "services/cairn-sim/solve_text.h"

namespace cairn::sim {
namespace {

Status CheckPrices(const std::vector<double>& prices) {
  for (const double price : prices) {
    if (!ValidatePrice(price)) {
      return Fail(ErrorCode::kInvalidArgument, "price: must be finite and not below 0");
    }
  }
  return {};
}

/// Checked before.
std::optional<std::uint64_t> BudgetOf(const Instance& instance, const SolveOptions& options) {
  return options.budget.empty() ? instance.budget : ParseBytes(options.budget).value();
}

PricedSolution FromPlan(TriePlan plan, double price, bool joint) {
  PricedSolution solution{.price = price,
                          .objective = plan.objective,
                          .cost = plan.recompute,
                          .bytes = plan.bytes,
                          .chosen = std::move(plan.checkpoints),
                          .kept_kv = std::nullopt};
  if (joint) {
    solution.kept_kv = std::move(plan.kept_kv);
  }
  return solution;
}

Result<Solution> SolveOneTrie(const Instance& instance, const std::vector<double>& prices,
                              const SolveOptions& options) {
  Solution solution;
  const TrieInstance trie = instance.View();
  TrieSolver solver;
  for (const double price : prices) {
    auto plan = instance.joint ? solver.SolveJoint(trie, price) : solver.SolveTrie(trie, price);
    if (!plan) {
      return Fail(plan.error());
    }
    solution.priced.push_back(FromPlan(*std::move(plan), price, instance.joint));
  }
  if (!instance.joint && (options.counts || trie.Size() <= kNodesUnasked)) {
    auto costs = LeastCostByCount(trie, options.counts.value_or(kCountsUnasked));
    if (!costs) {
      return Fail(costs.error());
    }
    solution.cost_by_count = *std::move(costs);
  }
  if (const auto budget = BudgetOf(instance, options)) {
    auto found =
        instance.joint ? SolveJointForBudget(trie, *budget) : SolveTrieForBudget(trie, *budget);
    if (!found) {
      return Fail(found.error());
    }
    solution.budget = *budget;
    solution.budgeted = FromPlan(std::move(found->plan), found->price_per_byte, instance.joint);
  }
  return solution;
}

PricedSolution FromPositions(std::vector<std::uint32_t> positions, double cost, double price) {
  const std::uint64_t count = positions.size();
  return {.price = price,
          .objective = cost + price * static_cast<double>(count),
          .cost = cost,
          .bytes = count,
          .chosen = std::move(positions),
          .kept_kv = std::nullopt};
}

/// The positions that overlaps end at; a checkpoint anywhere else helps no more.
Result<FixedChain> ChainOf(const Instance& histogram) {
  std::vector<RealChainPoint> points;
  for (std::size_t i = 0; i < histogram.weight.size(); ++i) {
    if (histogram.weight[i] < 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "hist[" + std::to_string(i) + "]: must not be below 0");
    }
    if (i > 0 && histogram.weight[i] > 0) {
      points.push_back({.position = static_cast<std::uint32_t>(i),
                        .potential = static_cast<double>(i),
                        .weight = histogram.weight[i]});
    }
  }
  return ToFixedChain(points);
}

Result<Solution> SolveHistogram(const Instance& instance, const std::vector<double>& prices,
                                const SolveOptions& options) {
  const auto chain = ChainOf(instance);
  if (!chain) {
    return Fail(chain.error());
  }
  Solution solution;
  for (const double price : prices) {
    auto placed = PlacePriced(chain->points, chain->Price(price));
    if (!placed) {
      return Fail(placed.error());
    }
    solution.priced.push_back(
        FromPositions(std::move(placed->positions), chain->ToReal(placed->cost), price));
  }
  const auto budget = BudgetOf(instance, options);
  const auto table =
      ChainTable::Solve(chain->points, options.counts.value_or(budget.value_or(kCountsUnasked)));
  if (!table) {
    return Fail(table.error());
  }
  solution.cost_by_count.emplace();
  for (const ChainCost cost : table->CostByCount()) {
    solution.cost_by_count->push_back(chain->ToReal(cost));
  }
  if (budget) {
    const auto best = ChainTable::Solve(chain->points, *budget);
    if (!best) {
      return Fail(best.error());
    }
    solution.budget = *budget;
    solution.budgeted =
        FromPositions(best->MinPositions(), chain->ToReal(best->CostByCount().back()), 0);
  }
  return solution;
}

}  // namespace

Result<Solution> Solve(const Instance& instance, const SolveOptions& options) {
  const std::vector<double>& prices = options.prices.empty() ? instance.prices : options.prices;
  if (const Status good = CheckPrices(prices); !good) {
    return Fail(good.error());
  }
  auto solution = instance.histogram ? SolveHistogram(instance, prices, options)
                                     : SolveOneTrie(instance, prices, options);
  if (solution) {
    solution->name = instance.name;
    solution->unknown_fields = instance.unknown;
  }
  return solution;
}

int RunSolve(const SolveOptions& options, bool json) {
  if (const Status good = CheckPrices(options.prices); !good) {
    return WrongUsage({ErrorCode::kInvalidArgument, "--prices: " + good.error().message}, json);
  }
  if (const auto budget = ParseBytes(options.budget); !options.budget.empty() && !budget) {
    return WrongUsage({ErrorCode::kInvalidArgument, "--budget: " + budget.error().message}, json);
  }
  const auto file = ReadInstances(options.instance);
  if (!file) {
    return Failed(file.error(), json);
  }
  std::vector<Solution> solutions;
  for (const Instance& instance : file->instances) {
    auto solution = Solve(instance, options);
    if (!solution) {
      return Failed({solution.error().code,
                     options.instance + ": " + instance.name + ": " + solution.error().message},
                    json);
    }
    solutions.push_back(*std::move(solution));
  }
  return Print(json ? SolveJson(solutions, file->alone) : SolveText(solutions), json);
}

}  // namespace cairn::sim
