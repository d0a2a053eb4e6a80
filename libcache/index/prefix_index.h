#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "libcache/base/key.h"
#include "libcache/index/chunked_pool.h"
#include "libcache/tier/cold_tier.h"

namespace cairn {

using NodeId = std::uint32_t;
using ObjectId = std::uint32_t;
inline constexpr std::uint32_t kNoId = UINT32_MAX;

/// Where the bytes of one object are and what is happening to them. 28 bytes, which is why the
/// offset is kept in halves: there is one for every block.
struct Object {
  NodeId node = kNoId;
  std::uint32_t bytes = 0;
  std::uint32_t arena_offset_low = 0;
  std::uint32_t arena_offset_high = 0;
  ColdLocation cold;          ///< Valid while kCold is set.
  std::uint16_t io_pins = 0;  ///< Transfers under way inside the daemon; blocks freeing.
  ObjectKind kind = ObjectKind::kKv;
  std::uint8_t flags = 0;

  static constexpr std::uint8_t kHost = 1;       ///< Published in host memory.
  static constexpr std::uint8_t kCold = 2;       ///< Readable from the cold tier.
  static constexpr std::uint8_t kWriting = 4;    ///< Reserved by a writer, not yet visible.
  static constexpr std::uint8_t kPromoting = 8;  ///< On its way from the cold tier to host memory.
  static constexpr std::uint8_t kQueued = 16;    ///< Waiting for the cold tier to take it.
  static constexpr std::uint8_t kHit = 32;       ///< Read since the cold tier took it.
  static constexpr std::uint8_t kDoomed = 64;    ///< Found corrupt; goes with its last io pin.
  static constexpr std::uint8_t kCoded = 128;    ///< Host memory has what a lossy codec gave back.

  [[nodiscard]] bool Has(std::uint8_t flag) const { return (flags & flag) != 0; }
  void Set(std::uint8_t flag) { flags = static_cast<std::uint8_t>(flags | flag); }
  void Reset(std::uint8_t flag) { flags = static_cast<std::uint8_t>(flags & ~flag); }
  /// Valid while kHost, kWriting or kPromoting is set.
  [[nodiscard]] std::uint64_t arena_offset() const {
    return static_cast<std::uint64_t>(arena_offset_high) << 32U | arena_offset_low;
  }
  void set_arena_offset(std::uint64_t offset) {
    arena_offset_low = static_cast<std::uint32_t>(offset);
    arena_offset_high = static_cast<std::uint32_t>(offset >> 32U);
  }
  /// Some tier can serve it.
  [[nodiscard]] bool Readable() const { return Has(kHost | kCold) && !Has(kDoomed); }
};
static_assert(sizeof(Object) == 28);

/// One position of the prefix trie: the end of a whole block, or a place inside the block that
/// follows its parent (a tail). A node without objects is a ghost: the prefix was seen, its bytes
/// are gone or never came.
struct Node {
  PrefixKey key;
  NodeId parent = kNoId;
  NodeId first_child = kNoId;  ///< Whole blocks.
  NodeId first_tail = kNoId;   ///< Places inside the next block, latest used first.
  NodeId next_sibling = kNoId;
  NodeId prev_sibling = kNoId;
  NodeId list_next = kNoId;
  NodeId list_prev = kNoId;
  std::uint32_t position = 0;
  ObjectId kv = kNoId;
  ObjectId checkpoint = kNoId;
  std::uint16_t pins = 0;  ///< Leases, reservations and operator pins.
  std::uint16_t name_space = 0;
  std::uint32_t flags : 8 = 0;
  std::uint32_t needed_children : 24 = 0;  ///< Children with a boundary in host memory below them.
  static constexpr std::uint32_t kMaxChildren = (1U << 24U) - 1;

  static constexpr std::uint8_t kTail = 1;
  static constexpr std::uint8_t kNeeded = 2;  ///< Counted in the parent's needed_children.
  static constexpr std::uint8_t kGhost = 4;   ///< In the ghost list.
  static constexpr std::uint8_t kOrphan = 8;  ///< In the orphan list.
  static constexpr std::uint8_t kUnit = 16;   ///< Known to the eviction policy.
  static constexpr std::uint8_t kRoot = 32;

