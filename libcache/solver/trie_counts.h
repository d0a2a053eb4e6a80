#pragma once

#include <cstddef>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/solver/trie_instance.h"

namespace cairn {

/// nodes * (longest path + 1) * (largest count + 1) that LeastCostByCount takes on: some seconds.
inline constexpr double kMaxCountWork = 4e9;

/// For every number of checkpoints up to `max_count`, or as many as may stand somewhere: the least
/// that requests can pay, bytes not looked at. Exact also for numbers that no price reaches
/// (TrieCostHull, which is faster, gives the others). Entry 0 is the cost without any. More never
/// cost more, so exactly m and at most m are the same.
///
/// A table of node, best ancestor and number: O(nodes * longest path * max_count) time, for small
/// tries. Errors: those of Validate; kInvalidArgument above kMaxCountWork. An empty trie gives {0}.
Result<std::vector<double>> LeastCostByCount(const TrieInstance& trie, std::size_t max_count);

}  // namespace cairn
