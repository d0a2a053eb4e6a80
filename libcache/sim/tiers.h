#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "libcache/sim/prefix_tree.h"

namespace cairn::sim {

/// A place to keep bytes in: host memory, an SSD.
struct TierOptions {
  std::string name;
  std::uint64_t capacity_bytes = 0;
  double bytes_per_s = 0;  ///< That loading from it reaches.
};

/// What went through a tier.
struct TierReport {
  std::uint64_t hits = 0;  ///< Requests whose state came from it.
  std::uint64_t loaded_bytes = 0;
  double load_s = 0;
  std::uint64_t written_bytes = 0;  ///< Stored, brought up or moved down.
  std::uint64_t peak_bytes = 0;
};

/// Where what is resident lies. A pool says what is kept at all, in the sum of the capacities; here
/// it is divided by recency: what was used last lies in the first tier, and what that has no room
/// for moves to the next. Each object lies in one tier. With eviction by recency that is a chain of
/// caches, each of which gives what it evicts to the next.
///
/// Objects are the KV of a node and the state at its end. They are not cut, so the last tier may
/// hold more than its capacity by what did not fit into those before it. Not thread-safe; every
/// call is O(objects that move).
class Tiers {
 public:
  using Object = std::uint32_t;
  static Object KvOf(NodeId node) { return 2 * node; }
  static Object StateOf(NodeId node) { return 2 * node + 1; }

  explicit Tiers(std::span<const TierOptions> tiers);

  /// Stored, loaded or computed again: it comes to the first tier.
  void Use(Object object, std::uint64_t bytes);
  /// Unknown objects are ignored.
  void Remove(Object object);
  /// `upper`, which is new, was cut off from `lower` and has so many of its bytes.
  void Cut(Object upper, Object lower, std::uint64_t upper_bytes);

  /// Seconds to load it from where it lies; 0 for unknown objects.
  [[nodiscard]] double LoadSeconds(Object object) const;
  /// Counts a hit that loads these objects, the last of which is the state.
  void CountLoad(std::span<const Object> objects);

  [[nodiscard]] const std::vector<TierReport>& reports() const { return reports_; }

 private:
  static constexpr std::uint8_t kNowhere = 0xFF;
  static constexpr Object kNone = 0xFFFFFFFFU;

  struct Entry {
    std::uint64_t bytes = 0;
    Object newer = kNone;
    Object older = kNone;
    std::uint8_t tier = kNowhere;
  };
  struct List {
    Object newest = kNone;
    Object oldest = kNone;
    std::uint64_t used_bytes = 0;
  };

  void PushNewest(std::uint8_t tier, Object object);
  void Unlink(Object object);
  void MoveDown();

  std::vector<TierOptions> tiers_;
  std::vector<TierReport> reports_;
  std::vector<List> lists_;
  std::vector<Entry> entries_;  // By object.
};

}  // namespace cairn::sim
