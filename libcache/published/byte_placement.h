#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/solver/chain.h"

namespace cairn {

/// What a set of checkpoints of one sequence takes: each its state, and once the KV of all tokens
/// up to the deepest. KV beyond it could not be resumed from and is not kept.
struct BoundaryBytes {
  double per_checkpoint = 0;
  double per_token = 0;

  /// Of ascending positions.
  [[nodiscard]] double Of(std::span<const std::uint32_t> positions) const;
};

/// What a request that leaves the chain as `points` say is expected to save, in potential.
double ExpectedSaving(std::span<const RealChainPoint> points,
                      std::span<const std::uint32_t> positions);

/// The positions with the greatest expected saving - price * bytes, `price` being what a byte would
/// save elsewhere. A price above what these checkpoints can save per byte is lowered to that: then
/// the set with the greatest saving per byte is the answer. So a high price makes a sequence frugal
/// but does not turn it away; whether it stays is for eviction to say.
///
/// Linear in the points per round; some rounds (Dinkelbach's method) where the price is too high.
/// Errors: kInvalidArgument as ToFixedChain, for a size that is negative or not finite, or a price
/// that is negative or not a number.
Result<std::vector<std::uint32_t>> PlaceForBytes(std::span<const RealChainPoint> points,
                                                 const BoundaryBytes& bytes, double price);

}  // namespace cairn
