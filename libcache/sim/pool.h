#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "libcache/base/result.h"
#include "libcache/placement/learned_placement.h"
#include "libcache/sim/prefix_tree.h"
#include "libcache/sim/simulator.h"

namespace cairn::sim {

/// What is resident, and who has to go. Three kinds: "value" evicts checkpoints with the KV that
/// only they need, "marconi" the nodes of a radix tree, all others states and stretches of KV one
/// by one, as engines do.
class Pool {
 public:
  /// Where a request writes: KV of the path down to `kv_depth` nodes, states at `states`.
  struct Store {
    std::span<const NodeId> path;    ///< From the root's child to the end of the prompt.
    std::size_t kv_depth = 0;        ///< Leading nodes of the path whose KV is kept.
    std::size_t resumed = 0;         ///< Nodes of the path up to the boundary that was used.
    std::span<const NodeId> states;  ///< Nodes of the path that get a state, shallow first.
  };
  virtual ~Pool() = default;
  /// The upper part of a node was cut off as `upper`.
  virtual void OnSplit(NodeId upper, NodeId lower) = 0;
  virtual void Put(const Store& store) = 0;
  /// Prefill seconds per byte and second, for Plan.
  [[nodiscard]] virtual double Price() { return 0; }
  [[nodiscard]] virtual std::vector<Report::PricePoint> Prices() const { return {}; }
  [[nodiscard]] virtual std::uint64_t used_bytes() const = 0;
};

/// What all pools work on; it outlives them. Of `tiers`, which may be null, a pool removes what it
/// drops.
struct PoolParts {
  const Options& options;
  PrefixTree& tree;
  Report& report;
  Tiers* tiers = nullptr;
};

/// Errors: kInvalidArgument for an unknown policy.
Result<std::unique_ptr<Pool>> MakeObjectPool(const PoolParts& parts);
/// Recency and flops per byte, with the `alpha` that holds when somebody has to go.
std::unique_ptr<Pool> MakeMarconiPool(const PoolParts& parts, const double& alpha);
/// Asks `learned` who is worth least.
std::unique_ptr<Pool> MakeValuePool(const PoolParts& parts, LearnedPlacement& learned,
                                    const double& now_s);

}  // namespace cairn::sim
