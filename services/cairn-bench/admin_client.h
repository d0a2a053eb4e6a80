#pragma once

#include <map>
#include <memory>
#include <string>

#include "cairn/v1/admin.pb.h"
#include "libcache/base/clock.h"
#include "libcache/base/result.h"
#include "libcache/transport/channel.h"

namespace cairn::bench {

/// Asks a daemon about itself, over a connection of its own. Not thread-safe.
class AdminClient {
 public:
  /// Errors: those of Channel::Open.
  static Result<AdminClient> Connect(const std::string& endpoint, TimePoint deadline,
                                     const TlsClientOptions& tls = {});

  /// Errors: kPermissionDenied where the daemon does not trust the connection (TCP, another user).
  Result<v1::StatusReply> Status(TimePoint deadline);
  Result<std::map<std::string, std::string>> Config(TimePoint deadline);
  /// Drops everything that nobody holds, in all tiers.
  cairn::Status Clear(TimePoint deadline);

 private:
  explicit AdminClient(Channel channel) : channel_(std::move(channel)) {}
  Result<v1::AdminReply> Ask(v1::Request& request, TimePoint deadline);

  Channel channel_;
};

}  // namespace cairn::bench
