#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcache/base/bytes.h"

namespace cairn::bench {

/// What all microbenchmarks take. Each starts a daemon of its own, measures Cairn and the thing it
/// is compared with by turns in the same run, and leaves nothing behind.
struct MicroOptions {
  std::string plane = "shm";         ///< get, put: "shm", "ucx", or "stream" over loopback TCP.
  bool tls = false;                  ///< With "stream".
  std::vector<std::uint64_t> sizes;  ///< Of objects; empty: those of the benchmark.
  /// Objects of one size have so many bytes together: more than the caches of a processor hold.
  std::uint64_t working_set = 256 * kMiB;
  double seconds = 1;  ///< Spent on each size, about.
  std::string dir;     ///< ssd: where its files go; empty: $TMPDIR.
  bool json = false;
  std::string save;  ///< A file that gets the JSON as well.
  bool quiet = false;
};

/// Each returns the exit code.
int RunGet(const MicroOptions& options);
int RunPut(const MicroOptions& options);
int RunMatch(const MicroOptions& options);
int RunSsd(const MicroOptions& options);
int RunRedis(const MicroOptions& options);

}  // namespace cairn::bench
