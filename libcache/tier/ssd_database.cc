#include "libcache/tier/ssd_database.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/metadata.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_manager.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/statistics.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "libcache/base/check.h"
#include "libcache/tier/ssd_options.h"
#include "libcache/tier/ssd_record.h"

namespace cairn {
namespace {

rocksdb::Slice AsSlice(std::string_view text) { return {text.data(), text.size()}; }
rocksdb::Slice AsSlice(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string_view AsView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }
std::span<const std::byte> AsBytes(const rocksdb::Slice& slice) {
  return {reinterpret_cast<const std::byte*>(slice.data()), slice.size()};
}

rocksdb::WriteOptions NoLog() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}

/// Reads of payload and single headers: checked, and they leave nothing in the block cache but
/// index blocks.
rocksdb::ReadOptions ScanOptions() {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  return options;
}

SsdFamily FamilyOf(ObjectKind kind) {
  return kind == ObjectKind::kCheckpoint ? kCheckpointFamily : kKvFamily;
}

/// First and last possible key of a segment, in every family.
std::pair<std::string, std::string> KeyRange(std::uint32_t segment) {
  const SsdObjectKey first = ObjectKeyOf({.segment = segment, .ordinal = 0});
  const SsdObjectKey last = ObjectKeyOf({.segment = segment, .ordinal = 0xFFFFFFFFU});
  return {std::string(first.data(), first.size()),
          std::string(last.data(), last.size()) + "\xFF\xFF"};
}

/// While it lives no file of the database is deleted; they go when it ends.
class FilesStay {
 public:
  explicit FilesStay(rocksdb::DB& db) : db_(db) {
    db_.DisableFileDeletions().PermitUncheckedError();
  }
  ~FilesStay() { db_.EnableFileDeletions(false).PermitUncheckedError(); }
  FilesStay(const FilesStay&) = delete;
  FilesStay& operator=(const FilesStay&) = delete;

 private:
  rocksdb::DB& db_;
};

}  // namespace

class SsdDatabase::Impl {
 public:
  SsdShared shared;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;

  ~Impl() {
    for (auto* handle : handles) {
      db->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
    }
    if (db) {
      // Flushes memtables; what cannot be flushed was never promised.
      db->Close().PermitUncheckedError();
    }
  }

  Status Compact(SsdFamily family, std::uint32_t segment,
                 rocksdb::BottommostLevelCompaction bottommost) {
    const auto [first, last] = KeyRange(segment);
    const rocksdb::Slice begin = AsSlice(first);
    const rocksdb::Slice end = AsSlice(last);
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = bottommost;
    options.allow_write_stall = true;
    return FromRocks(db->CompactRange(options, handles[family], &begin, &end),
                     std::string("compacting ") + kSsdFamilyNames[family]);
  }

  /// Names of the table files that may hold keys of the segment.
  std::vector<std::string> TablesOf(SsdFamily family, const std::string& first,
                                    const std::string& last) const {
    std::vector<std::string> paths;
    rocksdb::ColumnFamilyMetaData metadata;
    db->GetColumnFamilyMetaData(handles[family], &metadata);
    for (const auto& level : metadata.levels) {
      for (const auto& file : level.files) {
        if (file.smallestkey <= last && file.largestkey >= first) {
          paths.push_back(file.db_path + file.name);
        }
      }
    }
    return paths;
  }

  /// Reads the tables that may hold keys of the segment, or says which is damaged.
  Status VerifyTables(SsdFamily family, const std::string& first, const std::string& last) {
    // A table that a compaction deletes after it was listed would be taken for damage.
    const FilesStay stay(*db);
    for (const std::string& path : TablesOf(family, first, last)) {
      rocksdb::SstFileReader reader{rocksdb::Options()};
      rocksdb::Status status = reader.Open(path);
      if (status.ok()) {
        status = reader.VerifyChecksum(ScanOptions());
      }
      if (!status.ok()) {
        return FromRocks(status, path);
      }
    }
    return {};
  }

  /// What cannot be learned is read through RocksDB, which then says what is wrong.
  void LearnBlobs() {
    for (const SsdFamily family : {kKvFamily, kCheckpointFamily}) {
      rocksdb::TablePropertiesCollection tables;
      db->GetPropertiesOfAllTables(handles[family], &tables).PermitUncheckedError();
      for (const auto& [name, properties] : tables) {
        const auto& collected = properties->user_collected_properties;
        if (const auto it = collected.find(kSsdBlobsProperty); it != collected.end()) {
          shared.blobs->Learn(it->second);
        }
      }
    }
  }

  Status EraseFamily(SsdFamily family, std::uint32_t segment) {
    const auto [first, last] = KeyRange(segment);
    if (auto verified = VerifyTables(family, first, last); !verified) {
      if (family == kObjectsFamily || verified.error().code != ErrorCode::kCorrupt) {
        return verified;
      }
      const rocksdb::Slice begin = AsSlice(first);
      const rocksdb::Slice end = AsSlice(last);
      return FromRocks(rocksdb::DeleteFilesInRange(db.get(), handles[family], &begin, &end),
                       "dropping damaged tables");
    }
    return TablesOf(family, first, last).empty()
               ? Status()
               : Compact(family, segment, rocksdb::BottommostLevelCompaction::kForce);
  }
};

