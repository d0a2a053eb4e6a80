// How a client gets to one daemon: what becomes of UCX that is offered and comes to nothing, and of
// certificates that are no good.
#include "libcache/connector/peer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <vector>

#include "libcache/base/unique_fd.h"
#include "libcache/ucx/ucx.h"
#include "tests/unit/libcache/connector/fake_daemon.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kTransports = "posix,sysv,cma,self";

TimePoint After(Duration time) { return SteadyClock::Instance().Now() + time; }

/// A daemon that offers UCX; what it does then is the test's.
class PeerUcxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto context = ucx::Context::Open(kTransports); !context) {
      std::fprintf(stderr, "NOT TESTED: the UCX plane: %s\n", context.error().message.c_str());
      GTEST_SKIP() << context.error().message;
    }
  }
  [[nodiscard]] bool Answer(const v1::Request& request, v1::Response& response) {
    if (request.has_hello()) {
      test::FakeDaemon::AnswerHello(response);
      response.mutable_hello()->add_planes(v1::PLANE_UCX);
      response.mutable_hello()->set_ucx_transports(kTransports);
      response.mutable_hello()->add_planes(v1::PLANE_STREAM);
      return true;
    }
    if (request.has_attach_ucx()) {
      attached_ += 1;
      response.mutable_attach_ucx()->add_lanes("cma");
      return answers_attach_;
    }
    if (request.has_ucx_put()) {
      response.mutable_empty();
      return answered_puts_-- > 0;
    }
    response.set_code(static_cast<std::uint32_t>(ErrorCode::kUnsupported));
    return true;
  }
  Peer NewPeer() {
    Peer::Options options;
    options.member = {.name = "one", .endpoint = "unix:" + path_};
    options.breaker_failures = 0;
    return {1, options};
  }

  const std::string path_ =
      ::testing::TempDir() + "cairn_peer_" + std::to_string(getpid()) + ".sock";
  std::atomic<int> attached_{0};
  std::atomic<bool> answers_attach_{true};
  std::atomic<int> answered_puts_{0};
  const test::FakeDaemon daemon_{
      path_, [this](const auto& request, auto& response) { return Answer(request, response); }};
};

TEST_F(PeerUcxTest, AStreamIsThereInTimeWhereUcxHangs) {
  answers_attach_ = false;
  Peer peer = NewPeer();
  const auto backend = peer.Ready(nullptr, After(seconds(2)));
  ASSERT_TRUE(backend.has_value()) << backend.error().message;
  EXPECT_EQ((*backend)->PlaneName(), "stream");
  EXPECT_EQ(attached_, 1);
}

TEST_F(PeerUcxTest, AfterUcxThatMovedNothingComesTheStream) {
  Peer peer = NewPeer();
  const auto backend = peer.Ready(nullptr, After(seconds(20)));
  ASSERT_TRUE(backend.has_value()) << backend.error().message;
  ASSERT_EQ((*backend)->PlaneName(), "ucx");
  const std::vector<std::byte> bytes(100);
  EXPECT_FALSE((*backend)->Write(1, bytes, After(seconds(20))));
  ASSERT_EQ(peer.Connected(), nullptr) << "silent for a second";
  for (int turn = 0; turn < 2; ++turn) {
    const auto again = peer.Ready(nullptr, After(seconds(20)));
    ASSERT_TRUE(again.has_value()) << again.error().message;
    EXPECT_EQ((*again)->PlaneName(), "stream");
    EXPECT_FALSE((*again)->Write(1, bytes, After(milliseconds(1)))) << "it is lost as well";
  }
  EXPECT_EQ(attached_, 1) << "UCX is not tried again so soon";
}

// A daemon that stops answering says nothing about UCX.
TEST_F(PeerUcxTest, UcxThatHasWorkedIsTriedAgain) {
  answered_puts_ = 1;
  Peer peer = NewPeer();
  const auto backend = peer.Ready(nullptr, After(seconds(20)));
  ASSERT_TRUE(backend.has_value()) << backend.error().message;
  const std::vector<std::byte> bytes(100);
  EXPECT_TRUE((*backend)->Write(1, bytes, After(seconds(20))));
  EXPECT_FALSE((*backend)->Write(1, bytes, After(seconds(20))));
  ASSERT_EQ(peer.Connected(), nullptr);
  const auto again = peer.Ready(nullptr, After(seconds(20)));
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ((*again)->PlaneName(), "ucx");
}

// Somebody listens, so that connecting works; what fails are files of ours.
TEST(PeerTlsTest, FilesThatAreNoGoodAreLikeNoDaemon) {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener.get(), 64), 0);
  socklen_t size = sizeof(address);
  ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string nothing = ::testing::TempDir() + "cairn_no_such_file";
  const std::vector<std::pair<TlsClientOptions, ErrorCode>> cases = {
      {{.ca = nothing, .certificate = nothing, .key = nothing}, ErrorCode::kNotFound},
      {{.ca = nothing}, ErrorCode::kInvalidArgument},
      {{.ca = "/", .certificate = "/", .key = "/"}, ErrorCode::kInvalidArgument}};
  for (const auto& [tls, code] : cases) {
    Peer::Options options;
    options.member = {.name = "one",
                      .endpoint = "127.0.0.1:" + std::to_string(ntohs(address.sin_port))};
    options.tls = TlsClient::Make(tls);
    Peer peer(1, options);
    for (int i = 0; i < options.breaker_failures; ++i) {
      const auto ready = peer.Ready(nullptr, After(seconds(20)));
      ASSERT_FALSE(ready.has_value());
      EXPECT_EQ(ready.error().code, code) << "the caller hears what it is";
      EXPECT_EQ(peer.View().state, MemberView::State::kDown);
      EXPECT_NE(peer.View().problem.find("--tls-"), std::string::npos) << peer.View().problem;
    }
    const auto broken = peer.Ready(nullptr, After(seconds(20)));
    ASSERT_FALSE(broken.has_value());
    EXPECT_EQ(broken.error().code, ErrorCode::kUnavailable) << "the breaker is open";
  }
}

}  // namespace
}  // namespace cairn
