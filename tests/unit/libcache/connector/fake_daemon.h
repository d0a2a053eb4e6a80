#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cairn/v1/cache.pb.h"
#include "libcache/transport/frame.h"

namespace cairn::test {

/// Stands for a daemon at a Unix socket, with answers of a test's own, on a thread per connection.
class FakeDaemon {
 public:
  /// Fills in the response, which has its id; false: says nothing. Called from any thread.
  using Answer = std::function<bool(const v1::Request& request, v1::Response& response)>;

  FakeDaemon(std::string path, Answer answer) : path_(std::move(path)), answer_(std::move(answer)) {
    unlink(path_.c_str());
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(path_.size(), sizeof(address.sun_path));
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    acceptor_ = std::thread([this] {
      for (int fd = accept(listener_, nullptr, nullptr); fd >= 0;
           fd = accept(listener_, nullptr, nullptr)) {
        sessions_.emplace_back([this, fd] { Serve(fd); });
      }
    });
  }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;
  /// The clients are gone by then.
  ~FakeDaemon() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& session : sessions_) {
      session.join();
    }
    close(listener_);
    unlink(path_.c_str());
  }

  /// The answer to Hello, of a daemon that has no plane yet.
  static void AnswerHello(v1::Response& response) {
    v1::HelloReply& hello = *response.mutable_hello();
    hello.set_protocol_version(kProtocolVersion);
    hello.set_session_token(std::string(16, 't'));
    hello.set_max_frame_bytes(kMaxFrameBytes);
    hello.set_lease_ms(1000);
  }

 private:
  static bool ReadAll(int fd, std::string& bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
      const ssize_t got = read(fd, bytes.data() + at, bytes.size() - at);
      if (got <= 0) {
        return false;
      }
      at += static_cast<std::size_t>(got);
    }
    return true;
  }

  void Serve(int fd) const {
    std::string head(FrameHeader::kBytes, '\0');
    while (ReadAll(fd, head)) {
      const auto header = ParseFrameHeader(std::as_bytes(std::span(head)), kMaxFrameBytes);
      std::string body(header ? header->payload_bytes : 0, '\0');
      v1::Request request;
      if (!header || !ReadAll(fd, body) || !request.ParseFromString(body)) {
        break;
      }
      v1::Response response;
      response.set_id(request.id());
      if (!answer_(request, response)) {
        continue;
      }
      std::string frame;
      EXPECT_TRUE(AppendFrame(response, frame).has_value());
      // The client may be gone.
      static_cast<void>(send(fd, frame.data(), frame.size(), MSG_NOSIGNAL));
    }
    close(fd);
  }

  const std::string path_;
  const Answer answer_;
  int listener_ = -1;
  std::thread acceptor_;
  std::vector<std::thread> sessions_;
};

}  // namespace cairn::test
