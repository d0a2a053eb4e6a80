#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libcache/placement/prefill_cost.h"
#include "libcache/placement/site_tree.h"

namespace cairn {

/// A place where a checkpoint could be written.
struct ChainCandidate {
  SiteId site = kNoSite;
  std::uint32_t position = 0;
  double returns = 0;        ///< Probability that a later overlap ends between it and the next one.
  double cost_per_byte = 0;  ///< Writing it, and the rent until it is used or given up.
};

/// What is the same for all of them.
struct ChainCosts {
  PrefillCost cost;
  std::uint64_t checkpoint_bytes = 0;
  std::uint64_t kv_bytes_per_token = 0;
  std::uint32_t resume = 0;       ///< Boundary in the cache already; 0 if none.
  std::uint32_t kv_resident = 0;  ///< Tokens whose KV is in the cache already.
};

/// Which candidates to take, ascending (`candidates` are, and lie beyond `resume`): the set of at
/// most `limit` with the greatest gain
///   sum of P(a later overlap ends here or deeper) x (seconds saved over the choice above)
///   - cost of the states, and of the KV down to the deepest.
/// Exact: O(n^2) without a limit that binds, else O(limit n^2).
std::vector<std::size_t> BestChain(std::span<const ChainCandidate> candidates,
                                   const ChainCosts& costs, std::size_t limit);

/// The same for several limits at once, with memory that is kept from call to call.
class ChainChoice {
 public:
  /// Prepares the best sets of up to `limit` candidates.
  void Solve(std::span<const ChainCandidate> candidates, const ChainCosts& costs,
             std::size_t limit);
  /// The best set of at most `limit`, which may not be above that of Solve. Valid until the next
  /// call.
  const std::vector<std::size_t>& Best(std::size_t limit);

 private:
  struct Choice {
    double gain = 0;
    std::uint32_t above = 0;  // Index of the choice above plus one; 0 for the resumed boundary.
  };
  struct End {
    double gain = 0;
    std::uint32_t at = 0;  // Index of the deepest choice plus one; 0: nothing pays.
  };

  std::size_t candidates_ = 0;
  bool unlimited_ = true;
  // Row m, place i: the best with m + 1 checkpoints of which the deepest is i. Without a limit one
  // row does, which looks back at itself.
  std::vector<Choice> choices_;
  std::vector<End> ends_;          // By row: the best of it and of those before.
  std::vector<double> potential_;  // Of each candidate: seconds of prefill down to it.
  std::vector<double> from_;       // Probability of overlaps that end at it or deeper.
  std::vector<double> kv_cost_;    // When it is the deepest.
  std::vector<std::size_t> chosen_;
};

}  // namespace cairn
