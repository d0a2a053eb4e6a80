#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/published/rounded_plan.h"
#include "libcache/solver/chain.h"

namespace cairn {

/// The published estimator of where overlaps end, and its plan: one histogram of absolute depths
/// for all requests, forgotten exponentially, and the chain optimum for it. It is the baseline
/// `hist_exp_decay`, kept as published, and the prior for prompts of which nothing better is known.
///
/// Until Solve is first called, positions are the balanced ones; it is called once after a warm-up,
/// and from then on the plan follows by itself (but see `cold_start`). Not thread-safe.
class OverlapHistogram {
 public:
  enum class Mode {
    kFrozen,    ///< Counts plainly; the plan changes at Solve only.
    kPeriodic,  ///< Counts plainly; a new plan every `replan_interval` observations.
    kExpDecay,  ///< The same, and every observation multiplies the counts before it by `gamma`.
  };
  struct Options {
    Mode mode = Mode::kExpDecay;
    std::uint32_t max_tokens = 16'384;  ///< Deeper overlaps count as this.
    std::uint32_t bin_tokens = 64;
    std::uint32_t budget = 5;  ///< Checkpoints per request.
    double gamma = 0.99;
    std::uint32_t replan_interval = 10;
    /// The optimum for the request's length. Otherwise the optimum for `max_tokens`, of which
    /// positions past the request's end are dropped: the published runs did that, and it leaves
    /// short requests with less than their budget.
    bool adaptive_backtrack = false;
    /// Does not wait for the first call of Solve, which the published one must be given.
    bool cold_start = false;
    /// Plans as the published program rounded (see RoundedPlan), where that is at most
    /// RoundedPlan::kMaxWork; the exact plan is as good.
    bool published_rounding = false;
  };
  struct BinCount {
    std::uint32_t bin = 0;
    double count = 0;
  };

  /// Errors: kInvalidArgument for a bin or interval of 0, a gamma outside (0, 1], or a table larger
  /// than kMaxChainCells.
  static Result<OverlapHistogram> Create(const Options& options);

  /// Replaces the counts, as those of a warm-up of `observed` requests seen elsewhere.
  /// Errors: kInvalidArgument for a bin beyond the last, or a count that is negative or not finite.
  Status Restore(std::span<const BinCount> counts, std::size_t observed);
  /// `overlap_tokens` is what was found in the cache, 0 for a miss. O(bins).
  void Observe(std::uint32_t overlap_tokens);
  /// O(bins * budget). Without any weight there is nothing to solve and the plan stays.
  /// Errors: those of ChainTable::Solve; counts within its limits have none.
  Status Solve();
  /// For a request of so many tokens: ascending multiples of the bin (the balanced fallback: of
  /// anything), at most `budget` of them, below or at its end. Solves first when a plan is due.
  Result<std::vector<std::uint32_t>> Positions(std::uint32_t prompt_tokens);

  [[nodiscard]] std::span<const double> Counts() const { return counts_; }
  [[nodiscard]] std::size_t Solves() const { return solves_; }

 private:
  explicit OverlapHistogram(const Options& options);
  [[nodiscard]] std::vector<std::uint32_t> Planned(std::uint32_t tokens) const;

  Options options_;
  std::vector<double> counts_;  // By bin.
  std::size_t observed_ = 0;
  std::size_t solves_ = 0;
  bool dirty_ = false;
  std::optional<std::variant<ChainTable, RoundedPlan>> plan_;
};

}  // namespace cairn
