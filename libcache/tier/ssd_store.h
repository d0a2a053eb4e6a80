#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/base/clock.h"
#include "libcache/base/mutex.h"
#include "libcache/tier/cold_tier.h"
#include "libcache/tier/ssd_database.h"
#include "libcache/tier/ssd_files.h"
#include "libcache/tier/ssd_gate.h"
#include "libcache/tier/ssd_reader.h"
#include "libcache/tier/ssd_record.h"
#include "libcache/tier/ssd_segments.h"
#include "libcache/tier/ssd_tier.h"

namespace cairn {

// Names inside the directory, and keys of the meta family (docs/formats/ssd.md).
inline constexpr const char* kSsdMarkerName = "CAIRN_SSD";
inline constexpr const char* kSsdDurableName = "DURABLE";
inline constexpr const char* kSsdStoreName = "db";
inline constexpr const char* kSsdQuarantinePrefix = "quarantine-";
inline constexpr const char* kSsdMarkerStamp = "cairn-ssd";
inline constexpr const char* kSsdDurableStamp = "cairn-durable";
inline constexpr const char* kSsdEpochKey = "epoch";
inline constexpr const char* kSsdFormatKey = "format";
inline constexpr const char* kSsdNamespacePrefix = "namespace/";

/// The ColdTier on an open store. OpenSsdTier finds, locks and checks the directory; this class
/// fills segments, keeps the cap and reads.
///
/// The cap is kept by the segment: before one is opened, whole segments are erased until the
/// files as they are now (by lstat, quarantine included), plus a full segment, plus a reserve for
/// manifests and compaction outputs, fit. Objects are charged with more than they take on disk, so
/// a segment never outgrows its share.
class SsdStore final : public ColdTier {
 public:
  struct Parts {
    SsdConfig config;  ///< Defaults filled in.
    std::unique_ptr<DirectoryLock> lock;
    std::unique_ptr<SsdDatabase> database;
    std::uint64_t epoch = 0;
    std::uint64_t lost_epochs = 0;
  };

  explicit SsdStore(Parts parts);
  ~SsdStore() override;

  void SetGoneListener(GoneListener listener) override;
  void SetCodecs(CodecOf codec_of) override { codec_of_ = std::move(codec_of); }
  Status Recover(const Recovered& recovered) override;
  Status PutNamespace(const PrefixKey& seed, const std::string& canonical) override;
  std::vector<std::pair<PrefixKey, std::string>> Namespaces() override;
  Result<ColdLocation> Write(const ObjectRecord& record, std::span<const std::byte> bytes,
                             std::uint32_t cookie) override;
  Status Read(ColdLocation location, const ObjectRecord& expected,
              std::span<std::byte> target) override;
  Result<ObjectRecord> ReadRecord(ColdLocation location) override;
  void Drop(ColdLocation location) override;
  Status Flush() override;
  Status Clear() override;
  [[nodiscard]] ColdStats Stats() const override;

  /// Bytes kept free below the cap for what is not charged to objects.
  static std::uint64_t ReserveBytes(std::uint64_t capacity_bytes);

 private:
  // ssd_store.cc
  struct Stored {
    std::uint64_t bytes = 0;  ///< Of payload, or of the frames in its place.
    bool lossy = false;
  };
  Result<Stored> StoreObject(ColdLocation location, const ObjectRecord& record,
                             std::span<const std::byte> bytes, SsdForm form,
                             std::span<const ObjectPiece> pieces);
  Result<SsdObject> ReadObject(ColdLocation location);
  /// One way to read: by RocksDB's own read or past it.
  struct Way {
    bool checked = false;
    std::span<const SsdChunk> chunks;
  };
  /// The digest decides in either case.
  Status ReadChunks(ColdLocation location, const ObjectRecord& expected,
                    std::span<std::byte> target, const Way& way);
  struct Chunk {
    ObjectKind kind = ObjectKind::kKv;
    ColdLocation location;
    std::uint32_t number = 0;
    std::uint32_t frame = 0;  ///< See SsdChunk.
  };
  Status ReadChunk(const Chunk& chunk, bool checked, std::span<std::byte> head,
                   std::span<std::byte> body);
  Status CountFailedRead(Error error);

  // ssd_capacity.cc
  /// Refuses what is sure to fail: the store is in trouble, or the disk is too full.
  Status CheckWritable(std::uint64_t charge);
  /// There is room on the disk for what is in memory, and RocksDB is in order.
  Status CheckFlushable();
  /// Lets RocksDB resume after an error, now and then.
  Status CheckHealthy();
  /// Closes the open segment and opens one with room for `charge`. `gone`: what was
  /// evicted, also on failure.
  Status Roll(std::uint64_t charge, std::vector<ColdGone>& gone);
  Status CloseOpenSegment();
  Status MakeRoom(std::uint64_t room, std::vector<ColdGone>& gone);
  Status EraseSegment(std::uint32_t segment);
  /// Waits a little for deleted files to go; returns what the directory takes then.
  std::uint64_t SettledBytes();
  /// True when there was one.
  [[nodiscard]] bool RemoveQuarantine() const;
  void Announce(const std::vector<ColdGone>& gone);

  const SsdConfig config_;
  const std::unique_ptr<DirectoryLock> lock_;
  const std::unique_ptr<SsdDatabase> database_;
  const std::uint64_t lost_epochs_;
  SsdReader reader_;
  SsdGate writing_;   ///< Shared by writers; alone to change segments.
  SsdGate flushing_;  ///< Alone to flush.

  // Set before there are writers.
  GoneListener listener_;
  CodecOf codec_of_;
  bool recovered_;

  // Changed only by who is alone in `flushing_`.
  std::uint64_t epoch_;
  std::atomic<bool> dirty_{false};
  std::atomic<bool> disk_full_{false};  // When it was looked at last.

  // Changed only by who is alone in `writing_`.
  std::uint32_t next_segment_;
  std::set<std::uint32_t> unerased_;  ///< Evicted, but their files are still there.

  mutable Mutex mu_;
  SsdSegments segments_ CAIRN_GUARDED_BY(mu_);
  ColdStats counts_ CAIRN_GUARDED_BY(mu_);               ///< Only the fields that count events.
  std::uint64_t other_bytes_ CAIRN_GUARDED_BY(mu_) = 0;  ///< Files the store does not track.
  TimePoint next_resume_ CAIRN_GUARDED_BY(mu_){};
};

}  // namespace cairn
