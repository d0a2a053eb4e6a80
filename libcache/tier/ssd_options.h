#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "libcache/base/mutex.h"
#include "libcache/tier/ssd_blobs.h"
#include "libcache/tier/ssd_database.h"

namespace rocksdb {
class Cache;
class CompactionFilterFactory;
class EventListener;
class SstFileManager;
class Statistics;
class Status;
struct ColumnFamilyOptions;
struct DBOptions;
}  // namespace rocksdb

namespace cairn {

/// Column families, in the order in which they are opened.
enum SsdFamily : std::size_t { kMetaFamily, kObjectsFamily, kKvFamily, kCheckpointFamily };
inline constexpr std::size_t kSsdFamilies = 4;
/// Their names in the store; the first must be RocksDB's default.
inline constexpr std::array<const char*, kSsdFamilies> kSsdFamilyNames = {"default", "objects",
                                                                          "kv", "checkpoint"};

/// Property of a payload table: the places of its blobs (SsdBlobs).
inline constexpr const char* kSsdBlobsProperty = "cairn.blobs";

/// Segments whose keys compaction leaves out.
class DoomedSegments {
 public:
  void Add(const std::set<std::uint32_t>& segments) CAIRN_EXCLUDES(mu_);
  void Remove(std::uint32_t segment) CAIRN_EXCLUDES(mu_);
  [[nodiscard]] std::set<std::uint32_t> Copy() CAIRN_EXCLUDES(mu_);

 private:
  Mutex mu_;
  std::set<std::uint32_t> segments_ CAIRN_GUARDED_BY(mu_);
};

/// What the background work last complained about.
class SsdHealth {
 public:
  void Set(std::string trouble) CAIRN_EXCLUDES(mu_);
  [[nodiscard]] std::string trouble() CAIRN_EXCLUDES(mu_);

 private:
  Mutex mu_;
  std::string trouble_ CAIRN_GUARDED_BY(mu_);
};

/// What the options of one open store share.
struct SsdShared {
  std::shared_ptr<DoomedSegments> doomed;
  std::shared_ptr<SsdHealth> health;
  std::shared_ptr<SsdBlobs> blobs;
  std::shared_ptr<rocksdb::Statistics> statistics;
  std::shared_ptr<rocksdb::SstFileManager> files;
  std::shared_ptr<rocksdb::Cache> cache;
};

SsdShared MakeSsdShared(const SsdDatabase::Config& config);
rocksdb::DBOptions MakeDbOptions(const SsdDatabase::Config& config, const SsdShared& shared);
rocksdb::ColumnFamilyOptions MakeFamilyOptions(SsdFamily family, const SsdDatabase::Config& config,
                                               const SsdShared& shared);

Status FromRocks(const rocksdb::Status& status, const std::string& what);

}  // namespace cairn
