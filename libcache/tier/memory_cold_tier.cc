#include "libcache/tier/memory_cold_tier.h"

#include <algorithm>

#include "libcache/base/check.h"

namespace cairn {
namespace {

MemoryColdTier::Config WithDefaults(MemoryColdTier::Config config) {
  if (config.segment_bytes == 0) {
    config.segment_bytes = config.capacity_bytes / 4;
  }
  return config;
}

}  // namespace

MemoryColdTier::MemoryColdTier(const Config& config) : config_(WithDefaults(config)) {}

void MemoryColdTier::SetGoneListener(GoneListener listener) { listener_ = std::move(listener); }

Status MemoryColdTier::Recover(const Recovered& recovered) {
  std::vector<std::pair<Place, ObjectRecord>> found;
  {
    const MutexLock lock(mu_);
    for (const auto& [place, object] : objects_) {
      found.emplace_back(place, object.record);
    }
  }
  for (const auto& [place, record] : found) {
    const auto cookie = recovered(record, {.segment = place.segment, .ordinal = place.ordinal});
    const MutexLock lock(mu_);
    const auto it = objects_.find(place);
    if (it != objects_.end() && cookie) {
      it->second.cookie = cookie;
    } else if (it != objects_.end()) {
      Erase(it);
    }
  }
  return {};
}

Status MemoryColdTier::PutNamespace(const PrefixKey& seed, const std::string& canonical) {
  const MutexLock lock(mu_);
  namespaces_[seed] = {.canonical = canonical, .flushed = false};
  return {};
}

std::vector<std::pair<PrefixKey, std::string>> MemoryColdTier::Namespaces() {
  std::vector<std::pair<PrefixKey, std::string>> namespaces;
  const MutexLock lock(mu_);
  namespaces.reserve(namespaces_.size());
  for (const auto& [seed, entry] : namespaces_) {
    namespaces.emplace_back(seed, entry.canonical);
  }
  return namespaces;
}

Result<ColdLocation> MemoryColdTier::Write(const ObjectRecord& record,
                                           std::span<const std::byte> bytes, std::uint32_t cookie) {
  if (record.bytes != bytes.size() || bytes.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "the record does not fit the bytes");
  }
  std::vector<ColdGone> gone;
  ColdLocation location;
  {
    const MutexLock lock(mu_);
    if (fail_writes_ || bytes.size() > config_.capacity_bytes) {
      ++stats_.write_failures;
      return Fail(fail_writes_.value_or(ErrorCode::kNoSpace), "the write was refused");
    }
    if (segment_fill_ + bytes.size() > config_.segment_bytes && segment_fill_ > 0) {
      ++segment_;
      next_ordinal_ = 0;
      segment_fill_ = 0;
    }
    while (stats_.live_bytes + bytes.size() > config_.capacity_bytes) {
      EvictOldest(gone);
    }
    location = {.segment = segment_, .ordinal = next_ordinal_++};
    segment_fill_ += bytes.size();
    objects_[{location.segment, location.ordinal}] = {
        .record = record, .bytes = {bytes.begin(), bytes.end()}, .cookie = cookie};
    stats_.live_bytes += bytes.size();
    stats_.written_bytes += bytes.size();
    stats_.encoded_bytes += bytes.size();
    stats_.device_written_bytes += bytes.size();
  }
  if (!gone.empty() && listener_) {
    listener_(gone);
  }
  return location;
}

Status MemoryColdTier::Read(ColdLocation location, const ObjectRecord& expected,
                            std::span<std::byte> target) {
  const MutexLock lock(mu_);
  const Object* object = Find(location);
  if (object == nullptr) {
    return Fail(ErrorCode::kNotFound, "not in the cold tier");
  }
  if (target.size() != expected.bytes) {
    return Fail(ErrorCode::kInvalidArgument, "target of another size");
  }
  if (object->record != expected || DigestOf(object->bytes) != expected.digest) {
    ++stats_.checksum_failures;
    return Fail(ErrorCode::kCorrupt, "another object, or damaged");
  }
  std::copy(object->bytes.begin(), object->bytes.end(), target.begin());
  stats_.read_bytes += target.size();
  return {};
}

