#include "libcache/cache/gpu_tier.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"

namespace cairn {
namespace {

constexpr std::size_t Index(ObjectKind kind) { return static_cast<std::size_t>(kind); }

// What was served lately and is not here: 32 bytes each. When it is full it starts anew.
constexpr std::size_t kMaxCandidates = 4'096;
constexpr std::size_t kMaxQueued = 64;
constexpr int kUsualExtents = 8;
// After the device refused: others fill it, and some day they may leave.
constexpr std::chrono::seconds kGrowPause{10};

}  // namespace

GpuTier::GpuTier(Config config) : c_(std::move(config)) {
  stats_.state = "ok";
  stats_.capacity_bytes = c_.capacity_bytes;
}

bool GpuTier::Offer(NodeId unit) {
  if (lost() || units_.contains(unit)) {
    return false;
  }
  if (candidates_.size() >= kMaxCandidates && !candidates_.contains(unit)) {
    std::erase_if(candidates_, [](const auto& entry) { return !entry.second.queued; });
  }
  Candidate& candidate = candidates_[unit];
  candidate.hits += 1;
  if (candidate.queued || candidate.hits < c_.promote_after || queue_.size() >= kMaxQueued ||
      c_.clock->Now() < candidate.not_before) {
    return false;
  }
  candidate.queued = true;
  queue_.push_back(unit);
  return true;
}

std::optional<NodeId> GpuTier::NextCandidate() {
  if (lost() || queue_.empty()) {
    return std::nullopt;
  }
  const NodeId unit = queue_.front();
  queue_.pop_front();
  candidates_.erase(unit);
  return unit;
}

GpuTier::Slot& GpuTier::SlotOf(const Place& place) {
  return extents_.at(place.extent).slots.at(place.slot);
}

const GpuTier::Slot& GpuTier::SlotOf(const Place& place) const {
  return extents_.at(place.extent).slots.at(place.slot);
}

void GpuTier::Cool(NodeId unit) {
  if (candidates_.size() < kMaxCandidates) {
    candidates_[unit].not_before = c_.clock->Now() + c_.least_stay;
  }
}

GpuTier::Plan GpuTier::Refuse(NodeId unit) {
  DropUnit(unit);
  Cool(unit);
  stats_.refused += 1;
  reserved_ = kNoId;
  return {};
}

std::optional<GpuTier::Place> GpuTier::Allocate(std::uint32_t domain, const Source& source) {
  for (auto& [id, extent] : extents_) {
    if (extent.domain != domain) {
      continue;
    }
    const auto slot = extent.arena->Allocate(source.bytes);
    if (slot) {
      extent.slots[slot->number] = {.object = source.id,
                                    .kind = source.kind,
                                    .bytes = source.bytes,
                                    .offset = slot->offset,
                                    .generation = 0,
                                    .readers = 0,
                                    .units = {}};
      return Place{.extent = id, .slot = slot->number};
    }
  }
  return std::nullopt;
}

std::uint64_t GpuTier::ExtentFor(std::uint64_t bytes, std::uint64_t largest,
                                 std::uint64_t taken_bytes) const {
  const auto whole = [this](std::uint64_t size) {
    return size / c_.granularity_bytes * c_.granularity_bytes;
  };
  const std::uint64_t left = whole(c_.capacity_bytes - taken_bytes);
  const std::uint64_t usual =
      c_.extent_bytes != 0 ? c_.extent_bytes : c_.capacity_bytes / kUsualExtents;
  const std::uint64_t wanted =
      std::max(RoundUp(bytes, c_.granularity_bytes), RoundUp(usual, c_.granularity_bytes));
  const std::uint64_t extent = std::min(left, wanted);
  return extent >= DeviceArena::SlotBytes(largest) ? extent : 0;
}

std::vector<std::uint32_t> GpuTier::Unused() const {
  std::vector<std::uint32_t> regions;
  for (const auto& [id, extent] : extents_) {
    if (extent.slots.empty() && extent.sessions.empty()) {
      regions.push_back(id);
    }
  }
  return regions;
}

GpuTier::Plan GpuTier::Reserve(NodeId unit, std::uint32_t domain, std::span<const Source> objects) {
  CAIRN_CHECK(reserved_ == kNoId && !units_.contains(unit));
  reserved_ = unit;
  // Entered first, so that nothing it shares with others goes while room is made.
  Unit& entry = units_[unit];
  entry.domain = domain;
  std::vector<const Source*> missing;
  std::uint64_t need = 0;
  std::uint64_t largest = 0;
  for (const Source& source : objects) {
    if (const auto here = objects_.find(source.id); here != objects_.end()) {
      SlotOf(here->second).units.push_back(unit);
      entry.objects.push_back(source.id);
    } else {
      missing.push_back(&source);
      need += DeviceArena::SlotBytes(source.bytes);
      largest = std::max(largest, source.bytes);
    }
  }
  if (lost() || objects.empty() || need > c_.capacity_bytes) {
    return Refuse(unit);
  }
  Plan plan;
  plan.next = Plan::Next::kUpload;
  for (const Source* const source : missing) {
    auto place = Allocate(domain, *source);
    if (!place && c_.clock->Now() >= grow_again_) {
      const std::vector<std::uint32_t> unused = Unused();
      std::uint64_t taken = extent_bytes_;
      for (const std::uint32_t region : unused) {
        taken -= extents_.at(region).region.bytes;
      }
      if (const std::uint64_t extent = ExtentFor(need, largest, taken); extent != 0) {
        // Only as many empty ones go as must.
        Plan grow{.next = Plan::Next::kGrow, .uploads = {}, .extent_bytes = extent, .release = {}};
        DropUnit(unit);
        reserved_ = kNoId;
        for (const std::uint32_t region : unused) {
          if (extent_bytes_ + extent > c_.capacity_bytes) {
            extent_bytes_ -= extents_.at(region).region.bytes;
            extents_.erase(region);
            grow.release.push_back(region);
          }
        }
        return grow;
      }
    }
    while (!place && EvictFor(unit, domain, need)) {
      place = Allocate(domain, *source);
    }
    if (!place) {
      return Refuse(unit);
    }
    need -= DeviceArena::SlotBytes(source->bytes);
    objects_.emplace(source->id, *place);
    Slot& slot = SlotOf(*place);
    slot.units.push_back(unit);
    units_.at(unit).objects.push_back(source->id);
    plan.uploads.push_back({.id = source->id, .region = place->extent, .offset = slot.offset});
  }
  return plan;
}

bool GpuTier::IsHeld(const Unit& unit) const {
  return std::any_of(unit.objects.begin(), unit.objects.end(),
                     [this](ObjectId object) { return SlotOf(objects_.at(object)).readers != 0; });
}

std::uint64_t GpuTier::OwnBytes(const Unit& unit) const {
  std::uint64_t bytes = 0;
  for (const ObjectId object : unit.objects) {
    const Slot& slot = SlotOf(objects_.at(object));
    bytes += slot.units.size() == 1 ? DeviceArena::SlotBytes(slot.bytes) : 0;
  }
  return bytes;
}

bool GpuTier::EvictFor(NodeId newcomer, std::uint32_t domain, std::uint64_t need) {
  const double limit = c_.worth(newcomer) / c_.hysteresis;
  const TimePoint settled = c_.clock->Now() - c_.least_stay;
  std::vector<std::pair<double, NodeId>> cheaper;
  for (const auto& [id, unit] : units_) {
    if (id != newcomer && unit.domain == domain && unit.since <= settled) {
      if (const double worth = c_.worth(id); worth < limit) {
        cheaper.emplace_back(worth, id);
      }
    }
  }
  std::sort(cheaper.begin(), cheaper.end());
  std::uint64_t gain = 0;
  for (const auto& [id, extent] : extents_) {
    const DeviceArena& arena = *extent.arena;
    gain += extent.domain == domain ? arena.capacity_bytes() - arena.used_bytes() : 0;
  }
  // Objects are looked at for as many as must go, not for all.
  std::vector<NodeId> victims;
  for (auto it = cheaper.begin(); it != cheaper.end() && (victims.empty() || gain < need); ++it) {
    const Unit& unit = units_.at(it->second);
    if (!IsHeld(unit)) {
      gain += OwnBytes(unit);
      victims.push_back(it->second);
    }
  }
  if (victims.empty() || gain < need) {
    return false;
  }
  for (const NodeId victim : victims) {
    DropUnit(victim);
    Cool(victim);
    stats_.evictions += 1;
  }
  return true;
}

void GpuTier::Finish(bool copied) {
  const NodeId unit = std::exchange(reserved_, kNoId);
  if (lost() || unit == kNoId) {
    return;
  }
  if (!copied) {
    stats_.failed_copies += 1;
    DropUnit(unit);
    Cool(unit);
    return;
  }
  Unit& entry = units_.at(unit);
  entry.since = c_.clock->Now();
  for (const ObjectId id : entry.objects) {
    const Place place = objects_.at(id);
    Slot& slot = SlotOf(place);
    if (slot.generation == 0) {
      slot.generation = extents_.at(place.extent).arena->Publish(place.slot);
      stats_.use.bytes[Index(slot.kind)] += slot.bytes;
      stats_.use.objects[Index(slot.kind)] += 1;
      stats_.promoted_bytes += slot.bytes;
    }
  }
  stats_.promotions += 1;
}

Status GpuTier::AddExtent(std::uint32_t domain, const DeviceMemory::Region& region) {
  CAIRN_CHECK(extent_bytes_ + region.bytes <= c_.capacity_bytes);
  auto arena = DeviceArena::Create(region.bytes);
  if (!arena) {
    return Fail(arena.error());
  }
  Extent& extent = extents_[region.id];
  extent.region = region;
  extent.domain = domain;
  extent.arena = std::move(*arena);
  extent_bytes_ += region.bytes;
  return {};
}

void GpuTier::NoMoreExtents() { grow_again_ = c_.clock->Now() + kGrowPause; }

void GpuTier::DropSlot(const Place& place) {
  Extent& extent = extents_.at(place.extent);
  Slot& slot = extent.slots.at(place.slot);
  objects_.erase(slot.object);
  if (slot.generation != 0) {
    stats_.use.bytes[Index(slot.kind)] -= slot.bytes;
    stats_.use.objects[Index(slot.kind)] -= 1;
  }
  if (slot.readers != 0) {
    extent.arena->Retire(place.slot);  // The last reader gives the memory back.
    slot.object = kNoId;
    return;
  }
  extent.arena->Free(place.slot);
  extent.slots.erase(place.slot);
}

void GpuTier::DropUnit(NodeId unit) {
  const auto it = units_.find(unit);
  if (it == units_.end()) {
    return;
  }
  const std::vector<ObjectId> objects = std::move(it->second.objects);
  units_.erase(it);
  for (const ObjectId id : objects) {
    const Place place = objects_.at(id);
    std::vector<NodeId>& units = SlotOf(place).units;
    std::erase(units, unit);
    if (units.empty()) {
      DropSlot(place);
    }
  }
}

bool GpuTier::Has(ObjectId id) const {
  const auto it = objects_.find(id);
  return it != objects_.end() && SlotOf(it->second).generation != 0;
}

std::optional<DevicePlace> GpuTier::Hold(ObjectId id) {
  const auto it = objects_.find(id);
  if (it == objects_.end()) {
    return std::nullopt;
  }
  Slot& slot = SlotOf(it->second);
  if (slot.generation == 0 || slot.readers == UINT32_MAX) {
    return std::nullopt;
  }
  slot.readers += 1;
  stats_.readers += 1;
  stats_.served_objects += 1;
  return DevicePlace{.extent = it->second.extent,
                     .slot = it->second.slot,
                     .offset = slot.offset,
                     .generation = slot.generation};
}

void GpuTier::Release(const DevicePlace& place) {
  const auto extent = extents_.find(place.extent);
  if (extent == extents_.end()) {
    return;  // Lost meanwhile. Extents with readers do not go otherwise, nor do numbers come again.
  }
  Slot& slot = extent->second.slots.at(place.slot);
  CAIRN_CHECK(slot.readers > 0);
  slot.readers -= 1;
  stats_.readers -= 1;
  if (slot.readers == 0 && slot.object == kNoId) {
    extent->second.arena->Free(place.slot);
    extent->second.slots.erase(place.slot);
  }
}

Result<GpuTier::Grant> GpuTier::Attach(SessionId session, std::uint32_t domain,
                                       std::uint32_t extent) {
  const auto it = extents_.find(extent);
  if (it == extents_.end()) {
    return Fail(ErrorCode::kNotFound, lost() ? "the GPU tier is lost" : "no such extent any more");
  }
  if (it->second.domain != domain) {
    return Fail(ErrorCode::kPermissionDenied, "the extent belongs to another tenant");
  }
  it->second.sessions.insert(session);
  return Grant{.kind = c_.kind,
               .bytes = it->second.region.bytes,
               .region_fd = it->second.region.handle,
               .ledger_fd = it->second.arena->ledger_fd()};
}

void GpuTier::EndSession(SessionId session) {
  for (auto& [id, extent] : extents_) {
    extent.sessions.erase(session);
  }
}

void GpuTier::Forget(ObjectId id) {
  const auto it = objects_.find(id);
  if (it == objects_.end()) {
    return;
  }
  const std::vector<NodeId> units = SlotOf(it->second).units;
  for (const NodeId unit : units) {
    CAIRN_CHECK(unit != reserved_);  // What is being copied is held in host memory.
    DropUnit(unit);
    stats_.evictions += 1;
  }
}

void GpuTier::Lose(const std::string& reason) {
  if (lost()) {
    return;
  }
  for (auto& [id, extent] : extents_) {
    extent.arena->RetireAll();
  }
  extents_.clear();
  objects_.clear();
  units_.clear();
  candidates_.clear();
  queue_.clear();
  reserved_ = kNoId;
  extent_bytes_ = 0;
  lost_ = reason;
  stats_.use = {};
  stats_.readers = 0;
  stats_.losses += 1;
  stats_.state = "lost: " + reason;
}

void GpuTier::AddTo(GpuStats& stats) const {
  GpuDevice device = std::move(stats.device);
  stats = stats_;
  stats.device = std::move(device);
  stats.extent_bytes = extent_bytes_;
  stats.boundaries = units_.size() - (reserved_ != kNoId ? 1 : 0);
  for (const auto& [id, extent] : extents_) {
    stats.used_bytes += extent.arena->used_bytes();
  }
}

}  // namespace cairn
