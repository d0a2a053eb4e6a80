#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/published/overlap_histogram.h"

// The placements of the published method (Shirokikh and Nikolenko, Sparse Prefix Caching for Hybrid
// and Recurrent LLM Serving, arXiv:2605.05219), to compare with at equal memory. They see the
// prompt's length, and one histogram for all prompts.
namespace cairn {

/// step, 2 step, .. up to `tokens`; a step of 0 has none. O(tokens / step), as long as the answer.
std::vector<std::uint32_t> BlockPositions(std::uint32_t tokens, std::uint32_t step);
/// `count` positions at even distances of tokens / (count + 1), at least 1.
std::vector<std::uint32_t> BalancedPositions(std::uint32_t tokens, std::uint32_t count);
/// The multiples of the whole square root of `tokens`.
std::vector<std::uint32_t> SqrtPositions(std::uint32_t tokens);
/// The powers of two in [first, tokens].
std::vector<std::uint32_t> PowerPositions(std::uint32_t tokens, std::uint32_t first);
/// Rounds down to the grid (at least 1) and drops repeats. Ascending stays ascending; position 0,
/// which needs no checkpoint, stays too: the published rule counts it as one.
std::vector<std::uint32_t> ClipToGrid(std::vector<std::uint32_t> positions, std::uint32_t grid);

/// One of them by name, with what it has learned.
class PublishedStrategy {
 public:
  struct Options {
    std::uint32_t grid_tokens = 64;
    bool save_last = false;           ///< Also the prompt's end; never in the published runs.
    std::uint32_t first_power = 768;  ///< Of "log".
    OverlapHistogram::Options histogram = {};  ///< Of "hist_exp_decay"; the name gives the budget.
  };

  /// "none", "block:<k>", "balanced:<m>", "sqrt", "log", "hist_exp_decay:<m>", k and m at least 1.
  /// Errors: kInvalidArgument, lists the names; and those of OverlapHistogram::Create.
  static Result<PublishedStrategy> Create(std::string_view name, const Options& options);

  [[nodiscard]] const std::string& Name() const { return name_; }
  /// "none" keeps nothing, not even KV.
  [[nodiscard]] bool StoresNothing() const { return kind_ == Kind::kNone; }
  /// Null unless the strategy learns.
  [[nodiscard]] OverlapHistogram* Histogram() { return histogram_ ? &*histogram_ : nullptr; }

  /// What the request was found to share with the cache, before its own positions are asked for.
  void Observe(std::uint32_t overlap_tokens);
  /// Ascending, clipped to the grid, at or below `tokens`; position 0 as ClipToGrid says.
  /// Errors: those of OverlapHistogram::Positions.
  Result<std::vector<std::uint32_t>> Positions(std::uint32_t tokens);

 private:
  enum class Kind { kNone, kBlock, kBalanced, kSqrt, kLog, kHistogram };
  PublishedStrategy() = default;

  Kind kind_ = Kind::kNone;
  std::string name_;
  std::uint32_t parameter_ = 0;
  Options options_;
  std::optional<OverlapHistogram> histogram_;
};

}  // namespace cairn