Result<ObjectRecord> MemoryColdTier::ReadRecord(ColdLocation location) {
  const MutexLock lock(mu_);
  const Object* object = Find(location);
  if (object == nullptr) {
    return Fail(ErrorCode::kNotFound, "not in the cold tier");
  }
  return object->record;
}

void MemoryColdTier::Drop(ColdLocation location) {
  const MutexLock lock(mu_);
  if (const auto it = objects_.find({location.segment, location.ordinal}); it != objects_.end()) {
    Erase(it);
  }
}

Status MemoryColdTier::Flush() {
  const MutexLock lock(mu_);
  for (auto& [place, object] : objects_) {
    object.flushed = true;
  }
  for (auto& [seed, entry] : namespaces_) {
    entry.flushed = true;
  }
  return {};
}

Status MemoryColdTier::Clear() {
  std::vector<ColdGone> gone;
  {
    const MutexLock lock(mu_);
    while (!objects_.empty()) {
      EvictOldest(gone);
    }
  }
  if (!gone.empty() && listener_) {
    listener_(gone);
  }
  return {};
}

ColdStats MemoryColdTier::Stats() const {
  const MutexLock lock(mu_);
  ColdStats stats = stats_;
  stats.capacity_bytes = config_.capacity_bytes;
  stats.disk_bytes = stats.live_bytes;
  stats.objects = objects_.size();
  if (fail_writes_) {
    stats.state = "degraded: writes are made to fail";
  }
  return stats;
}

std::unique_ptr<MemoryColdTier> MemoryColdTier::Crash() const {
  auto after = std::make_unique<MemoryColdTier>(config_);
  const MutexLock lock(mu_);
  const MutexLock lock_after(after->mu_);
  after->segment_ = segment_ + 1;
  for (const auto& [place, object] : objects_) {
    if (object.flushed) {
      after->objects_[place] = {
          .record = object.record, .bytes = object.bytes, .cookie = {}, .flushed = true};
      after->stats_.live_bytes += object.bytes.size();
    }
  }
  for (const auto& [seed, entry] : namespaces_) {
    if (entry.flushed) {
      after->namespaces_[seed] = entry;
    }
  }
  return after;
}

bool MemoryColdTier::Damage(ColdLocation location) {
  const MutexLock lock(mu_);
  Object* object = Find(location);
  if (object == nullptr) {
    return false;
  }
  object->bytes.front() ^= std::byte{1};
  return true;
}

void MemoryColdTier::FailWrites(std::optional<ErrorCode> code) {
  const MutexLock lock(mu_);
  fail_writes_ = code;
}

MemoryColdTier::Object* MemoryColdTier::Find(ColdLocation location) {
  const auto it = objects_.find({location.segment, location.ordinal});
  return it != objects_.end() && it->second.cookie ? &it->second : nullptr;
}

void MemoryColdTier::Erase(std::map<Place, Object>::iterator it) {
  stats_.live_bytes -= it->second.bytes.size();
  objects_.erase(it);
}

void MemoryColdTier::EvictOldest(std::vector<ColdGone>& gone) {
  CAIRN_CHECK(!objects_.empty());
  const std::uint32_t oldest = objects_.begin()->first.segment;
  while (!objects_.empty() && objects_.begin()->first.segment == oldest) {
    const auto& [place, object] = *objects_.begin();
    if (object.cookie) {
      gone.push_back({.cookie = *object.cookie,
                      .location = {.segment = place.segment, .ordinal = place.ordinal}});
    }
    Erase(objects_.begin());
  }
  ++stats_.segments_evicted;
}

}  // namespace cairn