SsdDatabase::SsdDatabase(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SsdDatabase::~SsdDatabase() = default;

Result<std::unique_ptr<SsdDatabase>> SsdDatabase::Open(const Config& config) {
  auto impl = std::make_unique<Impl>();
  impl->shared = MakeSsdShared(config);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  families.reserve(kSsdFamilies);
  for (std::size_t i = 0; i < kSsdFamilies; ++i) {
    families.emplace_back(kSsdFamilyNames.at(i),
                          MakeFamilyOptions(static_cast<SsdFamily>(i), config, impl->shared));
  }
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(MakeDbOptions(config, impl->shared), config.path,
                                                   families, &impl->handles, &db);
  impl->db.reset(db);
  if (!status.ok()) {
    return Fail(FromRocks(status, "opening " + config.path).error());
  }
  impl->LearnBlobs();
  return std::unique_ptr<SsdDatabase>(new SsdDatabase(std::move(impl)));
}

Status SsdDatabase::PutChunk(ObjectKind kind, std::string_view key, std::span<const std::byte> head,
                             std::span<const std::byte> body) {
  const rocksdb::Slice key_part = AsSlice(key);
  const std::array<rocksdb::Slice, 2> value_parts = {AsSlice(head), AsSlice(body)};
  rocksdb::WriteBatch batch(key.size() + head.size() + body.size() + 64);
  auto status = batch.Put(impl_->handles[FamilyOf(kind)], rocksdb::SliceParts(&key_part, 1),
                          rocksdb::SliceParts(value_parts.data(), value_parts.size()));
  if (status.ok()) {
    status = impl_->db->Write(NoLog(), &batch);
  }
  return FromRocks(status, "writing payload");
}

Status SsdDatabase::GetChunk(ObjectKind kind, std::string_view key, std::span<std::byte> head,
                             std::span<std::byte> body) {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  rocksdb::PinnableSlice value;
  const auto status = impl_->db->Get(options, impl_->handles[FamilyOf(kind)], AsSlice(key), &value);
  if (!status.ok()) {
    return FromRocks(status, "reading payload");
  }
  if (value.size() != head.size() + body.size()) {
    return Fail(ErrorCode::kCorrupt, "chunk of another length");
  }
  if (!head.empty()) {
    std::memcpy(head.data(), value.data(), head.size());
  }
  if (!body.empty()) {
    std::memcpy(body.data(), value.data() + head.size(), body.size());
  }
  return {};
}

Status SsdDatabase::GetChunkUnchecked(ObjectKind kind, ColdLocation location, std::uint32_t chunk,
                                      std::span<std::byte> head, std::span<std::byte> body) {
  if (impl_->shared.blobs->Read(location, chunk, head, body)) {
    return {};
  }
  const SsdChunkKey key = ChunkKeyOf(location, chunk);
  return GetChunk(kind, std::string_view(key.data(), key.size()), head, body);
}

Status SsdDatabase::PutHeader(std::string_view key, std::span<const std::byte> value) {
  return FromRocks(
      impl_->db->Put(NoLog(), impl_->handles[kObjectsFamily], AsSlice(key), AsSlice(value)),
      "writing header");
}

Result<std::vector<std::byte>> SsdDatabase::GetHeader(std::string_view key) {
  rocksdb::PinnableSlice found;
  const auto status =
      impl_->db->Get(ScanOptions(), impl_->handles[kObjectsFamily], AsSlice(key), &found);
  if (!status.ok()) {
    return Fail(FromRocks(status, "reading header").error());
  }
  const auto bytes = AsBytes(found);
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

Status SsdDatabase::DeleteHeader(std::string_view key) {
  return FromRocks(impl_->db->Delete(NoLog(), impl_->handles[kObjectsFamily], AsSlice(key)),
                   "deleting header");
}

Status SsdDatabase::VisitHeaders(const HeaderVisitor& visit) {
  const std::unique_ptr<rocksdb::Iterator> it(
      impl_->db->NewIterator(ScanOptions(), impl_->handles[kObjectsFamily]));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    visit(AsView(it->key()), AsBytes(it->value()));
  }
  return FromRocks(it->status(), "listing headers");
}

Status SsdDatabase::PutMeta(const std::string& key, const std::string& value) {
  return FromRocks(impl_->db->Put(NoLog(), impl_->handles[kMetaFamily], key, value),
                   "writing " + key);
}

Result<std::string> SsdDatabase::GetMeta(const std::string& key) {
  std::string value;
  const auto status = impl_->db->Get(ScanOptions(), impl_->handles[kMetaFamily], key, &value);
  if (!status.ok()) {
    return Fail(FromRocks(status, "reading " + key).error());
  }
  return value;
}

Result<std::string> SsdDatabase::GetStoredMeta(const std::string& key) {
  auto options = ScanOptions();
  options.read_tier = rocksdb::kPersistedTier;
  std::string value;
  const auto status = impl_->db->Get(options, impl_->handles[kMetaFamily], key, &value);
  if (!status.ok()) {
    return Fail(FromRocks(status, "reading " + key).error());
  }
  return value;
}

Result<std::vector<std::pair<std::string, std::string>>> SsdDatabase::ListMeta(
    const std::string& prefix) {
  std::vector<std::pair<std::string, std::string>> pairs;
  const std::unique_ptr<rocksdb::Iterator> it(
      impl_->db->NewIterator(ScanOptions(), impl_->handles[kMetaFamily]));
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    pairs.emplace_back(it->key().ToString().substr(prefix.size()), it->value().ToString());
  }
  if (!it->status().ok()) {
    return Fail(FromRocks(it->status(), "listing " + prefix).error());
  }
  return pairs;
}

