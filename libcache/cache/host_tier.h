#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "libcache/cache/types.h"
#include "libcache/index/prefix_index.h"
#include "libcache/policy/eviction.h"
#include "libcache/tier/arena.h"

namespace cairn {

/// What the host tier must know of a namespace.
struct NamespaceShape {
  bool recurrent = false;  ///< Boundaries are checkpoints; else every block's KV is one.
  std::uint32_t block_tokens = 0;
};

/// Which objects are in host memory, which of them are worth keeping, and who goes first.
///
/// The unit of eviction is a boundary: the checkpoint with the KV that only it needs. A node is
/// needed while a boundary in host memory or a pin hangs at it or below it; KV of a needed node
/// stays, KV of one that is not needed ("orphan": no checkpoint makes it restorable) is first to
/// go. So a pin on one node protects the whole path to it at the cost of one counter.
///
/// Not thread-safe: the cache calls it under its lock. Bytes are filled and read without it, by
/// those who hold an io pin or a lease.
class HostTier {
 public:
  struct Config {
    PrefixIndex* index = nullptr;
    Arena* arena = nullptr;
    EvictionPolicy* policy = nullptr;
    CacheStats* stats = nullptr;
    std::function<NamespaceShape(std::uint16_t)> shape;
    /// A published object left host memory, for whatever reason.
    std::function<void(ObjectId)> dropped;
  };
  explicit HostTier(Config config) : c_(std::move(config)) {}

  /// Arena space for an object, evicting as needed. The object is marked with `flag` (kWriting or
  /// kPromoting). Errors: kNoSpace when everything else is pinned or in use.
  Status Allocate(ObjectId id, std::uint8_t flag);
  /// The bytes are in place: visible to readers from now on.
  void Publish(ObjectId id, std::uint8_t flag, const Digest& digest);
  /// Takes the arena space of an unpublished object back. The object itself stays.
  void Abandon(ObjectId id, std::uint8_t flag);
  /// Removes a published object from host memory; false when a transfer holds it. Removes the
  /// object from the trie if no other tier has it.
  bool Drop(ObjectId id, EvictReason reason);

  /// False when as many hold the node as can be counted.
  [[nodiscard]] bool CanPin(NodeId id) const { return c_.index->node(id).pins < UINT16_MAX; }
  void Pin(NodeId id);
  void Unpin(NodeId id);
  /// The boundary at `id` served a request.
  void Touch(NodeId id);
  /// Hangs the whole-block node `id`, with all below it, under another parent.
  void Reparent(NodeId id, NodeId parent);
  /// To be called when what hangs at a node changed outside this class.
  void Refresh(NodeId id);

  /// Evicts the boundary at `id` with the KV that only it needs. False when it is pinned.
  bool EvictBoundary(NodeId id, EvictReason reason);

 private:
  [[nodiscard]] bool IsBoundary(const Node& node) const;
  [[nodiscard]] bool Evictable(NodeId id) const;
  bool EvictOne();
  bool EvictOldestOrphan();
  bool EvictSubtree(NodeId id, EvictReason reason);
  [[nodiscard]] double CostBelow(NodeId id, int& budget) const;
  bool MakeContiguous(std::uint64_t bytes);
  void UpdateUnit(NodeId id);
  void Unneeded(NodeId id);
  [[nodiscard]] EvictionUnit Unit(NodeId id) const;

  Config c_;
  NodeList orphans_;
};

}  // namespace cairn
