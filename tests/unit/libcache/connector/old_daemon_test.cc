// A daemon of a release that knows no fidelity ignores the field and gives out the exact namespace.
// A client that declared another must notice, or states that are not exact would mix with those
// that are.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "cairn/v1/cache.pb.h"
#include "libcache/connector/client.h"
#include "libcache/transport/frame.h"

namespace cairn {
namespace {

/// Answers Hello and OpenNamespace as a daemon of the first release did, on a thread per
/// connection.
class OldDaemon {
 public:
  explicit OldDaemon(std::string path) : path_(std::move(path)) {
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
        sessions_.emplace_back([fd] { Serve(fd); });
      }
    });
  }
  /// The clients are gone by then.
  ~OldDaemon() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& session : sessions_) {
      session.join();
    }
    close(listener_);
    unlink(path_.c_str());
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

  static void Serve(int fd) {
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
      if (request.has_hello()) {
        response.mutable_hello()->set_protocol_version(kProtocolVersion);
        response.mutable_hello()->set_session_token(std::string(16, 't'));
        response.mutable_hello()->set_max_frame_bytes(kMaxFrameBytes);
        response.mutable_hello()->set_lease_ms(1000);
        response.mutable_hello()->add_planes(v1::PLANE_STREAM);
      } else {
        response.mutable_open_namespace()->set_namespace_id(1);
        response.mutable_open_namespace()->set_seed(std::string(32, 's'));
        response.mutable_open_namespace()->set_grid_tokens(16);
      }
      std::string frame;
      EXPECT_TRUE(AppendFrame(response, frame).has_value());
      EXPECT_EQ(write(fd, frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
    }
    close(fd);
  }

  const std::string path_;
  int listener_ = -1;
  std::thread acceptor_;
  std::vector<std::thread> sessions_;
};

TEST(OldDaemonTest, GivesNoNamespaceThatIsNotExact) {
  const std::string path =
      ::testing::TempDir() + "cairn_old_daemon_" + std::to_string(getpid()) + ".sock";
  const OldDaemon daemon(path);
  ClientOptions options;
  options.endpoint = "unix:" + path;
  options.plane = PlaneChoice::kStream;
  Client client(options);
  NamespaceSpec spec;
  spec.model = "test";
  spec.block_tokens = 16;
  spec.checkpoint_bytes = 64;
  const auto exact = client.OpenNamespace(spec, In(std::chrono::seconds(20)));
  ASSERT_TRUE(exact.has_value()) << ToString(exact.error());
  for (const Fidelity fidelity : {Fidelity::kNear, Fidelity::kCompact}) {
    spec.fidelity = fidelity;
    const auto other = client.OpenNamespace(spec, In(std::chrono::seconds(20)));
    ASSERT_FALSE(other.has_value());
    EXPECT_EQ(other.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(other.error().message,
              "fidelity: the daemon is too old for a namespace that is not exact; update it");
  }
}

}  // namespace
}  // namespace cairn
