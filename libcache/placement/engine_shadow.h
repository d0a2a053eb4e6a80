#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "libcache/placement/site_tree.h"
#include "libcache/policy/id_list.h"

namespace cairn {

/// What the best engines do today, in numbers only: a state at every prompt's end and at every
/// observed divergence, all KV, least recently used out ("turn_end_demand" with "lru"). Run beside
/// the learned placement it says what that must beat, and how much may be written.
///
/// 32 bytes per place of the tree. Not thread-safe.
class EngineShadow {
 public:
  explicit EngineShadow(std::uint64_t capacity_bytes);

  struct Sizes {
    std::uint64_t checkpoint_bytes = 0;
    std::uint64_t kv_bytes_per_token = 0;
  };
  /// A place that was just made at the end of a path.
  void OnTip(SiteId id);
  /// `upper` was just cut off the edge of `lower`.
  void OnSplit(const SiteTree& tree, SiteId upper, SiteId lower, const Sizes& sizes);
  /// A request whose prompt ends at `end`, of which everything down to `junction` was seen before.
  void OnRequest(const SiteTree& tree, SiteId junction, SiteId end, const Sizes& sizes);

  [[nodiscard]] std::uint64_t written_bytes() const { return written_bytes_; }
  [[nodiscard]] std::uint64_t served_tokens() const { return served_tokens_; }
  [[nodiscard]] std::uint64_t memory_bytes() const { return entries_.capacity() * sizeof(Entry); }

 private:
  static constexpr std::uint64_t kNotHeld = std::numeric_limits<std::uint64_t>::max();
  // One of the two things a place may hold: KV of its edge (even ids) or a state (odd ids).
  struct Entry {
    IdLink link;
    std::uint64_t bytes = kNotHeld;  // 0 is held too: a model may have no KV, or no states.
  };
  struct Links {
    std::vector<Entry>* entries;
    IdLink& operator()(UnitId id) const { return (*entries)[id].link; }
  };
  static UnitId KvOf(SiteId id) { return 2 * id; }
  static UnitId StateOf(SiteId id) { return 2 * id + 1; }

  [[nodiscard]] bool Holds(UnitId id) const { return entries_[id].bytes != kNotHeld; }
  void Use(UnitId id, std::uint64_t bytes);
  void Drop(UnitId id);
  void Make(SiteId id);

  std::uint64_t capacity_bytes_;
  std::uint64_t used_bytes_ = 0;
  std::uint64_t written_bytes_ = 0;
  std::uint64_t served_tokens_ = 0;
  std::vector<Entry> entries_;
  std::vector<SiteId> path_;  // Of the request at hand, deepest first.
  IdList<Links> used_{Links{&entries_}};
};

}  // namespace cairn
