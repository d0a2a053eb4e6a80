#pragma once

#include <cstdint>
#include <vector>

#include "libcache/sim/prefix_tree.h"
#include "libcache/sim/simulator.h"

namespace cairn::sim {

/// States at the ends of nodes, each kept with all KV down to it: KV that no state needs is not
/// there. Marks it in the tree and counts the bytes; who goes is decided elsewhere.
class KeptPrefixes {
 public:
  /// Of `tiers`, which may be null, it removes what is dropped.
  KeptPrefixes(const Options& options, PrefixTree& tree, Tiers* tiers)
      : options_(options), tree_(tree), tiers_(tiers) {}

  /// The node must not have a state yet, or must have one to Drop.
  void Keep(NodeId id);
  void Drop(NodeId id);

  [[nodiscard]] std::uint64_t used_bytes() const { return used_bytes_; }
  [[nodiscard]] bool Fits() const { return used_bytes_ <= options_.capacity_bytes; }
  /// Counts what was kept since the last call and is still there: what made room by its own going
  /// was never written. Returns the number of such states.
  std::uint64_t CountWritten(Report& report);

 private:
  [[nodiscard]] std::uint64_t KvBytes(const Node& node) const;
  void Gone(Tiers::Object object);

  const Options& options_;
  PrefixTree& tree_;
  Tiers* tiers_;
  std::uint64_t used_bytes_ = 0;
  std::vector<NodeId> fresh_states_;
  std::vector<NodeId> fresh_kv_;
};

}  // namespace cairn::sim
