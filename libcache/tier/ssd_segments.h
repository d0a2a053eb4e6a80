#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "libcache/tier/cold_tier.h"

namespace cairn {

/// Answers: which objects does each segment still hold, and which segment should go?
///
/// A segment is a run of objects written one after the other; it is freed as a whole. Worth is
/// decayed hits per live byte. A new segment starts with the mean of the others, so that one that
/// had no time to be hit is not taken for one that nobody wants; without any hits the order is
/// oldest first.
///
/// Memory: 16 bytes per object. Pure bookkeeping: no I/O, not thread-safe.
class SsdSegments {
 public:
  struct Totals {
    std::uint64_t live_bytes = 0;
    std::uint64_t objects = 0;
  };

  /// Starts a segment that takes `room` charged bytes. The one open before becomes evictable.
  void Open(std::uint32_t segment, std::uint64_t room);
  /// Stops filling the open segment, if any.
  void Close() { open_.reset(); }
  [[nodiscard]] std::optional<std::uint32_t> open() const { return open_; }

  [[nodiscard]] bool HasRoom(std::uint64_t charge) const;
  /// The next place in the open segment; nullopt when there is none or it has no room for `charge`.
  std::optional<ColdLocation> Reserve(std::uint64_t charge);
  /// Counts bytes that belong to no object against the open segment.
  void Charge(std::uint64_t bytes);
  /// Gives bytes back that an object of `segment` reserved and did not take.
  void Refund(std::uint32_t segment, std::uint64_t bytes);
  /// Makes a reserved, or recovered, object known. `framed`: see SsdHeader.
  void Add(ColdLocation location, std::uint64_t bytes, std::uint32_t cookie, bool framed = false);

  [[nodiscard]] bool Holds(ColdLocation location) const;
  [[nodiscard]] bool Framed(ColdLocation location) const;
  void Hit(ColdLocation location);
  /// False when it was not there.
  bool Drop(ColdLocation location);

  /// The segment that serves least per byte, never the open one; nullopt when there is none.
  [[nodiscard]] std::optional<std::uint32_t> Victim() const;
  /// Forgets a segment; returns its live objects.
  std::vector<ColdGone> Remove(std::uint32_t segment);
  /// Ages all hits. Called once per opened segment: worth halves while half the tier is replaced.
  void Decay();

  [[nodiscard]] std::vector<std::uint32_t> Numbers() const;
  [[nodiscard]] Totals totals() const { return totals_; }

 private:
  struct Entry {
    std::uint64_t bytes = 0;  ///< 0: never written, dropped, or not recovered.
    std::uint32_t cookie = 0;
    bool framed = false;
  };
  struct Segment {
    std::vector<Entry> entries;  ///< By ordinal.
    std::uint64_t live_bytes = 0;
    double hits = 0;
  };

  [[nodiscard]] double MeanHits() const;

  std::map<std::uint32_t, Segment> segments_;
  std::optional<std::uint32_t> open_;
  std::uint64_t open_room_ = 0;
  std::uint32_t next_ordinal_ = 0;
  Totals totals_;
};

}  // namespace cairn
