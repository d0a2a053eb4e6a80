#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "services/cairn-sim/instance.h"

namespace cairn::sim {

struct SolveOptions {
  std::string instance;
  std::vector<double> prices;  ///< Empty: those of the file.
  std::string budget;          ///< A size, for a histogram a number; empty: that of the file.
  std::optional<std::uint64_t> counts;
};

/// The best plan at a price per byte; of a histogram, per checkpoint.
struct PricedSolution {
  double price = 0;
  double objective = 0;  ///< cost + price * bytes.
  double cost = 0;       ///< What the requests pay.
  std::uint64_t bytes = 0;
  std::vector<std::uint32_t> chosen;                  ///< Nodes, or positions of a histogram.
  std::optional<std::vector<std::uint32_t>> kept_kv;  ///< Where KV has bytes.
};

struct Solution {
  std::string name;
  std::vector<PricedSolution> priced;
  /// [m]: the least cost with m checkpoints. Not for joint tries, nor large ones unless asked for.
  std::optional<std::vector<double>> cost_by_count;
  std::optional<PricedSolution> budgeted;
  std::uint64_t budget = 0;
  std::vector<std::string> unknown_fields;  ///< Of the instance; they were left out.
};

/// Tries of up to so many nodes, and histograms, get costs for so many checkpoints unasked.
inline constexpr std::size_t kCountsUnasked = 64;
inline constexpr std::size_t kNodesUnasked = 256;

/// `prices` and `budget` go before those of the instance. Errors: those of the solvers.
Result<Solution> Solve(const Instance& instance, const SolveOptions& options);

/// The command. Returns the exit code.
int RunSolve(const SolveOptions& options, bool json);

}  // namespace cairn::sim
