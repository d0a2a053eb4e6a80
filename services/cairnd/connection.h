#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cairn/v1/cache.pb.h"
#include "libcache/base/result.h"
#include "libcache/transport/tls_connection.h"
#include "services/cairnd/async.h"
#include "services/cairnd/tls_gate.h"

namespace cairn::server {

using StreamSocket = asio::generic::stream_protocol::socket;

/// Frames in and out over one socket, with a bound on how long a peer may stall: one that stops in
/// the middle of a request or a payload, or does not read its answers, is cut off. An idle peer is
/// not, nor one that takes its time over a payload but keeps moving. Lives on one I/O thread.
class Connection {
 public:
  explicit Connection(StreamSocket socket);

  /// TLS from here on, which must come about within `limit`. Before anything else. Nothing is
  /// allocated for it before the peer has sent a first byte that fits.
  asio::awaitable<TlsOutcome> Secure(const TlsCredentials& credentials,
                                     std::chrono::milliseconds limit);
  /// Once secured, or refused: the TLS of it; null before.
  [[nodiscard]] const TlsConnection* tls() const { return tls_.get(); }

  /// The next request. `idle_limit`: how long the whole of it may take from now on (zero: its first
  /// byte may take for ever).
  /// Errors: kUnavailable (closed), kDeadlineExceeded, and those of ParseFrameHeader.
  asio::awaitable<Status> ReadRequest(v1::Request& request, std::uint32_t max_bytes,
                                      std::chrono::seconds idle_limit);
  /// Raw bytes that follow a request.
  asio::awaitable<Status> ReadRaw(std::span<std::byte> target);
  /// Frames `response`; `payload` follows it. A response longer than a frame becomes an error of
  /// the same id, kOverloaded, without payload.
  asio::awaitable<Status> Write(const v1::Response& response, std::span<const std::byte> payload);
  /// As Write, with descriptors on the first byte.
  asio::awaitable<Status> WriteWithFds(const v1::Response& response, std::span<const int> fds);

  /// The peer has closed its end, or died, though what it sent before may not be read yet.
  [[nodiscard]] bool PeerGone();
  /// Ends pending reads and writes. From its own thread only.
  void Close();
  StreamSocket& socket() { return socket_; }

 private:
  asio::awaitable<Status> Fill(std::size_t bytes);
  // By TLS, of the steps without it.
  asio::awaitable<TlsOutcome> Handshake();
  asio::awaitable<Status> WaitFor(TlsConnection::Step step);
  asio::awaitable<Result<std::size_t>> ReadTls(std::span<std::byte> target, bool stall_counts);
  asio::awaitable<Status> ReadRawTls(std::span<std::byte> target);
  asio::awaitable<Status> WriteAllTls(std::span<const std::byte> bytes);
  asio::awaitable<Status> WriteTls(std::span<const std::byte> payload);
  void Arm(std::chrono::milliseconds limit);

  StreamSocket socket_;
  asio::steady_timer watchdog_;
  std::vector<std::byte> in_;  // [0, have_) is read and not yet used.
  std::size_t have_ = 0;
  std::string out_;
  std::uint64_t armed_ = 0;
  bool watching_ = false;
  bool late_ = false;   // Closed by the watchdog.
  bool large_ = false;  // The last request was.
  std::shared_ptr<bool> alive_;
  std::unique_ptr<TlsConnection> tls_;  // Of socket_, while that is open; null: plain text.
};

}  // namespace cairn::server
