#pragma once

#include <cstdint>
#include <string>

#include "libcache/base/bytes.h"
#include "libcache/transport/tls_client.h"

namespace cairn::bench {

/// What `cairn-bench replay` was asked to do. docs/bench.md explains each.
struct ReplayOptions {
  std::string trace;
  std::string connect;  ///< Empty: an embedded cache.
  std::string admin;    ///< Unix socket to ask for the daemon's status, when `connect` is TCP.
  TlsClientOptions tls;
  std::string plane = "auto";
  std::string model = "qwen3.5-27b";
  double bytes_scale = 0.01;
  int clients = 4;
  std::uint64_t limit = 0;  ///< Requests; 0: all.
  double time_scale = 0;    ///< Seconds of ours per second of the trace; 0: as fast as possible.
  std::uint32_t deadline_ms = 10'000;
  std::string salt = "cairn-bench";
  bool durable = false;
  std::uint32_t block_tokens = 0;  ///< 0: the trace's.
  std::uint32_t grid_tokens = 0;   ///< 0: 1 for exact traces, else the block.

  // Of the embedded cache.
  std::string planner = "turn_end_demand";
  std::string eviction = "value";
  std::uint64_t memory_bytes = 256 * kMiB;
  std::uint64_t ssd_bytes = 0;
  std::string ssd_path;
  /// Its clock shows the trace's time, however fast the replay is.
  bool trace_clock = false;

  bool json = false;
  std::string save;  ///< A file that gets the JSON as well.
  bool quiet = false;
};

/// Replays the trace and prints what came of it; returns the exit code.
int RunReplay(const ReplayOptions& options);

}  // namespace cairn::bench
