#include "libcache/tier/ssd_options.h"

#include <rocksdb/cache.h>
#include <rocksdb/compaction_filter.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_manager.h>
#include <rocksdb/statistics.h>
#include <rocksdb/table.h>
#include <rocksdb/table_properties.h>

#include <algorithm>
#include <cstdarg>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/tier/ssd_files.h"
#include "libcache/tier/ssd_record.h"

namespace cairn {
namespace {

constexpr std::uint64_t kBlockCacheBytes = 8 * kMiB;
// Payload is read past the store (SsdBlobs), which holds its own files open.
constexpr int kMaxOpenFiles = 128;

class DoomedFilter final : public rocksdb::CompactionFilter {
 public:
  explicit DoomedFilter(std::set<std::uint32_t> segments) : segments_(std::move(segments)) {}
  const char* Name() const override { return "cairn.doomed"; }
  Decision FilterV2(int /*level*/, const rocksdb::Slice& key, ValueType /*type*/,
                    const rocksdb::Slice& /*value*/, std::string* /*new_value*/,
                    std::string* /*skip_until*/) const override {
    return Decide(key);
  }
  // Decided by the key, so that dropping a segment reads none of its payload.
  Decision FilterBlobByKey(int /*level*/, const rocksdb::Slice& key, std::string* /*new_value*/,
                           std::string* /*skip_until*/) const override {
    return Decide(key);
  }

 private:
  [[nodiscard]] Decision Decide(const rocksdb::Slice& key) const {
    const auto segment = SegmentOfKey(std::string_view(key.data(), key.size()));
    return segment && segments_.contains(*segment) ? Decision::kRemove : Decision::kKeep;
  }
  std::set<std::uint32_t> segments_;
};

class DoomedFilterFactory final : public rocksdb::CompactionFilterFactory {
 public:
  explicit DoomedFilterFactory(std::shared_ptr<DoomedSegments> doomed)
      : doomed_(std::move(doomed)) {}
  const char* Name() const override { return "cairn.doomed"; }
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& /*context*/) override {
    return std::make_unique<DoomedFilter>(doomed_->Copy());
  }

 private:
  std::shared_ptr<DoomedSegments> doomed_;
};

class BlobsCollector final : public rocksdb::TablePropertiesCollector {
 public:
  explicit BlobsCollector(std::shared_ptr<SsdBlobs> blobs) : collector_(std::move(blobs)) {}
  const char* Name() const override { return kSsdBlobsProperty; }
  rocksdb::Status AddUserKey(const rocksdb::Slice& key, const rocksdb::Slice& value,
                             rocksdb::EntryType type, rocksdb::SequenceNumber /*sequence*/,
                             std::uint64_t /*file_size*/) override {
    if (type == rocksdb::kEntryBlobIndex) {
      collector_.Add({key.data(), key.size()}, {value.data(), value.size()});
    }
    return rocksdb::Status::OK();
  }
  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    properties->emplace(kSsdBlobsProperty, collector_.Finish());
    return rocksdb::Status::OK();
  }
  rocksdb::UserCollectedProperties GetReadableProperties() const override { return {}; }

 private:
  SsdBlobs::Collector collector_;
};

class BlobsCollectorFactory final : public rocksdb::TablePropertiesCollectorFactory {
 public:
  explicit BlobsCollectorFactory(std::shared_ptr<SsdBlobs> blobs) : blobs_(std::move(blobs)) {}
  const char* Name() const override { return kSsdBlobsProperty; }
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context /*context*/) override {
    return new BlobsCollector(blobs_);  // RocksDB takes it.
  }

 private:
  std::shared_ptr<SsdBlobs> blobs_;
};

/// RocksDB's own log would be a file on the disk that may be full, and Debian's build, which keeps
/// assertions, aborts the process when such a write fails twice. What matters reaches us as
/// statuses.
class SilentLogger final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

class HealthListener final : public rocksdb::EventListener {
 public:
  explicit HealthListener(std::shared_ptr<SsdHealth> health) : health_(std::move(health)) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason /*reason*/,
                         rocksdb::Status* error) override {
    // Below that, work is retried and writes go on.
    if (error->severity() >= rocksdb::Status::Severity::kHardError) {
      health_->Set(error->ToString());
    }
  }
  void OnErrorRecoveryEnd(const rocksdb::BackgroundErrorRecoveryInfo& info) override {
    health_->Set(info.new_bg_error.ok() ? "" : info.new_bg_error.ToString());
  }

 private:
  std::shared_ptr<SsdHealth> health_;
};

}  // namespace

void DoomedSegments::Add(const std::set<std::uint32_t>& segments) {
  const MutexLock lock(mu_);
  segments_.insert(segments.begin(), segments.end());
}

void DoomedSegments::Remove(std::uint32_t segment) {
  const MutexLock lock(mu_);
  segments_.erase(segment);
}

