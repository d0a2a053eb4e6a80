#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libcache/base/key.h"
#include "libcache/base/result.h"
#include "libcache/tier/cold_tier.h"

namespace cairn {

/// RocksDB with the column families, options and maintenance that segments need. Nothing else sees
/// RocksDB; its statuses end here.
///
/// Nothing goes through a write-ahead log: writes are durable after FlushAll, which is atomic over
/// the families, so a header is never on disk without the chunks that were put before it.
///
/// Compaction never moves payload. A table holds references to blobs; EraseSegments rewrites the
/// (small) tables of a segment without its keys, which leaves its blob files without references,
/// and RocksDB deletes them. Deleting table files (DeleteFilesInRange) would not do: RocksDB 7.8
/// then frees blob files only from the oldest on.
///
/// Memory: at most 2 * write_buffer_bytes of memtables over all families (the shared limit starts a
/// flush at 7/8 of write_buffer_bytes, a second at a further half, and the third waits), an 8 MiB
/// block cache, 16 bytes per chunk of 16 KiB and up (SsdBlobs), and the same again for the chunks
/// of at most 128 open tables.
///
/// Thread-safe; FlushAll, CompactSegment and EraseSegments wait for the disk.
class SsdDatabase {
 public:
  struct Config {
    std::string path;
    std::uint64_t capacity_bytes = 0;
    std::uint64_t write_buffer_bytes = 0;
    bool direct_io = true;
  };
  using HeaderVisitor = std::function<void(std::string_view key, std::span<const std::byte>)>;

  /// Errors: kCorrupt, kIo, kNoSpace, kPermissionDenied: the store at `path` will not open.
  static Result<std::unique_ptr<SsdDatabase>> Open(const Config& config);
  ~SsdDatabase();  // Flushes what it can and closes.
  SsdDatabase(const SsdDatabase&) = delete;
  SsdDatabase& operator=(const SsdDatabase&) = delete;

  /// The value is `head` followed by `body`.
  Status PutChunk(ObjectKind kind, std::string_view key, std::span<const std::byte> head,
                  std::span<const std::byte> body);
  /// Fills `head` and `body` from the value, with RocksDB's own checks. Errors: kNotFound, kCorrupt
  /// (also when the length differs), kIo.
  Status GetChunk(ObjectKind kind, std::string_view key, std::span<std::byte> head,
                  std::span<std::byte> body);
  /// The same, straight from the file where its place is known; else like GetChunk. Faster, but the
  /// bytes are right only if their digest is.
  Status GetChunkUnchecked(ObjectKind kind, ColdLocation location, std::uint32_t chunk,
                           std::span<std::byte> head, std::span<std::byte> body);
  Status PutHeader(std::string_view key, std::span<const std::byte> value);
  Result<std::vector<std::byte>> GetHeader(std::string_view key);
  Status DeleteHeader(std::string_view key);
  /// All headers, in the order of their keys; payload is not read.
  Status VisitHeaders(const HeaderVisitor& visit);

  Status PutMeta(const std::string& key, const std::string& value);
  Result<std::string> GetMeta(const std::string& key);
  /// The same, of what is on stable storage only.
  Result<std::string> GetStoredMeta(const std::string& key);
  /// Pairs whose key starts with `prefix`, the prefix removed.
  Result<std::vector<std::pair<std::string, std::string>>> ListMeta(const std::string& prefix);

  /// All that was put before is on stable storage when this returns.
  Status FlushAll();
  /// Merges the tables of a full segment into one per family. The segment must be flushed.
  Status CompactSegment(std::uint32_t segment);
  /// Removes headers, then chunks, of the segments. What fails stays doomed: a later call for it,
  /// or the next start, finishes.
  Status EraseSegments(const std::set<std::uint32_t>& segments);

  /// Segments that have payload on disk.
  [[nodiscard]] std::set<std::uint32_t> StoredSegments() const;
  /// Reads all tables of the small families and checks their checksums.
  Status VerifySmallTables();

  /// Why writes are refused at present; empty when they are not.
  [[nodiscard]] std::string Trouble() const;
  /// Tries to accept writes again.
  Status Resume();

  [[nodiscard]] std::uint64_t device_written_bytes() const;
  /// Sizes of the data files that exist.
  [[nodiscard]] std::uint64_t data_file_bytes() const;
  /// Sizes of those that are in use; the others are about to be deleted.
  [[nodiscard]] std::uint64_t live_file_bytes() const;
  /// What a flush would have to write, about.
  [[nodiscard]] std::uint64_t unflushed_bytes() const;

 private:
  class Impl;
  explicit SsdDatabase(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
