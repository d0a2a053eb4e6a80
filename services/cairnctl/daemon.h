#pragma once

#include <chrono>
#include <string>

#include "cairn/v1/admin.pb.h"
#include "libcache/base/result.h"
#include "libcache/transport/channel.h"
#include "services/cairnctl/command_table.h"

namespace cairn::ctl {

/// A connection to the daemon that an invocation names. Its errors say what the user can do.
class Daemon {
 public:
  /// Errors: kUnavailable (none there, or it is draining), kPermissionDenied (its socket is not for
  /// this user), kDeadlineExceeded, kUnsupported (it speaks another protocol version).
  static Result<Daemon> Open(const Invocation& invocation);

  /// One request; the reply has the body that belongs to it. Errors: the daemon's answer;
  /// kPermissionDenied over TCP; kUnavailable when it went away; kDeadlineExceeded.
  Result<v1::AdminReply> Call(const v1::AdminRequest& request);
  /// How it is. Errors: as Call.
  Result<v1::StatusReply> Status();

  [[nodiscard]] const std::string& version() const { return channel_.hello().server_version(); }
  /// The connection is gone, so that no further call can succeed.
  [[nodiscard]] bool lost() const { return channel_.broken(); }

 private:
  Daemon(Channel channel, std::chrono::milliseconds timeout)
      : channel_(std::move(channel)), timeout_(timeout) {}

  Channel channel_;
  std::chrono::milliseconds timeout_;
};

}  // namespace cairn::ctl
