#include "libcache/tier/ssd_store.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>

#include "libcache/base/check.h"
#include "libcache/codec/codec.h"
#include "libcache/tier/ssd_encoder.h"

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

/// What an object takes at most: payload, and per chunk a blob header, a reference and its sizes,
/// and per object the header twice, with the tables around them.
std::uint64_t ChargeOf(std::uint64_t bytes, std::size_t chunks) {
  return bytes + 200 * std::uint64_t{chunks} + 712;
}

SsdForm FormOf(const ObjectCodec& codec) {
  return codec.codec == nullptr ? SsdForm::kPlain
         : codec.lossy()        ? SsdForm::kCut
                                : SsdForm::kFramed;
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
        segments_.Add(*location, header.record.bytes, *cookie, header.form != SsdForm::kPlain);
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
  const ObjectCodec codec =
      codec_of_ && bytes.size() >= kLeastEncoded ? codec_of_(record) : ObjectCodec();
  CAIRN_CHECK(!record.coded || !codec.lossy());
  const auto pieces = CutObject(codec, bytes.size(), kSsdChunkBytes);
  const std::uint64_t charge = ChargeOf(bytes.size(), pieces.size());
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
        const auto stored = StoreObject(*location, record, bytes, FormOf(codec), pieces);
        const MutexLock lock(mu_);
        if (stored) {
          segments_.Add(*location, bytes.size(), cookie, codec.codec != nullptr);
          segments_.Refund(location->segment, bytes.size() - stored->bytes);
          counts_.written_bytes += bytes.size();
          counts_.encoded_bytes += stored->bytes;
          counts_.lossy_objects += stored->lossy ? 1 : 0;
          counts_.codec_refusals[static_cast<std::size_t>(codec.refused)] += 1;
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

Result<SsdStore::Stored> SsdStore::StoreObject(ColdLocation location, const ObjectRecord& record,
                                               std::span<const std::byte> bytes, SsdForm form,
                                               std::span<const ObjectPiece> pieces) {
  SsdObject object;
  object.header = {.record = record, .location = location, .form = form};
  // The first chunk carries the identity, so that a read needs nothing but chunks. It goes last:
  // with a lossy codec the digest is that of what all chunks give back.
  SsdEncoder front;
  SsdEncoder others;
  std::span<const std::byte> first;
  Digester digester;
  Stored stored;
  Status status;
  std::size_t offset = 0;
  for (std::uint32_t chunk = 0; chunk < pieces.size() && status; ++chunk) {
    const auto body = bytes.subspan(offset, pieces[chunk].bytes);
    offset += body.size();
    const auto coded = (chunk == 0 ? front : others).Encode(pieces[chunk], body);
    if (!coded) {
      status = Fail(coded.error());
      break;
    }
    object.chunks.push_back(coded->sizes);
    stored.bytes += coded->stored.size();
    stored.lossy = stored.lossy || coded->lossy;
    if (form == SsdForm::kCut) {
      digester.Update(coded->given_back);
    }
    if (chunk == 0) {
      first = coded->stored;
    } else {
      status =
          database_->PutChunk(record.kind, View(ChunkKeyOf(location, chunk)), {}, coded->stored);
    }
  }
  CAIRN_CHECK(!status || offset == bytes.size());
  if (stored.lossy) {
    object.header.record.digest = digester.Finish();
    object.header.record.coded = true;
  }
  if (status) {
    const SsdHeaderBytes header = EncodeHeader(object.header);
    status = database_->PutChunk(record.kind, View(ChunkKeyOf(location, 0)), header, first);
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
  std::vector<SsdChunk> chunks;
  if (framed) {
    auto object = ReadObject(location);
    if (object && object->header.form != SsdForm::kPlain && object->header.record == expected) {
      chunks = std::move(object->chunks);
    } else {
      read = object ? Fail(ErrorCode::kCorrupt, "another object's header is stored there")
                    : Fail(object.error());
    }
  } else {
    chunks = PlainChunks({.record = expected, .location = location});
  }
  if (read) {
    read = ReadChunks(location, expected, target, {.checked = false, .chunks = chunks});
    if (!read) {
      // The places of blobs are hints: only RocksDB's own read may call an object damaged.
      read = ReadChunks(location, expected, target, {.checked = true, .chunks = chunks});
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
  std::vector<std::size_t> offsets;
  offsets.reserve(way.chunks.size());
  std::size_t end = 0;
  for (const SsdChunk& chunk : way.chunks) {
    offsets.push_back(std::exchange(end, end + chunk.bytes));
  }
  CAIRN_CHECK(end == target.size());
  const auto piece = [&](std::uint32_t chunk) {
    return target.subspan(offsets[chunk], way.chunks[chunk].bytes);
  };
  auto read = reader_.Run(
      static_cast<std::uint32_t>(way.chunks.size()),
      [&](std::uint32_t chunk) {
        const auto head = chunk == 0 ? std::span<std::byte>(header_bytes) : std::span<std::byte>();
        return ReadChunk({.kind = expected.kind,
                          .location = location,
                          .number = chunk,
                          .frame = way.chunks[chunk].frame},
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

Result<ObjectRecord> SsdStore::ReadRecord(ColdLocation location) {
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
  return object->header.record;
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
