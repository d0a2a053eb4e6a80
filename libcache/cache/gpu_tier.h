#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/cache/types.h"
#include "libcache/index/prefix_index.h"
#include "libcache/tier/device_arena.h"
#include "libcache/tier/device_memory.h"

namespace cairn {

/// Which boundaries have a copy in device memory, which of them are worth it, and who reads them.
///
/// Everything here is also in host memory: what host memory loses goes here too, and losing the
/// device costs speed only. A boundary comes as a whole, checkpoint with all KV before it, when it
/// was served from host memory often enough and is worth clearly more per byte than what must make
/// room; boundaries share the KV of their common path.
///
/// Device memory is taken in *extents*, each for one isolation domain, since an engine maps extents
/// whole. An extent goes back when it is empty and no session has it mapped. All extents together
/// never exceed the cap.
///
/// Bookkeeping only: never talks to the device, so no call takes long. Not thread-safe: the cache
/// calls it under its lock. Each boundary goes through NextCandidate, Reserve, (copies) and Finish;
/// one at a time.
class GpuTier {
 public:
  struct Config {
    std::string kind;                  ///< Of the device.
    std::uint64_t capacity_bytes = 0;  ///< A hard cap.
    std::uint64_t extent_bytes = 0;    ///< The usual size; 0: an eighth of the cap.
    std::uint64_t granularity_bytes = 2 * 1024 * 1024;
    std::uint32_t promote_after = 2;  ///< Served from host memory so often first.
    /// A newcomer must be worth so many times what goes for it.
    double hysteresis = 1.25;
    /// Nothing is replaced sooner, nor comes back sooner after it was replaced or refused.
    std::chrono::milliseconds least_stay{1'000};
    const Clock* clock = &SteadyClock::Instance();
    /// Value per byte of a boundary, as the host tier's eviction has it.
    std::function<double(NodeId)> worth;
  };
  explicit GpuTier(Config config);

  // What comes in.

  /// The boundary was served from host memory. True when it became a candidate: somebody should
  /// call NextCandidate.
  bool Offer(NodeId unit);
  std::optional<NodeId> NextCandidate();
  struct Source {
    ObjectId id = kNoId;
    ObjectKind kind = ObjectKind::kKv;
    std::uint64_t bytes = 0;
  };
  struct Upload {
    ObjectId id = kNoId;
    std::uint32_t region = 0;
    std::uint64_t offset = 0;
  };
  struct Plan {
    enum class Next : std::uint8_t {
      kUpload,  ///< Copy `uploads`, then Finish.
      kGrow,    ///< Release `release`, allocate an extent of `extent_bytes`, Reserve again.
      kRefuse,  ///< Not worth it, or no room.
    };
    Next next = Next::kRefuse;
    std::vector<Upload> uploads;
    std::uint64_t extent_bytes = 0;
    std::vector<std::uint32_t> release;  ///< Regions that nobody uses any more.
  };
  /// Makes room for the objects of `unit` that are not here yet. `objects`: all of the boundary.
  Plan Reserve(NodeId unit, std::uint32_t domain, std::span<const Source> objects);
  /// After kUpload: readable from now on, or forgotten.
  void Finish(bool copied);
  /// Errors: kIo if the ledger's memory cannot be had.
  Status AddExtent(std::uint32_t domain, const DeviceMemory::Region& region);
  /// The device refused one: ask no more for a while.
  void NoMoreExtents();

  // Who reads.

  [[nodiscard]] bool Has(ObjectId id) const;
  [[nodiscard]] bool HasUnit(NodeId unit) const { return units_.contains(unit); }
  /// Where a readable object is, held in place until Release. nullopt when it is not here.
  std::optional<DevicePlace> Hold(ObjectId id);
  void Release(const DevicePlace& place);
  struct Grant {
    std::string kind;
    std::uint64_t bytes = 0;
    int region_fd = -1;  ///< Both belong to the tier and are good until the lock is given up.
    int ledger_fd = -1;
  };
  /// Lets a session map an extent. Errors: kNotFound; kPermissionDenied for another domain's.
  Result<Grant> Attach(SessionId session, std::uint32_t domain, std::uint32_t extent);
  void EndSession(SessionId session);

  // What goes.

  /// Host memory lost the object: so do all boundaries here that need it.
  void Forget(ObjectId id);
  /// The device is gone: readers see it at once, nothing is held any more, nothing comes again.
  void Lose(const std::string& reason);
  [[nodiscard]] bool lost() const { return !lost_.empty(); }

  /// Fills in what the tier knows of `stats`.
  void AddTo(GpuStats& stats) const;

 private:
  struct Slot {
    ObjectId object = kNoId;  // kNoId: retired, readers keep the memory.
    ObjectKind kind = ObjectKind::kKv;
    std::uint64_t bytes = 0;
    std::uint64_t offset = 0;
    std::uint64_t generation = 0;  // Of readers; 0 while it is being filled.
    std::uint32_t readers = 0;
    std::vector<NodeId> units;  // That need it.
  };
  struct Extent {
    DeviceMemory::Region region;
    std::uint32_t domain = 0;
    std::unique_ptr<DeviceArena> arena;
    std::unordered_map<std::uint32_t, Slot> slots;  // By slot number.
    std::unordered_set<SessionId> sessions;
  };
  struct Place {
    std::uint32_t extent = 0;
    std::uint32_t slot = 0;
  };
  struct Unit {
    std::vector<ObjectId> objects;
    std::uint32_t domain = 0;
    TimePoint since;
  };
  struct Candidate {
    std::uint32_t hits = 0;
    bool queued = false;
    TimePoint not_before;
  };

  [[nodiscard]] Slot& SlotOf(const Place& place);
  [[nodiscard]] const Slot& SlotOf(const Place& place) const;
  std::optional<Place> Allocate(std::uint32_t domain, const Source& source);
  void DropUnit(NodeId unit);
  void DropSlot(const Place& place);
  /// Takes away the boundaries of `domain` that are worth least, `need` bytes of them with what is
  /// free, and at least one. False, and nothing happened, where that cannot be had.
  bool EvictFor(NodeId newcomer, std::uint32_t domain, std::uint64_t need);
  [[nodiscard]] bool IsHeld(const Unit& unit) const;
  [[nodiscard]] std::uint64_t OwnBytes(const Unit& unit) const;
  [[nodiscard]] std::uint64_t ExtentFor(std::uint64_t bytes, std::uint64_t largest,
                                        std::uint64_t taken_bytes) const;
  [[nodiscard]] std::vector<std::uint32_t> Unused() const;
  Plan Refuse(NodeId unit);
  void Cool(NodeId unit);

  const Config c_;
  std::map<std::uint32_t, Extent> extents_;  // By the region's id.
  std::unordered_map<ObjectId, Place> objects_;
  std::unordered_map<NodeId, Unit> units_;
  std::unordered_map<NodeId, Candidate> candidates_;
  std::deque<NodeId> queue_;
  NodeId reserved_ = kNoId;  // Between Reserve and Finish.
  std::uint64_t extent_bytes_ = 0;
  TimePoint grow_again_;
  std::string lost_;
  GpuStats stats_;
};

}  // namespace cairn
