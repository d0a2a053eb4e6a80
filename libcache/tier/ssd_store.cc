#include "libcache/tier/ssd_store.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>

#include "libcache/base/check.h"

namespace cairn {
namespace {

constexpr std::size_t kMaxNamespaceBytes = 64 * kKiB;
// Tables, blob file headers and the rounding to blocks that one flush adds to the open segment.
constexpr std::uint64_t kFlushCharge = 64 * kKiB;
// How long a flush that was said to be over may still take; see Flush.
constexpr auto kFlushPatience = std::chrono::seconds(10);
constexpr auto kFlushPoll = std::chrono::milliseconds(1);

std::string_view View(const SsdObjectKey& key) { return {key.data(), key.size()}; }
std::string_view View(const SsdChunkKey& key) { return {key.data(), key.size()}; }

/// What an object takes at most: payload, and per chunk a blob header and a reference, and per
/// object the header twice, with the tables around them.
std::uint64_t ChargeOf(std::uint64_t bytes) {
  return bytes + 192 * std::uint64_t{ChunkCount(bytes, kSsdChunkBytes)} + 704;
}

std::string NamespaceKey(const PrefixKey& seed) {
  return kSsdNamespacePrefix +
         std::string(reinterpret_cast<const char*>(seed.bytes.data()), seed.bytes.size());
}

}  // namespace

SsdStore::SsdStore(Parts parts)
    : config_(std::move(parts.config)),
      lock_(std::move(parts.lock)),
      database_(std::move(parts.database)),
      lost_epochs_(parts.lost_epochs),
      reader_(config_.read_threads),
      epoch_(parts.epoch) {
  const auto stored = database_->StoredSegments();
  recovered_ = stored.empty();
  next_segment_ = stored.empty() ? 1 : *stored.rbegin() + 1;
  const std::uint64_t data = database_->data_file_bytes();
  const std::uint64_t all = DirectoryBytes(config_.path);
  const MutexLock lock(mu_);
  other_bytes_ = all - std::min(all, data);
}

SsdStore::~SsdStore() {
  // A clean stop loses nothing; when the disk refuses, what was acknowledged is safe anyway.
  static_cast<void>(Flush());
}

void SsdStore::SetGoneListener(GoneListener listener) { listener_ = std::move(listener); }

Status SsdStore::Recover(const Recovered& recovered) {
  std::set<std::uint32_t> live;
  std::uint64_t damaged = 0;
  std::vector<ColdLocation> unwanted;
  auto visited =
      database_->VisitHeaders([&](std::string_view key, std::span<const std::byte> value) {
        const auto location = ParseObjectKey(key);
        const auto header = DecodeHeader(value);
        if (!location || !header || header->location != *location ||
            location->ordinal >= kSsdMaxOrdinals) {
          ++damaged;
          return;
        }
        next_segment_ = std::max(next_segment_, location->segment + 1);
        const auto cookie = recovered(header->record, *location);
        if (!cookie) {
          unwanted.push_back(*location);
          return;
        }
        live.insert(location->segment);
        const MutexLock lock(mu_);
        segments_.Add(*location, header->record.bytes, *cookie);
      });
  {
    const MutexLock lock(mu_);
    counts_.checksum_failures += damaged;
  }
  // Corrupt tables of headers: what was listed before them is as good as ever.
  if (!visited && visited.error().code != ErrorCode::kCorrupt) {
    return visited;
  }
  recovered_ = true;
  for (const ColdLocation location : unwanted) {
    static_cast<void>(database_->DeleteHeader(View(ObjectKeyOf(location))));
  }
  // Payload without headers: an eviction was cut short, or nobody wants it.
  for (const std::uint32_t segment : database_->StoredSegments()) {
    if (!live.contains(segment)) {
      static_cast<void>(EraseSegment(segment));
    }
  }
  return {};
}

Status SsdStore::PutNamespace(const PrefixKey& seed, const std::string& canonical) {
  if (canonical.size() > kMaxNamespaceBytes) {
    return Fail(ErrorCode::kInvalidArgument, "namespace longer than 64 KiB");
  }
  auto put = database_->PutMeta(NamespaceKey(seed), canonical);
  dirty_ = true;
  return put;
}

std::vector<std::pair<PrefixKey, std::string>> SsdStore::Namespaces() {
  std::vector<std::pair<PrefixKey, std::string>> namespaces;
  const auto pairs = database_->ListMeta(kSsdNamespacePrefix);
  if (!pairs) {
    return namespaces;  // Objects of unknown namespaces are dropped by the caller: misses.
  }
  for (const auto& [name, canonical] : *pairs) {
    if (name.size() == PrefixKey::kBytes) {
      PrefixKey seed;
      std::memcpy(seed.bytes.data(), name.data(), name.size());
      namespaces.emplace_back(seed, canonical);
    }
  }
  return namespaces;
}

Result<ColdLocation> SsdStore::Write(const ObjectRecord& record, std::span<const std::byte> bytes,
                                     std::uint32_t cookie) {
  if (record.bytes != bytes.size() || bytes.empty() || bytes.size() > MaxObjectBytes()) {
    return Fail(ErrorCode::kInvalidArgument, "object of " + std::to_string(bytes.size()) +
                                                 " bytes, its record says " +
                                                 std::to_string(record.bytes));
  }
  if (!recovered_) {
    return Fail(ErrorCode::kInternal, "Recover was not called");
  }
  const std::uint64_t charge = ChargeOf(bytes.size());
  Status status = CheckWritable(charge);
  std::vector<ColdGone> gone;
  std::optional<ColdLocation> location;
  while (status && !location) {
    {
      const SharedTurn turn(writing_);
      {
        const MutexLock lock(mu_);
        location = segments_.Reserve(charge);
      }
      if (location) {
        status = StoreObject(*location, record, bytes);
        const MutexLock lock(mu_);
        if (status) {
          segments_.Add(*location, bytes.size(), cookie);
          counts_.written_bytes += bytes.size();
        }
      }
    }
    if (!location) {
      status = Roll(charge, gone);
    }
  }
  Announce(gone);
  if (!status) {
    const MutexLock lock(mu_);
    ++counts_.write_failures;
    return Fail(status.error());
  }
  return *location;
}

Status SsdStore::StoreObject(ColdLocation location, const ObjectRecord& record,
                             std::span<const std::byte> bytes) {
  const SsdHeaderBytes header = EncodeHeader({.record = record, .location = location});
  const std::uint32_t chunks = ChunkCount(bytes.size(), kSsdChunkBytes);
  Status status;
  for (std::uint32_t chunk = 0; chunk < chunks && status; ++chunk) {
    const std::size_t offset = std::size_t{chunk} * kSsdChunkBytes;
    const auto body =
        bytes.subspan(offset, std::min<std::size_t>(kSsdChunkBytes, bytes.size() - offset));
    // The first chunk carries the identity, so that a read needs nothing but chunks.
    const auto head =
        chunk == 0 ? std::span<const std::byte>(header) : std::span<const std::byte>();
    status = database_->PutChunk(record.kind, View(ChunkKeyOf(location, chunk)), head, body);
  }
  if (status) {
    status = database_->PutHeader(View(ObjectKeyOf(location)), header);
  }
  // After the puts: a flush that clears the mark before them leaves it set for the next.
  dirty_ = true;
  return status;
}

Status SsdStore::Read(ColdLocation location, const ObjectRecord& expected,
                      std::span<std::byte> target) {
  if (target.size() != expected.bytes || target.empty() || target.size() > MaxObjectBytes()) {
    return Fail(ErrorCode::kInvalidArgument, "target of " + std::to_string(target.size()) +
                                                 " bytes for an object of " +
                                                 std::to_string(expected.bytes));
  }
  {
    const MutexLock lock(mu_);
    if (!segments_.Holds(location)) {
      return Fail(ErrorCode::kNotFound, "not on the SSD");
    }
  }
  auto read = ReadChunks(location, expected, target, /*checked=*/false);
  if (!read) {
    // The places of blobs are hints: only RocksDB's own read may call an object damaged.
    read = ReadChunks(location, expected, target, /*checked=*/true);
  }
  if (!read) {
    const bool held = [&] {
      const MutexLock lock(mu_);
      return segments_.Holds(location);
    }();
    if (!held) {
      return Fail(ErrorCode::kNotFound, "evicted while it was read");
    }
    return CountFailedRead(std::move(read.error()));
  }
  const MutexLock lock(mu_);
  segments_.Hit(location);
  counts_.read_bytes += target.size();
  return {};
}

Status SsdStore::ReadChunks(ColdLocation location, const ObjectRecord& expected,
                            std::span<std::byte> target, bool checked) {
  SsdHeaderBytes header_bytes;
  Digester digester;
  const auto piece = [&](std::uint32_t chunk) {
    const std::size_t offset = std::size_t{chunk} * kSsdChunkBytes;
    return target.subspan(offset, std::min<std::size_t>(kSsdChunkBytes, target.size() - offset));
  };
  auto read = reader_.Run(
      ChunkCount(target.size(), kSsdChunkBytes),
      [&](std::uint32_t chunk) {
        const auto head = chunk == 0 ? std::span<std::byte>(header_bytes) : std::span<std::byte>();
        return checked ? database_->GetChunk(expected.kind, View(ChunkKeyOf(location, chunk)), head,
                                             piece(chunk))
                       : database_->GetChunkUnchecked(expected.kind, location, chunk, head,
                                                      piece(chunk));
      },
      [&](std::uint32_t chunk) { digester.Update(piece(chunk)); });
  if (!read) {
    return read;
  }
  const auto header = DecodeHeader(header_bytes);
  if (!header) {
    return Fail(header.error());
  }
  if (header->location != location || header->record != expected) {
    return Fail(ErrorCode::kCorrupt, "another object is stored there");
  }
  if (digester.Finish() != expected.digest) {
    return Fail(ErrorCode::kCorrupt, "payload fails its digest");
  }
  return {};
}

Status SsdStore::CountFailedRead(Error error) {
  // The books say it is there, so what is missing was lost: damage, like a wrong digest.
  if (error.code == ErrorCode::kNotFound) {
    error.code = ErrorCode::kCorrupt;
  }
  if (error.code == ErrorCode::kCorrupt) {
    const MutexLock lock(mu_);
    ++counts_.checksum_failures;
  }
  return Fail(std::move(error));
}

Result<Digest> SsdStore::ReadDigest(ColdLocation location) {
  {
    const MutexLock lock(mu_);
    if (!segments_.Holds(location)) {
      return Fail(ErrorCode::kNotFound, "not on the SSD");
    }
  }
  SsdHeaderBytes bytes;
  if (auto read = database_->GetHeader(View(ObjectKeyOf(location)), bytes); !read) {
    return Fail(CountFailedRead(std::move(read.error())).error());
  }
  auto header = DecodeHeader(bytes);
  if (header && header->location != location) {
    header = Fail(ErrorCode::kCorrupt, "another object's header is stored there");
  }
  if (!header) {
    return Fail(CountFailedRead(std::move(header.error())).error());
  }
  return header->record.digest;
}

void SsdStore::Drop(ColdLocation location) {
  {
    const MutexLock lock(mu_);
    if (!segments_.Drop(location)) {
      return;
    }
  }
  // Should this fail, the object is back after a restart: a hit nobody waited for.
  static_cast<void>(database_->DeleteHeader(View(ObjectKeyOf(location))));
  dirty_ = true;
}

Status SsdStore::Flush() {
  const SoleTurn turn(flushing_);
  if (!dirty_) {
    return {};
  }
  if (auto flushable = CheckFlushable(); !flushable) {
    return flushable;
  }
  dirty_ = false;
  // The epoch goes into the store first: a DURABLE file ahead of the store means that the store
  // lost what was acknowledged.
  const std::string next = std::to_string(epoch_ + 1);
  auto status = database_->PutMeta(kSsdEpochKey, next);
  if (status) {
    status = database_->FlushAll();
  }
  // Once RocksDB (7.8) has recovered from a full disk, an atomic flush no longer waits for its
  // jobs, so it is asked for what it holds. With the epoch comes all that was put before it.
  const TimePoint end = SteadyClock::Instance().Now() + kFlushPatience;
  while (status && database_->GetStoredMeta(kSsdEpochKey).value_or("") != next) {
    if (SteadyClock::Instance().Now() >= end) {
      status = Fail(ErrorCode::kIo, "the store did not write what it was told to flush");
    }
    std::this_thread::sleep_for(kFlushPoll);
  }
  if (status) {
    status =
        WriteFileDurably(config_.path, kSsdDurableName, FormatStamp(kSsdDurableStamp, epoch_ + 1));
  }
  if (!status) {
    dirty_ = true;
    return status;
  }
  ++epoch_;
  const MutexLock lock(mu_);
  segments_.Charge(kFlushCharge);
  return {};
}

ColdStats SsdStore::Stats() const {
  const std::string trouble = database_->Trouble();
  const std::uint64_t data = database_->data_file_bytes();
  const std::uint64_t device = database_->device_written_bytes();
  const MutexLock lock(mu_);
  ColdStats stats = counts_;
  stats.capacity_bytes = config_.capacity_bytes;
  stats.disk_bytes = data + other_bytes_;
  stats.live_bytes = segments_.totals().live_bytes;
  stats.objects = segments_.totals().objects;
  stats.device_written_bytes = device;
  stats.lost_epochs = lost_epochs_;
  if (!trouble.empty()) {
    stats.state = "degraded: " + trouble;
  } else if (disk_full_) {
    stats.state = "degraded: the disk is full";
  }
  return stats;
}

}  // namespace cairn
