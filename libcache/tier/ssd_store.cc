#include "libcache/tier/ssd_store.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>

#include "libcache/base/check.h"
#include "libcache/codec/codec.h"

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

// Below this a frame's header and model eat up what they save.
constexpr std::size_t kLeastEncoded = 4 * kKiB;

/// What an object takes at most: payload, and per chunk a blob header, a reference and the size of
/// a frame, and per object the header twice, with the tables around them.
std::uint64_t ChargeOf(std::uint64_t bytes) {
  return bytes + 196 * std::uint64_t{ChunkCount(bytes, kSsdChunkBytes)} + 712;
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
        const auto object = DecodeObject(value);
        if (!location || !object || object->header.location != *location ||
            location->ordinal >= kSsdMaxOrdinals) {
          ++damaged;
          return;
        }
        const SsdHeader& header = object->header;
        next_segment_ = std::max(next_segment_, location->segment + 1);
        const auto cookie = recovered(header.record, *location);
        if (!cookie) {
          unwanted.push_back(*location);
          return;
        }
        live.insert(location->segment);
        const MutexLock lock(mu_);
        segments_.Add(*location, header.record.bytes, *cookie, header.framed);
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
  const Codec* const codec =
      codec_of_ && bytes.size() >= kLeastEncoded ? codec_of_(record.seed) : nullptr;
  CAIRN_CHECK(codec == nullptr || codec->fidelity() == Fidelity::kLossless);
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
        const auto stored = StoreObject(*location, record, bytes, codec);
        const MutexLock lock(mu_);
        if (stored) {
          segments_.Add(*location, bytes.size(), cookie, codec != nullptr);
          segments_.Refund(location->segment, bytes.size() - *stored);
          counts_.written_bytes += bytes.size();
          counts_.encoded_bytes += *stored;
        } else {
          status = Fail(stored.error());
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

Result<std::uint64_t> SsdStore::StoreObject(ColdLocation location, const ObjectRecord& record,
                                            std::span<const std::byte> bytes, const Codec* codec) {
  SsdObject object;
  object.header = {.record = record, .location = location, .framed = codec != nullptr};
  const SsdHeaderBytes header = EncodeHeader(object.header);
  const std::uint32_t chunks = ChunkCount(bytes.size(), kSsdChunkBytes);
  // Chunk by chunk, so that it takes the memory of one, and a read decodes on several threads.
  std::vector<std::byte> frame;
  std::uint64_t stored = 0;
  Status status;
  for (std::uint32_t chunk = 0; chunk < chunks && status; ++chunk) {
    const std::size_t offset = std::size_t{chunk} * kSsdChunkBytes;
    auto body = bytes.subspan(offset, std::min<std::size_t>(kSsdChunkBytes, bytes.size() - offset));
    if (codec != nullptr) {
      frame.resize(MaxEncodedBytes(*codec, {}, body.size()).value());
      const std::size_t size = Encode(*codec, {}, body, frame).value();
      const bool smaller = size < body.size();
      object.frames.push_back(smaller ? static_cast<std::uint32_t>(size) : 0);
      body = smaller ? std::span<const std::byte>(frame).first(size) : body;
    }
    // The first chunk carries the identity, so that a read needs nothing but chunks.
    const auto head =
        chunk == 0 ? std::span<const std::byte>(header) : std::span<const std::byte>();
    status = database_->PutChunk(record.kind, View(ChunkKeyOf(location, chunk)), head, body);
    stored += body.size();
  }
  if (status) {
    status = database_->PutHeader(View(ObjectKeyOf(location)), EncodeObject(object));
  }
  // After the puts: a flush that clears the mark before them leaves it set for the next.
  dirty_ = true;
  if (!status) {
    return Fail(status.error());
  }
  return stored;
}

Status SsdStore::Read(ColdLocation location, const ObjectRecord& expected,
                      std::span<std::byte> target) {
  if (target.size() != expected.bytes || target.empty() || target.size() > MaxObjectBytes()) {
    return Fail(ErrorCode::kInvalidArgument, "target of " + std::to_string(target.size()) +
                                                 " bytes for an object of " +
                                                 std::to_string(expected.bytes));
  }
  bool framed = false;
  {
    const MutexLock lock(mu_);
    if (!segments_.Holds(location)) {
      return Fail(ErrorCode::kNotFound, "not on the SSD");
    }
    framed = segments_.Framed(location);
  }
  Status read;
  std::vector<std::uint32_t> frames;
  if (framed) {
    auto object = ReadObject(location);
    if (object && object->header.framed && object->header.record == expected) {
      frames = std::move(object->frames);
    } else {
      read = object ? Fail(ErrorCode::kCorrupt, "another object's header is stored there")
                    : Fail(object.error());
    }
  }
  if (read) {
    read = ReadChunks(location, expected, target, {.checked = false, .frames = frames});
    if (!read) {
      // The places of blobs are hints: only RocksDB's own read may call an object damaged.
      read = ReadChunks(location, expected, target, {.checked = true, .frames = frames});
    }
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
                            std::span<std::byte> target, const Way& way) {
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
        return ReadChunk({.kind = expected.kind,
                          .location = location,
                          .number = chunk,
                          .frame = way.frames.empty() ? 0 : way.frames[chunk]},
                         way.checked, head, piece(chunk));
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

Status SsdStore::ReadChunk(const Chunk& chunk, bool checked, std::span<std::byte> head,
                           std::span<std::byte> body) {
  const auto get = [&](std::span<std::byte> stored) {
    return checked ? database_->GetChunk(chunk.kind, View(ChunkKeyOf(chunk.location, chunk.number)),
                                         head, stored)
                   : database_->GetChunkUnchecked(chunk.kind, chunk.location, chunk.number, head,
                                                  stored);
  };
  if (chunk.frame == 0) {
    return get(body);
  }
  const auto room = std::make_unique_for_overwrite<std::byte[]>(chunk.frame);
  const std::span<std::byte> frame(room.get(), chunk.frame);
  auto read = get(frame);
  return read ? Decode(frame, body) : read;
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
  const auto object = ReadObject(location);
  if (!object) {
    return Fail(CountFailedRead(object.error()).error());
  }
  return object->header.record.digest;
}

Result<SsdObject> SsdStore::ReadObject(ColdLocation location) {
  const auto bytes = database_->GetHeader(View(ObjectKeyOf(location)));
  if (!bytes) {
    return Fail(bytes.error());
  }
  auto object = DecodeObject(*bytes);
  if (object && object->header.location != location) {
    return Fail(ErrorCode::kCorrupt, "another object's header is stored there");
  }
  return object;
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
