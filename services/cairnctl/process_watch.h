#pragma once

#include <chrono>
#include <optional>

#include "libcache/base/clock.h"
#include "libcache/transport/endpoint.h"
#include "libcache/transport/socket.h"

namespace cairn::ctl {

/// Tells when the process that listens on a Unix socket has ended. Its socket does not tell: a
/// draining daemon closes it first and writes to its SSD afterwards.
class ProcessWatch {
 public:
  /// Nullopt if nobody listens, over TCP, or if the process is out of sight (a container's).
  static std::optional<ProcessWatch> OfListener(const Endpoint& endpoint, TimePoint deadline);

  /// Waits at most `limit`; true once the process has ended.
  [[nodiscard]] bool EndsWithin(std::chrono::milliseconds limit) const;

 private:
  explicit ProcessWatch(UniqueFd process) : process_(std::move(process)) {}
  UniqueFd process_;
};

}  // namespace cairn::ctl
