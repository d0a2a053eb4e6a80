#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cairn {

/// The plan of the published program to the last bit: the recurrence of ChainTable in doubles, in
/// its order of operations. Where checkpoints are to spare, rounding decides at which of the
/// useless bins they stand, and some of these turn out useful later: exact arithmetic plans as
/// well, but does not reproduce a published run to the token. Used for that only.
class RoundedPlan {
 public:
  static constexpr std::size_t kMaxWork = std::size_t{1} << 24U;
  /// Bins and budget such that bins^2 * budget does not overflow.
  static std::size_t Work(std::size_t bins, std::size_t budget) {
    return bins * bins * std::min(bins, budget);
  }

  /// `counts` by bin, of which [0] is the misses; their sum is above 0. O(bins^2 * budget).
  RoundedPlan(std::span<const double> counts, std::size_t budget);

  /// Bins with a checkpoint, ascending, for a request whose last bin is `last_bin`.
  [[nodiscard]] std::vector<std::uint32_t> Bins(std::uint32_t last_bin) const;

 private:
  std::size_t bins_;  // Without bin 0.
  std::size_t budget_;
  std::vector<std::uint32_t> choice_;  // [(m - 1) * (bins + 1) + j]
};

}  // namespace cairn
