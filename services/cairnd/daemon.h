#pragma once

#include <memory>

#include "libcache/base/result.h"
#include "services/cairnd/config.h"

namespace cairn::server {

/// Owns everything a daemon consists of, and the order in which it starts and stops.
class Daemon {
 public:
  /// Opens the tiers and binds all ports; nothing is served yet. Errors name the flag to change:
  /// port in use, unreadable directory, another format version, memory refused.
  static Result<std::unique_ptr<Daemon>> Open(const DaemonConfig& config);
  virtual ~Daemon() = default;

  /// Serves until SIGTERM, SIGINT or a drain request; then lets running requests finish within
  /// --drain-ms, ends leases, writes what waits for the SSD and returns. 0, or 1 if something had
  /// to be cut off.
  virtual int Run() = 0;
};

}  // namespace cairn::server
