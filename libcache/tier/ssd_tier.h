#pragma once

#include <memory>
#include <string>

#include "libcache/tier/cold_tier.h"

namespace cairn {

/// ColdTier on RocksDB with BlobDB: the only user of RocksDB. Layout of records, segments and the
/// durable epoch: docs/formats/ssd.md.
struct SsdConfig {
  std::string path;                      ///< A directory of its own; made if absent.
  std::uint64_t capacity_bytes = 0;      ///< Hard cap on the directory's files.
  std::uint64_t segment_bytes = 0;       ///< 0: capacity / 32, within [4 MiB, 1 GiB].
  std::uint64_t write_buffer_bytes = 0;  ///< Memory for writes; 0: 16 MiB. Twice this may be held.
  std::uint64_t min_free_bytes = 0;      ///< Refuse writes when the disk has less free.
  bool direct_io = true;
  int read_threads = 2;
};

struct OpenedSsd {
  std::unique_ptr<ColdTier> tier;
  /// Set when the old store would not open and was moved aside: where it is now and why. The tier
  /// then started empty.
  std::string quarantined_to;
  std::string quarantine_reason;
};

/// Errors: kInvalidArgument (sizes), kPermissionDenied or kIo (the directory cannot be made, read
/// or written), kUnsupported (a directory of another format version, or one that is not ours:
/// never touched). A store that is ours but will not open is quarantined, not an error.
Result<OpenedSsd> OpenSsdTier(const SsdConfig& config);

}  // namespace cairn
