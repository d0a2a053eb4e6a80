#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libcache/base/result.h"

// Exact placement of checkpoints on one sequence.
//
// A request whose overlap ends at point l resumes at the deepest checkpoint at or before l and
// recomputes D(l) - D(checkpoint), D being the potential: the cost of a prefill from nothing, 0 at
// position 0, where a resume is always possible. A set S of points costs
//
//   sum over l of weight(l) * (D(l) - D(deepest point of S at or before l, else position 0))
//
// Everything is integers: sums are exact in 128 bits, so that equal costs are equal and a plan does
// not depend on the compiler. Real numbers come in through ToFixedChain.
//
// Only positions with weight can help: a checkpoint that moves down the sequence to the next weight
// serves the same requests from deeper. So a sparse histogram is passed as its non-zero points; to
// get the dense rule's choice among useless positions, too, pass all of them, with weight 0.
//
// All functions are pure; objects are values, safe to read from many threads.
namespace cairn {

__extension__ using ChainCost = __int128;

/// One place where overlaps end, and where a checkpoint may stand.
struct ChainPoint {
  std::uint32_t position = 0;   ///< Tokens; ascending in a chain.
  std::uint64_t potential = 0;  ///< D(position); never falls along a chain.
  std::uint64_t weight = 0;     ///< How often an overlap ends here.
};

inline constexpr std::size_t kMaxChainPoints = std::size_t{1} << 24U;
/// Of one potential, and of the sum of all weights; then no sum leaves 128 bits.
inline constexpr std::uint64_t kMaxChainSum = std::uint64_t{1} << 62U;
/// Points times checkpoints of one table: 256 MiB of choices.
inline constexpr std::size_t kMaxChainCells = std::size_t{1} << 26U;

/// Cost of a set of positions, which need not be points; ascending. O(points + positions).
/// Errors: kInvalidArgument as ChainTable::Solve, or if the positions are not ascending. A position
/// between two points offers the potential of the point at or before it.
Result<ChainCost> CostOfPositions(std::span<const ChainPoint> points,
                                  std::span<const std::uint32_t> positions);

/// The optimum for every count up to a bound, at the end of the chain and at every point of it.
class ChainTable {
 public:
  /// O(points * checkpoints) time and 4 bytes per cell; `max_count` beyond the number of points is
  /// cut to it. No points, or a count of 0, is a table that places nothing.
  /// Errors: kInvalidArgument if positions do not ascend, potentials fall, or a limit above is
  /// passed.
  static Result<ChainTable> Solve(std::span<const ChainPoint> points, std::size_t max_count);

  /// [m] is the least cost with at most m checkpoints, m = 0 .. MaxCount(). Convex in m.
  [[nodiscard]] std::span<const ChainCost> CostByCount() const { return cost_by_count_; }
  [[nodiscard]] std::size_t MaxCount() const { return cost_by_count_.size() - 1; }
  /// The fewest checkpoints with the cost that MaxCount() has.
  [[nodiscard]] std::size_t MinCount() const;

  /// The optimum for a request of `tokens`, that is for the weight at or before it, with at most
  /// `count` checkpoints; ascending. Of equal costs the smallest last checkpoint, then the smallest
  /// before it. With checkpoints to spare some of them are useless. O(count + log points).
  [[nodiscard]] std::vector<std::uint32_t> Positions(std::size_t count, std::uint32_t tokens) const;
  /// The smallest set with the cost that MaxCount() has, for the whole chain.
  [[nodiscard]] std::vector<std::uint32_t> MinPositions() const;

 private:
  ChainTable() = default;

  std::vector<std::uint32_t> positions_;
  std::vector<ChainCost> cost_by_count_;
  std::vector<std::uint32_t>
      choice_;  // [(m - 1) * points + j]: the last checkpoint for points 0..j.
};

struct PricedPlacement {
  std::vector<std::uint32_t> positions;  ///< Ascending.
  ChainCost cost = 0;                    ///< Without what the checkpoints and their KV cost.
};

/// Minimises cost + price * checkpoints; of equal sums the fewest checkpoints. With `reach`, one
/// number per point, also reach[i] is paid once, i being the deepest checkpoint: what it costs to
/// keep the KV up to there. Time and memory linear in the points.
/// Errors: kInvalidArgument as ChainTable::Solve, for a price or reach below 0, or if `reach` is
/// neither empty nor as long as the points.
Result<PricedPlacement> PlacePriced(std::span<const ChainPoint> points, ChainCost price,
                                    std::span<const ChainCost> reach = {});

struct Overlap {
  std::uint32_t tokens = 0;
  std::uint64_t weight = 0;
};

struct GriddedOverlaps {
  std::vector<ChainPoint> points;  ///< The potential is the position.
  ChainCost residual = 0;          ///< What no checkpoint on the grid can save.
};

/// The chain of overlaps (in any order) where checkpoints stand on multiples of `grid_tokens`. An
/// overlap counts at the grid position at or before it, which loses nothing: what lies between the
/// two is recomputed whatever the placement, and is the residual. O(n log n).
/// Errors: kInvalidArgument for a grid of 0, or if a sum passes kMaxChainSum.
Result<GriddedOverlaps> ChainOfOverlaps(std::span<const Overlap> overlaps,
                                        std::uint32_t grid_tokens);

struct RealChainPoint {
  std::uint32_t position = 0;
  double potential = 0;
  double weight = 0;
};

/// A chain in fixed point. Weights and potentials are multiplied by powers of two and rounded, such
/// that the sum of the weights and the last potential have a given number of bits.
struct FixedChain {
  std::vector<ChainPoint> points;
  int weight_shift = 0;
  int potential_shift = 0;

  [[nodiscard]] double ToReal(ChainCost cost) const;
  /// A price in real units, rounded; not a number and below 0 become 0, the largest is no purchase.
  [[nodiscard]] ChainCost Price(double price) const;
};

/// With 53 bits as fine as the doubles are at that magnitude, and without their rounding in sums.
/// With 31 products stay within 64 bits, and the functions above take two thirds of the time.
/// Errors: kInvalidArgument for a weight or potential that is negative, infinite or not a number,
/// for bits outside 1 .. 53, and as ChainTable::Solve.
Result<FixedChain> ToFixedChain(std::span<const RealChainPoint> points, int bits = 53);

}  // namespace cairn
