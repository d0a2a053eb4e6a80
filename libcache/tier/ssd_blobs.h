#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libcache/base/mutex.h"
#include "libcache/base/result.h"
#include "libcache/tier/cold_tier.h"

namespace cairn {

/// Answers: at which bytes of which blob file is this chunk? And reads them, without RocksDB.
///
/// RocksDB's own read checks a CRC-32C that Debian's build computes in software and copies the
/// value twice more, which halves the bandwidth of large objects
/// (docs/decisions/0001-ssd-segments.md). The places are learned while RocksDB writes its tables.
/// They are hints: the record found there must name the key and the length, and the caller checks
/// the digest of the object; on any doubt it asks RocksDB instead.
///
/// Memory: 16 bytes per chunk. Thread-safe.
class SsdBlobs {
 public:
  /// Chunks below this are left to RocksDB, so that small objects do not fill the tables'
  /// properties.
  static constexpr std::uint64_t kMinBytes = 16 * 1024;

  /// Collects the places of one table. Not thread-safe.
  class Collector {
   public:
    explicit Collector(std::shared_ptr<SsdBlobs> blobs) : blobs_(std::move(blobs)) {}
    /// `blob_index`: RocksDB's encoded reference. What does not look like one is left out.
    void Add(std::string_view key, std::string_view blob_index);
    /// Makes the places known, and returns them as text for the table's properties.
    std::string Finish();

   private:
    std::shared_ptr<SsdBlobs> blobs_;
    std::string encoded_;
  };

  SsdBlobs(std::string directory, bool direct_io);
  ~SsdBlobs();
  SsdBlobs(const SsdBlobs&) = delete;
  SsdBlobs& operator=(const SsdBlobs&) = delete;

  /// Learns from Collector::Finish, of this process or an earlier one. Ignores damage.
  void Learn(std::string_view encoded) CAIRN_EXCLUDES(mu_);
  /// Forgets the places of a segment and closes its files, so that they can go.
  void Forget(std::uint32_t segment) CAIRN_EXCLUDES(mu_);

  /// Fills `head`, then `body`, from the record of `location` and `chunk`; unverified but for its
  /// key and length. False when the place is not known or holds something else.
  bool Read(ColdLocation location, std::uint32_t chunk, std::span<std::byte> head,
            std::span<std::byte> body) CAIRN_EXCLUDES(mu_);

 private:
  struct Place {
    std::uint32_t ordinal = 0;
    std::uint16_t chunk = 0;
    std::uint32_t file = 0;
    std::uint32_t offset = 0;  ///< Of the value; key and record header are in front.
  };
  class File;
  struct OpenFile {
    std::uint32_t number = 0;
    std::shared_ptr<const File> file;
  };
  struct FreeBuffer {
    void operator()(std::byte* bytes) const;
  };
  using Buffer = std::unique_ptr<std::byte[], FreeBuffer>;

  std::optional<Place> Find(ColdLocation location, std::uint32_t chunk) const CAIRN_REQUIRES(mu_);
  std::shared_ptr<const File> FileOf(std::uint32_t segment, std::uint32_t number)
      CAIRN_EXCLUDES(mu_);
  bool ReadDirect(const File& file, std::uint64_t begin, std::span<const std::byte> record,
                  std::span<std::byte> head, std::span<std::byte> body);
  Buffer TakeBuffer(std::size_t bytes) CAIRN_EXCLUDES(mu_);
  void ReturnBuffer(Buffer buffer, std::size_t bytes) CAIRN_EXCLUDES(mu_);

  const std::string directory_;
  const bool direct_io_;
  Mutex mu_;
  std::map<std::uint32_t, std::vector<Place>> places_ CAIRN_GUARDED_BY(mu_);  ///< Sorted.
  std::list<OpenFile> open_ CAIRN_GUARDED_BY(mu_);                            ///< Latest first.
  std::vector<Buffer> buffers_ CAIRN_GUARDED_BY(mu_);
};

}  // namespace cairn
