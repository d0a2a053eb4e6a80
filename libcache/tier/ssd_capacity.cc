// How the store keeps to its cap: opening, closing and erasing segments.
#include <chrono>
#include <thread>

#include "libcache/base/check.h"
#include "libcache/tier/ssd_store.h"

namespace cairn {
namespace {

// Beyond the payload: tables, the manifest and the epoch.
constexpr std::uint64_t kFlushSlack = 64 * kKiB;
constexpr auto kResumeInterval = std::chrono::seconds(1);
// Files go as soon as no read uses them; this is for a read that is stuck.
constexpr auto kDeletionPatience = std::chrono::seconds(2);
constexpr auto kDeletionPoll = std::chrono::milliseconds(1);

}  // namespace

std::uint64_t SsdStore::ReserveBytes(std::uint64_t capacity_bytes) {
  // Two manifests, option files, and the tables that compaction writes before it may
  // delete its inputs: about 1/1000 of the payload for objects of 256 KiB and up.
  return 2 * kMiB + capacity_bytes / 256;
}

Status SsdStore::CheckWritable(std::uint64_t charge) {
  if (charge + ReserveBytes(config_.capacity_bytes) > config_.capacity_bytes / 2) {
    return Fail(ErrorCode::kNoSpace, "object larger than half of the SSD capacity");
  }
  if (FreeBytes(config_.path) < config_.min_free_bytes + config_.write_buffer_bytes + charge) {
    return Fail(ErrorCode::kNoSpace, "the disk of " + config_.path + " is nearly full");
  }
  disk_full_ = false;
  return CheckHealthy();
}

Status SsdStore::CheckFlushable() {
  // A flush that meets a full disk may leave RocksDB (7.8) with a manifest that names a table it
  // has removed: then the whole store is lost at the next start.
  disk_full_ = FreeBytes(config_.path) < database_->unflushed_bytes() + kFlushSlack;
  if (disk_full_) {
    return Fail(ErrorCode::kNoSpace, "the disk of " + config_.path + " is full");
  }
  return CheckHealthy();
}

Status SsdStore::CheckHealthy() {
  const std::string trouble = database_->Trouble();
  if (trouble.empty()) {
    return {};
  }
  // The store resumes by itself when space returns, for some errors; a probe now and then covers
  // the others.
  {
    const TimePoint now = SteadyClock::Instance().Now();
    const MutexLock lock(mu_);
    if (now < next_resume_) {
      return Fail(ErrorCode::kNoSpace, "the store is degraded: " + trouble);
    }
    next_resume_ = now + kResumeInterval;
  }
  auto resumed = database_->Resume();
  return resumed ? Status() : Fail(ErrorCode::kNoSpace, ToString(resumed.error()));
}

Status SsdStore::Roll(std::uint64_t charge, std::vector<ColdGone>& gone) {
  const SoleTurn turn(writing_);
  {
    const MutexLock lock(mu_);
    if (segments_.HasRoom(charge)) {
      return {};  // Another writer rolled while this one waited.
    }
  }
  if (auto closed = CloseOpenSegment(); !closed) {
    return closed;
  }
  const std::uint64_t room = std::max(config_.segment_bytes, charge);
  if (auto made = MakeRoom(room, gone); !made) {
    return made;
  }
  const MutexLock lock(mu_);
  segments_.Decay();
  segments_.Open(next_segment_++, room);
  return {};
}

Status SsdStore::CloseOpenSegment() {
  std::optional<std::uint32_t> open;
  {
    const MutexLock lock(mu_);
    open = segments_.open();
  }
  if (!open) {
    return {};
  }
  // A blob file then never holds two segments, so that erasing one frees its files.
  if (auto flushed = database_->FlushAll(); !flushed) {
    return flushed;
  }
  // Fewer tables make reads shorter; without this they are as right.
  static_cast<void>(database_->CompactSegment(*open));
  const MutexLock lock(mu_);
  segments_.Close();
  return {};
}

Status SsdStore::MakeRoom(std::uint64_t room, std::vector<ColdGone>& gone) {
  const std::uint64_t limit = config_.capacity_bytes - ReserveBytes(config_.capacity_bytes);
  for (const std::uint32_t segment : std::set<std::uint32_t>(unerased_)) {
    static_cast<void>(EraseSegment(segment));
  }
  while (SettledBytes() + room > limit) {
    if (RemoveQuarantine()) {
      continue;
    }
    std::optional<std::uint32_t> victim;
    {
      const MutexLock lock(mu_);
      victim = segments_.Victim();
      if (victim) {
        const auto removed = segments_.Remove(*victim);
        gone.insert(gone.end(), removed.begin(), removed.end());
        ++counts_.segments_evicted;
      }
    }
    if (!victim) {
      return Fail(ErrorCode::kNoSpace,
                  "nothing left to evict, and no room for " + FormatBytes(room) + " below the cap");
    }
    // Damage keeps the space of one segment, not the tier from going on.
    if (auto erased = EraseSegment(*victim);
        !erased && erased.error().code != ErrorCode::kCorrupt) {
      return erased;
    }
  }
  return {};
}

Status SsdStore::EraseSegment(std::uint32_t segment) {
  unerased_.insert(segment);
  auto erased = database_->EraseSegments({segment});
  if (erased) {
    unerased_.erase(segment);
  }
  return erased;
}

std::uint64_t SsdStore::SettledBytes() {
  const TimePoint end = SteadyClock::Instance().Now() + kDeletionPatience;
  while (database_->data_file_bytes() > database_->live_file_bytes() &&
         SteadyClock::Instance().Now() < end) {
    std::this_thread::sleep_for(kDeletionPoll);
  }
  const std::uint64_t data = database_->data_file_bytes();
  const std::uint64_t all = DirectoryBytes(config_.path);
  const MutexLock lock(mu_);
  other_bytes_ = all - std::min(all, data);
  return all;
}

bool SsdStore::RemoveQuarantine() const {
  const auto names = ListDirectory(config_.path);
  bool removed = false;
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    if (name.starts_with(kSsdQuarantinePrefix)) {
      removed = RemoveTree(config_.path + "/" + name).has_value() || removed;
    }
  }
  return removed;
}

Status SsdStore::Clear() {
  std::vector<ColdGone> gone;
  Status status;
  {
    const SoleTurn turn(writing_);
    // What is still in memory would otherwise come to disk after its segment was erased.
    status = database_->FlushAll();
    std::vector<std::uint32_t> segments;
    {
      const MutexLock lock(mu_);
      segments = segments_.Numbers();
      for (const std::uint32_t segment : segments) {
        const auto removed = segments_.Remove(segment);
        gone.insert(gone.end(), removed.begin(), removed.end());
      }
    }
    unerased_.insert(segments.begin(), segments.end());
    for (const std::uint32_t segment : std::set<std::uint32_t>(unerased_)) {
      status = status ? EraseSegment(segment) : status;
    }
    static_cast<void>(SettledBytes());
  }
  Announce(gone);
  return status;
}

void SsdStore::Announce(const std::vector<ColdGone>& gone) {
  if (!gone.empty() && listener_) {
    listener_(gone);
  }
}

}  // namespace cairn
