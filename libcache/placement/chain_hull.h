#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "libcache/placement/chain.h"

namespace cairn::internal {

/// The lower envelope of lines value - slope * x over whole x, for lines that come with slopes that
/// never fall and queries whose x never falls. Of equal values the line with the smaller count
/// wins, then the one that came first.
///
/// A line is kept with the first whole x at which it beats the line before it. Comparing these
/// instead of cross products needs no more than 128 bits and is exact, ties included: of two lines
/// the steeper one, once it wins, wins for good.
class ChainHull {
 public:
  struct Line {
    ChainCost value = 0;
    std::uint64_t slope = 0;
    std::uint64_t wins_from = 0;
    std::uint32_t source = 0;
    std::uint32_t count = 0;
  };

  /// No query will be above `max_x`, which is below 2^63.
  ChainHull(std::size_t max_lines, std::uint64_t max_x) : max_x_(max_x) {
    lines_.reserve(max_lines);
  }

  void Clear() {
    lines_.clear();
    front_ = 0;
  }

  void Add(Line line) {
    while (lines_.size() > front_) {
      line.wins_from = FirstWin(lines_.back(), line);
      // The last line is nowhere the best one if this one wins no later than it does.
      if (lines_.size() > front_ + 1 && line.wins_from <= lines_.back().wins_from) {
        lines_.pop_back();
        continue;
      }
      if (line.wins_from <= max_x_) {
        lines_.push_back(line);
      }
      return;
    }
    line.wins_from = 0;
    lines_.push_back(line);
  }

  /// At least one line must have been added.
  const Line& Best(std::uint64_t x) {
    while (front_ + 1 < lines_.size() && lines_[front_ + 1].wins_from <= x) {
      ++front_;
    }
    return lines_[front_];
  }

 private:
  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

  /// The first x from which `steep` beats `flat`, which came before it.
  static std::uint64_t FirstWin(const Line& flat, const Line& steep) {
    const ChainCost above = steep.value - flat.value;
    const std::uint64_t slope = steep.slope - flat.slope;
    const bool wins_ties = steep.count < flat.count;
    if (above < 0) {
      return 0;
    }
    if (above == 0) {
      return wins_ties ? 0 : (slope == 0 ? kNever : 1);
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

  std::uint64_t max_x_;
  std::vector<Line> lines_;
  std::size_t front_ = 0;
};

}  // namespace cairn::internal
