#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "libcache/base/check.h"
#include "libcache/solver/chain.h"

namespace cairn::internal {

/// The lower envelope of lines value - slope * x over whole x, for lines that come with slopes that
/// never fall and queries whose x never falls. Of equal values the line with the smaller count
/// wins, then the one that came first.
///
/// A line is kept with the first whole x at which it beats the line before it. Comparing these
/// instead of cross products needs no more than 128 bits and is exact, ties included: of two lines
/// the steeper one, once it wins, wins for good.
///
/// All calls are O(1) amortised. The fields lie in arrays of their own: as a struct, lines were
/// copied in pieces that the processor cannot forward from store to load, which took a third of the
/// time.
class ChainHull {
 public:
  struct Line {
    ChainCost value;
    std::uint64_t slope;
    std::uint32_t source;
    std::uint32_t count;
  };

  /// No query will be above `max_x`, which is below 2^63. Memory is touched as lines are kept.
  ChainHull(std::size_t max_lines, std::uint64_t max_x)
      : max_lines_(max_lines),
        max_x_(max_x),
        values_(new ChainCost[max_lines]),
        slopes_(new std::uint64_t[max_lines]),
        wins_from_(new std::uint64_t[max_lines]),
        sources_(new std::uint32_t[max_lines]),
        counts_(new std::uint32_t[max_lines]) {}

  void Clear() { front_ = end_ = 0; }

  void Add(const Line& line) {
    std::uint64_t wins_from = 0;
    while (end_ > front_) {
      wins_from = FirstWin(end_ - 1, line);
      if (end_ == front_ + 1 || wins_from > wins_from_[end_ - 1]) {
        break;
      }
      --end_;  // Nowhere the best one: this line wins no later than it does.
    }
    if (wins_from > max_x_) {
      return;
    }
    CAIRN_DCHECK(end_ < max_lines_);
    values_[end_] = line.value;
    slopes_[end_] = line.slope;
    wins_from_[end_] = wins_from;
    sources_[end_] = line.source;
    counts_[end_] = line.count;
    ++end_;
  }

  /// The best line at x. At least one must have been added.
  Line Best(std::uint64_t x) {
    while (front_ + 1 < end_ && wins_from_[front_ + 1] <= x) {
      ++front_;
    }
    return {values_[front_], slopes_[front_], sources_[front_], counts_[front_]};
  }

 private:
  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

  /// The first x from which `steep` beats line i, which came before it.
  [[nodiscard]] std::uint64_t FirstWin(std::size_t i, const Line& steep) const {
    const ChainCost above = steep.value - values_[i];
    const std::uint64_t slope = steep.slope - slopes_[i];
    const bool wins_ties = steep.count < counts_[i];
    if (above < 0 || (above == 0 && wins_ties)) {
      return 0;
    }
    if (slope == 0) {
      return kNever;
    }
    constexpr auto kNarrow = static_cast<ChainCost>(std::numeric_limits<std::int64_t>::max());
    if (above <= kNarrow) {
      // A division of 128 bits costs several times as much.
      const auto narrow = static_cast<std::uint64_t>(above);
      return narrow / slope + (narrow % slope == 0 && wins_ties ? 0U : 1U);
    }
    const ChainCost quotient = above / static_cast<ChainCost>(slope);
    if (quotient >= kNarrow) {
      return kNever;
    }
    const bool tie = quotient * static_cast<ChainCost>(slope) == above;
    return static_cast<std::uint64_t>(quotient) + (tie && wins_ties ? 0U : 1U);
  }

  std::size_t max_lines_;
  std::uint64_t max_x_;
  std::unique_ptr<ChainCost[]> values_;
  std::unique_ptr<std::uint64_t[]> slopes_;
  std::unique_ptr<std::uint64_t[]> wins_from_;
  std::unique_ptr<std::uint32_t[]> sources_;
  std::unique_ptr<std::uint32_t[]> counts_;
  std::size_t front_ = 0;
  std::size_t end_ = 0;
};

}  // namespace cairn::internal