  [[nodiscard]] bool Has(std::uint8_t flag) const { return (flags & flag) != 0; }
  void Set(std::uint8_t flag) { flags = static_cast<std::uint8_t>(flags | flag); }
  void Reset(std::uint8_t flag) { flags = static_cast<std::uint8_t>(flags & ~flag); }
};
static_assert(sizeof(Node) == 80);

/// A list of nodes threaded through list_next / list_prev. A node is in one list at most.
struct NodeList {
  NodeId newest = kNoId;
  NodeId oldest = kNoId;
  std::uint32_t size = 0;
};

/// The prefix trie: which prefixes were seen, how they hang together, and which objects each has.
/// Structure only; it knows no bytes, tiers or policy. A block with its KV costs one Node, one
/// Object and its share of the hash table: at most 128 bytes (tests/unit/.../prefix_index_test.cc
/// measures it). Ghosts are remembered up to `max_nodes`, then the longest unused go.
///
/// Not thread-safe: the cache calls it under its lock.
class PrefixIndex {
 public:
  explicit PrefixIndex(std::uint32_t max_nodes);

  /// kNoId if the prefix is unknown.
  [[nodiscard]] NodeId Find(const PrefixKey& key) const;
  /// Starts a fetch of the table line that Find(key) will read; a path's keys are all known, so
  /// their cache misses can overlap.
  void Prefetch(const PrefixKey& key) const;

  /// A node without parent; `key` is the namespace's seed and must be new.
  NodeId InsertRoot(const PrefixKey& key, std::uint16_t name_space);
  /// Child of `parent`, which must exist; `key` must be new. May forget old ghosts to make room,
  /// never `parent` or its ancestors. kNoId when max_nodes are all in use.
  NodeId Insert(NodeId parent, const PrefixKey& key, std::uint32_t position, bool tail);

  /// Moves a whole-block node with all below it under another parent, which must end before it.
  void Reparent(NodeId id, NodeId parent);

  /// Makes an object of `node`, which must have none of that kind.
  ObjectId AddObject(NodeId node, ObjectKind kind, std::uint32_t bytes);
  /// Takes an object off its node, which becomes a ghost if it was the last and it has no children.
  void RemoveObject(ObjectId id);
  /// An object that is not yet part of the trie (recovery); Attach gives it to a node.
  ObjectId NewObject() { return objects_.Allocate(); }
  void Attach(ObjectId id, NodeId node);
  void FreeUnattached(ObjectId id) { objects_.Free(id); }

  /// The prefix was seen again: its ghost, if it is one, is the last to be forgotten.
  void TouchGhost(NodeId id);
  /// Moves a tail to the front of its siblings.
  void TouchTail(NodeId id);

  /// Forgets a node that has no objects, children or pins, and then its parents as far as the same
  /// holds for them and `with_parents` is set.
  void Forget(NodeId id, bool with_parents);

  void Push(NodeList& list, NodeId id, std::uint8_t flag);
  void Remove(NodeList& list, NodeId id, std::uint8_t flag);

  Node& node(NodeId id) { return nodes_[id]; }
  [[nodiscard]] const Node& node(NodeId id) const { return nodes_[id]; }
  Object& object(ObjectId id) { return objects_[id]; }
  [[nodiscard]] const Object& object(ObjectId id) const { return objects_[id]; }

  /// Only by forgetting ghosts can more be inserted.
  [[nodiscard]] bool Full() const { return nodes_.size() >= max_nodes_; }
  [[nodiscard]] std::uint32_t nodes() const { return nodes_.size(); }
  [[nodiscard]] std::uint32_t objects() const { return objects_.size(); }
  [[nodiscard]] std::uint32_t ghosts() const { return ghosts_.size; }
  [[nodiscard]] std::uint64_t memory_bytes() const;

  /// Makes a bare node that left the orphan list a ghost.
  void GhostIfBare(NodeId id) { BecomeGhostIfBare(id, false); }

  /// Nodes whose key in hex starts with `hex`, at most `limit`, in no order. Walks all nodes.
  [[nodiscard]] std::vector<NodeId> StartingWith(std::string_view hex, std::size_t limit) const;

 private:
  [[nodiscard]] std::size_t Slot(const PrefixKey& key) const { return key.Word() & mask_; }
  void TableInsert(NodeId id);
  void TableErase(NodeId id);
  void Grow();
  bool MakeRoom(NodeId keep);
  void BecomeGhostIfBare(NodeId id, bool oldest);
  void MoveToOldest(NodeList& list, NodeId id);
  void Link(NodeId id, NodeId parent);
  void Unlink(NodeId id);

  std::uint32_t max_nodes_;
  ChunkedPool<Node> nodes_;
  ChunkedPool<Object> objects_;
  std::vector<NodeId> table_;  // Open addressing, linear probing; at most 3/4 full.
  std::size_t mask_;
  NodeList ghosts_;
};

}  // namespace cairn