Status SsdDatabase::FlushAll() {
  rocksdb::FlushOptions options;
  options.wait = true;
  options.allow_write_stall = true;
  return FromRocks(impl_->db->Flush(options, impl_->handles), "flushing");
}

Status SsdDatabase::CompactSegment(std::uint32_t segment) {
  const auto [first, last] = KeyRange(segment);
  for (const SsdFamily family : {kKvFamily, kCheckpointFamily}) {
    if (impl_->TablesOf(family, first, last).size() < 2) {
      continue;
    }
    // A damaged table met by compaction would stop all writes until a restart, so look first.
    if (auto verified = impl_->VerifyTables(family, first, last); !verified) {
      return verified;
    }
    auto compacted = impl_->Compact(family, segment, rocksdb::BottommostLevelCompaction::kSkip);
    if (!compacted) {
      return compacted;
    }
  }
  return {};
}

Status SsdDatabase::EraseSegments(const std::set<std::uint32_t>& segments) {
  impl_->shared.doomed->Add(segments);
  for (const std::uint32_t segment : segments) {
    impl_->shared.blobs->Forget(segment);
    // Headers first: payload without headers is found and erased at the next start, headers without
    // payload would be taken for damage.
    for (const SsdFamily family : {kObjectsFamily, kKvFamily, kCheckpointFamily}) {
      auto erased = impl_->EraseFamily(family, segment);
      if (!erased) {
        return erased;
      }
    }
    impl_->shared.doomed->Remove(segment);
  }
  return {};
}

std::set<std::uint32_t> SsdDatabase::StoredSegments() const {
  std::set<std::uint32_t> segments;
  for (const SsdFamily family : {kKvFamily, kCheckpointFamily}) {
    rocksdb::ColumnFamilyMetaData metadata;
    impl_->db->GetColumnFamilyMetaData(impl_->handles[family], &metadata);
    for (const auto& level : metadata.levels) {
      for (const auto& file : level.files) {
        // A table holds one segment, so its two ends tell all.
        for (const std::string& key : {file.smallestkey, file.largestkey}) {
          if (const auto segment = SegmentOfKey(key)) {
            segments.insert(*segment);
          }
        }
      }
    }
  }
  return segments;
}

Status SsdDatabase::VerifySmallTables() {
  for (const SsdFamily family : {kMetaFamily, kObjectsFamily}) {
    // Every key is between these: none is longer than the second.
    auto verified = impl_->VerifyTables(family, "", std::string(64, '\xFF'));
    if (!verified) {
      return verified;
    }
  }
  return {};
}

std::string SsdDatabase::Trouble() const { return impl_->shared.health->trouble(); }

Status SsdDatabase::Resume() {
  auto resumed = FromRocks(impl_->db->Resume(), "resuming");
  if (resumed) {
    impl_->shared.health->Set("");
  }
  return resumed;
}

std::uint64_t SsdDatabase::device_written_bytes() const {
  const auto& statistics = *impl_->shared.statistics;
  // Both count blob files along with tables.
  return statistics.getTickerCount(rocksdb::FLUSH_WRITE_BYTES) +
         statistics.getTickerCount(rocksdb::COMPACT_WRITE_BYTES);
}

std::uint64_t SsdDatabase::data_file_bytes() const { return impl_->shared.files->GetTotalSize(); }

std::uint64_t SsdDatabase::unflushed_bytes() const {
  std::uint64_t bytes = 0;
  for (rocksdb::ColumnFamilyHandle* handle : impl_->handles) {
    std::uint64_t size = 0;
    impl_->db->GetIntProperty(handle, rocksdb::DB::Properties::kCurSizeAllMemTables, &size);
    bytes += size;
  }
  return bytes;
}

std::uint64_t SsdDatabase::live_file_bytes() const {
  std::uint64_t bytes = 0;
  for (rocksdb::ColumnFamilyHandle* handle : impl_->handles) {
    rocksdb::ColumnFamilyMetaData metadata;
    impl_->db->GetColumnFamilyMetaData(handle, &metadata);
    bytes += metadata.size + metadata.blob_file_size;
  }
  return bytes;
}

}  // namespace cairn