std::set<std::uint32_t> DoomedSegments::Copy() {
  const MutexLock lock(mu_);
  return segments_;
}

void SsdHealth::Set(std::string trouble) {
  const MutexLock lock(mu_);
  trouble_ = std::move(trouble);
}

std::string SsdHealth::trouble() {
  const MutexLock lock(mu_);
  return trouble_;
}

SsdShared MakeSsdShared(const SsdDatabase::Config& config) {
  SsdShared shared;
  shared.doomed = std::make_shared<DoomedSegments>();
  shared.health = std::make_shared<SsdHealth>();
  shared.blobs = std::make_shared<SsdBlobs>(config.path, config.direct_io);
  shared.statistics = rocksdb::CreateDBStatistics();
  shared.statistics->set_stats_level(rocksdb::StatsLevel::kExceptHistogramOrTimers);
  shared.files.reset(rocksdb::NewSstFileManager(rocksdb::Env::Default()));
  // The tier keeps the cap; this is the second line, should its count be wrong. A store from before
  // the cap was lowered must still be able to compact, or it could not shrink.
  shared.files->SetMaxAllowedSpaceUsage(
      std::max(config.capacity_bytes, DirectoryBytes(config.path) + config.capacity_bytes / 4));
  shared.cache = rocksdb::NewLRUCache(kBlockCacheBytes);
  return shared;
}

rocksdb::DBOptions MakeDbOptions(const SsdDatabase::Config& config, const SsdShared& shared) {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.paranoid_checks = true;
  options.atomic_flush = true;
  options.track_and_verify_wals_in_manifest = true;
  options.db_write_buffer_size = config.write_buffer_bytes;
  options.max_open_files = kMaxOpenFiles;
  options.max_background_jobs = 2;
  options.skip_stats_update_on_db_open = true;
  options.use_direct_reads = config.direct_io;
  options.use_direct_io_for_flush_and_compaction = config.direct_io;
  options.bytes_per_sync = kMiB;
  // Preallocated blocks would count against the cap.
  options.allow_fallocate = false;
  options.manifest_preallocation_size = 4 * kKiB;
  // A new manifest starts with a list of all files, so it must outgrow that by far.
  options.max_manifest_file_size = std::max(128 * kKiB, config.capacity_bytes / 4096);
  options.info_log = std::make_shared<SilentLogger>();
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.statistics = shared.statistics;
  options.sst_file_manager = shared.files;
  options.listeners = {std::make_shared<HealthListener>(shared.health)};
  return options;
}

rocksdb::ColumnFamilyOptions MakeFamilyOptions(SsdFamily family, const SsdDatabase::Config& config,
                                               const SsdShared& shared) {
  rocksdb::ColumnFamilyOptions options;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = shared.cache;
  table.cache_index_and_filter_blocks = true;
  table.format_version = 5;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = config.write_buffer_bytes;
  options.max_write_buffer_number = 2;
  options.ttl = 0;
  options.periodic_compaction_seconds = 0;
  if (family != kMetaFamily) {
    options.compaction_filter_factory = std::make_shared<DoomedFilterFactory>(shared.doomed);
  }
  if (family == kMetaFamily || family == kObjectsFamily) {
    // Flushes bring a few KiB at a time; small levels keep what each rewrites in proportion.
    options.target_file_size_base = 256 * kKiB;
    options.max_bytes_for_level_base = kMiB;
    return options;
  }
  // A table is one flush of one segment, later the whole segment (CompactSegment). They never
  // overlap, so there is nothing for automatic compaction to do.
  options.disable_auto_compactions = true;
  options.num_levels = 2;
  options.enable_blob_files = true;
  options.min_blob_size = 0;
  options.blob_file_size = 4 * kGiB;  // A flush makes one blob file.
  options.blob_compression_type = rocksdb::kNoCompression;
  options.enable_blob_garbage_collection = false;
  options.table_properties_collector_factories = {
      std::make_shared<BlobsCollectorFactory>(shared.blobs)};
  return options;
}

Status FromRocks(const rocksdb::Status& status, const std::string& what) {
  if (status.ok()) {
    return {};
  }
  ErrorCode code = ErrorCode::kIo;
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::SubCode::kSpaceLimit) {
    code = ErrorCode::kNoSpace;
  } else if (status.IsNotFound()) {
    code = ErrorCode::kNotFound;
  } else if (status.IsCorruption() || status.IsPathNotFound()) {
    // A file that the manifest names and that is gone is damage too.
    code = ErrorCode::kCorrupt;
  } else if (status.IsAborted() || status.IsBusy() || status.IsShutdownInProgress()) {
    code = ErrorCode::kUnavailable;
  }
  return Fail(code, what + ": " + status.ToString());
}

}  // namespace cairn
