#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/result.h"
#include "libcache/base/unique_fd.h"
#include "libcache/transport/endpoint.h"
#include "libcache/transport/tls_connection.h"

namespace cairn {

/// The connector's side of a connection: every call ends by its deadline, none needs an event loop,
/// and only the look-up of a host's name takes a thread. After an error the stream is out of step:
/// close it. Not thread-safe.
class Socket {
 public:
  /// Errors: kUnavailable (nobody listens, or no such host; the message says where),
  /// kDeadlineExceeded.
  static Result<Socket> Connect(const Endpoint& endpoint, TimePoint deadline);

  /// TLS from here on, with a daemon whose certificate must be for `expected_peer`. A daemon that
  /// does not accept ours says so in answer to what is sent first. Errors: kUnavailable with the
  /// reason, kDeadlineExceeded.
  Status Secure(const TlsCredentials& credentials, const std::string& expected_peer,
                TimePoint deadline);

  /// Sends all of both pieces. Errors: kUnavailable (peer gone), kDeadlineExceeded.
  Status Send(std::span<const std::byte> head, std::span<const std::byte> body, TimePoint deadline);
  /// Sends what the peer takes until the deadline, and says how much that is: the rest has to be
  /// sent before anything else, beginning with the same bytes. Errors: kUnavailable (peer gone).
  Result<std::size_t> SendSome(std::span<const std::byte> bytes, TimePoint deadline);
  /// Whether there is something to receive now, or comes by the deadline; the end of the connection
  /// counts.
  [[nodiscard]] bool Readable(TimePoint deadline) const;
  /// Fills `target`. Errors: kUnavailable (peer gone), kDeadlineExceeded.
  Status Receive(std::span<std::byte> target, TimePoint deadline);
  /// As Receive; descriptors that come along (SCM_RIGHTS) are appended to `fds`.
  Status ReceiveWithFds(std::span<std::byte> target, std::vector<UniqueFd>& fds,
                        TimePoint deadline);
  /// Whether a Receive has bytes to begin with that are not in the kernel any more, so that a poll
  /// of fd() says nothing of them: TLS takes all that is there.
  [[nodiscard]] bool Buffered() const { return tls_ != nullptr && tls_->Pending(); }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit Socket(UniqueFd fd) : fd_(std::move(fd)) {}
  /// What is sent is taken off `bytes`, also where the rest could not be.
  Status SendTls(std::span<const std::byte>& bytes, TimePoint deadline);
  Status SendPlain(std::span<const std::byte>& head, std::span<const std::byte>& body,
                   TimePoint deadline);
  Status ReceiveTls(std::span<std::byte> target, TimePoint deadline);

  UniqueFd fd_;
  std::unique_ptr<TlsConnection> tls_;  // Of fd_; null: plain text.
  std::vector<std::byte> first_;        // Reused between sends by TLS.
};

}  // namespace cairn
