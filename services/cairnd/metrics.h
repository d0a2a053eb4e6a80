#pragma once

#include <cstdint>
#include <string>

#include "libcache/cache/types.h"
#include "services/cairnd/tls_gate.h"
#include "services/cairnd/ucx.h"

namespace cairn::server {

/// What the daemon knows beside the cache.
struct ProcessStats {
  std::uint64_t rss_bytes = 0;
  double uptime_seconds = 0;
  std::uint64_t connections = 0;
  std::uint64_t refused_frames = 0;
  bool ssd_configured = false;
  bool ssd_quarantined = false;  ///< The store was damaged and moved aside at this start.
  std::uint64_t failed_placement_saves = 0;
  TlsStats tls;
  bool has_ucx = false;
  UcxStats ucx;
};

/// Resident memory of this process, from /proc/self/statm; 0 if unreadable.
std::uint64_t ResidentBytes();
/// The most it ever was, from /proc/self/status; 0 if unreadable.
std::uint64_t PeakResidentBytes();

/// All metrics in Prometheus text format (docs/metrics.md lists them). Metrics carry no keys,
/// tokens or addresses.
std::string PrometheusText(const CacheStats& stats, const ProcessStats& process);

}  // namespace cairn::server
