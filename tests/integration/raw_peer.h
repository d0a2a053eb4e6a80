#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>
#include <span>
#include <string>

#include "cairn/v1/cache.pb.h"
#include "libcache/base/endian.h"
#include "libcache/transport/frame.h"
#include "libcache/transport/socket.h"

namespace cairn::test {

/// A peer that says to a daemon whatever it likes.
class RawPeer {
 public:
  explicit RawPeer(const std::string& endpoint) {
    auto socket = Socket::Connect(*ParseEndpoint(endpoint),
                                  std::chrono::steady_clock::now() + std::chrono::seconds(10));
    EXPECT_TRUE(socket.has_value()) << endpoint;
    if (socket) {
      socket_.emplace(std::move(*socket));
    }
  }

  /// False once the daemon has closed the connection.
  bool Send(std::string_view bytes) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    return socket_ && socket_->Send(std::as_bytes(std::span(bytes)), {}, deadline).has_value();
  }
  bool Send(const v1::Request& request) { return Send(Framed(request)); }

  static std::string Framed(const v1::Request& request) {
    std::string frame;
    EXPECT_TRUE(AppendFrame(request, frame).has_value());
    return frame;
  }
  /// A frame header with whatever fields.
  static std::string Header(std::uint32_t magic, std::uint16_t version, std::uint16_t reserved,
                            std::uint32_t payload_bytes, std::uint32_t reserved2 = 0) {
    std::string header(FrameHeader::kBytes, '\0');
    const auto bytes = std::as_writable_bytes(std::span(header));
    StoreLe(bytes, 0, magic);
    StoreLe(bytes, 4, version);
    StoreLe(bytes, 6, reserved);
    StoreLe(bytes, 8, payload_bytes);
    StoreLe(bytes, 12, reserved2);
    return header;
  }
  static v1::Request Hello(v1::Role role = v1::ROLE_CONTROL, const std::string& token = "") {
    v1::Request request;
    request.set_id(1);
    request.mutable_hello()->set_protocol_version(kProtocolVersion);
    request.mutable_hello()->set_client("raw");
    request.mutable_hello()->set_role(role);
    request.mutable_hello()->set_session_token(token);
    return request;
  }

  /// The next response; nullopt when the daemon closed or said nothing in time.
  std::optional<v1::Response> Receive(std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    std::string head(FrameHeader::kBytes, '\0');
    if (!socket_ || !socket_->Receive(std::as_writable_bytes(std::span(head)), deadline)) {
      return std::nullopt;
    }
    const auto header = ParseFrameHeader(std::as_bytes(std::span(head)), kMaxFrameBytes);
    EXPECT_TRUE(header.has_value());
    std::string body(header ? header->payload_bytes : 0, '\0');
    v1::Response response;
    if (!header || !socket_->Receive(std::as_writable_bytes(std::span(body)), deadline) ||
        !response.ParseFromString(body)) {
      return std::nullopt;
    }
    return response;
  }
  std::optional<v1::Response> Call(const v1::Request& request) {
    return Send(request) ? Receive() : std::nullopt;
  }
  /// All that comes until the daemon closes, or until `limit`.
  std::string ReadToEnd(std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    std::string all;
    char buffer[4096];
    while (socket_ && Readable(until)) {
      const ssize_t got = recv(socket_->fd(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (got <= 0) {
        break;
      }
      all.append(buffer, static_cast<std::size_t>(got));
    }
    return all;
  }
  /// True when the daemon closes within `limit`; what it still says is read and dropped.
  bool ClosedWithin(std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    char buffer[65536];
    while (socket_ && Readable(until)) {
      const ssize_t got = recv(socket_->fd(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) {
        return true;
      }
    }
    return !socket_;
  }
  void Close() { socket_.reset(); }
  [[nodiscard]] int fd() const { return socket_ ? socket_->fd() : -1; }

 private:
  bool Readable(std::chrono::steady_clock::time_point until) const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    pollfd p{.fd = socket_->fd(), .events = POLLIN, .revents = 0};
    return left.count() > 0 && poll(&p, 1, static_cast<int>(left.count())) > 0;
  }

  std::optional<Socket> socket_;
};

}  // namespace cairn::test
