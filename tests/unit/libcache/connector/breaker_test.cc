// A daemon that accepts and never answers, and one that is not there at all: an engine loses the
// deadline of a few calls and nothing more.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "libcache/connector/client.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kDeadline{50};
constexpr milliseconds kProbeEvery{400};
constexpr int kCalls = 10;

class BreakerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "cairn_breaker_" + std::to_string(getpid()) + ".sock";
    unlink(path_.c_str());
  }
  void TearDown() override {
    if (listener_ >= 0) {
      close(listener_);
    }
    unlink(path_.c_str());
  }

  /// Connections land in the backlog: the kernel accepts them, nobody reads.
  void Listen() {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ASSERT_GE(listener_, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path_.size(), sizeof(address.sun_path));
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    ASSERT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(listen(listener_, 64), 0);
  }

  /// Connections made since the last call.
  int Connections() {
    int count = 0;
    for (;; ++count) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        return count;
      }
      close(fd);
    }
  }

  [[nodiscard]] ClientOptions Options() const {
    ClientOptions options;
    options.endpoint = "unix:" + path_;
    options.probe_every = kProbeEvery;
    return options;
  }

  static NamespaceSpec Spec() {
    NamespaceSpec spec;
    spec.model = "test";
    spec.block_tokens = 16;
    spec.checkpoint_bytes = 64;
    return spec;
  }

  struct Outcome {
    ErrorCode code;
    Duration took;
  };
  static Outcome Call(Client& client) {
    const TimePoint start = SteadyClock::Instance().Now();
    const auto opened = client.OpenNamespace(Spec(), In(kDeadline));
    return {opened ? ErrorCode::kOk : opened.error().code, SteadyClock::Instance().Now() - start};
  }
  static void ExpectTimeout(const Outcome& outcome) {
    EXPECT_EQ(outcome.code, ErrorCode::kDeadlineExceeded);
    EXPECT_GE(outcome.took, kDeadline - milliseconds(1));
  }

  std::string path_;
  int listener_ = -1;
};

TEST_F(BreakerTest, OpensAfterThreeTimeoutsAndProbesNowAndThen) {
  Listen();
  Client client(Options());
  for (int i = 0; i < 3; ++i) {
    ExpectTimeout(Call(client));
  }
  const TimePoint opened = SteadyClock::Instance().Now();
  EXPECT_EQ(Connections(), 3);

  Duration total{};
  for (int i = 0; i < kCalls; ++i) {
    const Outcome outcome = Call(client);
    EXPECT_EQ(outcome.code, ErrorCode::kUnavailable);
    total += outcome.took;
  }
  EXPECT_LT(total, kDeadline) << "ten calls together, none of which asked the daemon";
  EXPECT_EQ(Connections(), 0);

  std::this_thread::sleep_until(opened + kProbeEvery);
  ExpectTimeout(Call(client));
  EXPECT_EQ(Connections(), 1) << "the probe";
  EXPECT_EQ(Call(client).code, ErrorCode::kUnavailable);
  EXPECT_EQ(Connections(), 0) << "one probe at a time";
}

TEST_F(BreakerTest, OpensWhenNobodyListens) {
  Client client(Options());
  for (int i = 0; i < 3 + kCalls; ++i) {
    EXPECT_EQ(Call(client).code, ErrorCode::kUnavailable);
  }
  const Status again = client.Connect(In(kDeadline));
  ASSERT_FALSE(again.has_value());
  EXPECT_NE(again.error().message.find("times in a row"), std::string::npos)
      << again.error().message;
  EXPECT_EQ(client.PlaneName(), "none");
}

TEST_F(BreakerTest, HoldsForEveryKindOfCall) {
  Listen();
  Client client(Options());
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(client.Connect(In(kDeadline)).has_value());
  }
  const Status connected = client.Connect(In(kDeadline));
  ASSERT_FALSE(connected.has_value());
  EXPECT_EQ(connected.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(Call(client).code, ErrorCode::kUnavailable);
}

TEST_F(BreakerTest, CanBeTurnedOff) {
  Listen();
  ClientOptions options = Options();
  options.breaker_failures = 0;
  Client client(options);
  for (int i = 0; i < 5; ++i) {
    ExpectTimeout(Call(client));
  }
}

// In a cache of this process a breaker opens too (draining counts), and closes with the first
// success: one probe, then all calls pass.
TEST_F(BreakerTest, ClosesWithTheFirstSuccess) {
  Cache::Config config;
  config.host_bytes = 4 * kMiB;
  config.huge_pages = false;
  auto cache = Cache::Open(config, nullptr);
  ASSERT_TRUE(cache.has_value()) << ToString(cache.error());
  ClientOptions options;
  options.cache = std::move(*cache);
  options.probe_every = milliseconds(1);
  Client client(options);
  const auto space = client.OpenNamespace(Spec(), In(std::chrono::seconds(10)));
  ASSERT_TRUE(space.has_value());
  const std::vector<std::uint32_t> tokens(16, 7);
  const auto prompt = client.MakePrompt(*space, 1, tokens);
  ASSERT_TRUE(prompt.has_value());
  options.cache->BeginDrain();
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(client.Match(*prompt, In(std::chrono::seconds(10))).has_value());
  }
  std::this_thread::sleep_for(milliseconds(5));
  EXPECT_TRUE(client.OpenNamespace(Spec(), In(std::chrono::seconds(10))).has_value());
  EXPECT_TRUE(client.Observe(*prompt, {}, In(std::chrono::seconds(10))).has_value());
}

}  // namespace
}  // namespace cairn
