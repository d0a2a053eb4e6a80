// A daemon that is not there, and one that accepts and never answers: prefills are cold, and an
// engine loses the deadlines of a few calls and nothing more.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "libcache/connector/llamacpp/connector.h"
#include "tests/unit/libcache/connector/llamacpp/connector_fixture.h"

namespace cairn::llamacpp {
namespace {

using fake::Config;
using fake::MakeTokens;
using std::chrono::milliseconds;

class NoDaemonTest : public ConnectorFixture {
 protected:
  void SetUp() override {
    ConnectorFixture::SetUp();
    path_ = ::testing::TempDir() + "cairn_llama_" + std::to_string(getpid()) + ".sock";
    unlink(path_.c_str());
  }
  void TearDown() override {
    ConnectorFixture::TearDown();
    if (listener_ >= 0) {
      close(listener_);
    }
    unlink(path_.c_str());
  }
  /// Connections land in the backlog; nobody reads.
  void Listen() {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path_.size(), sizeof(address.sun_path));
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    ASSERT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(listen(listener_, 64), 0);
  }
  /// Ten requests; each of the first few may cost its deadline, and no more.
  void ExpectCold(milliseconds bound) {
    ConnectorOptions options = Options();
    options.client.cache = nullptr;
    options.client.endpoint = "unix:" + path_;
    options.client.probe_every = std::chrono::minutes(1);
    options.match_timeout = kTimeout;
    options.store_timeout = kTimeout;
    const Config config = fake::Hybrid();
    Engine engine = Start(config, options);
    milliseconds waited{0};
    for (std::uint64_t i = 0; i < kRequests; ++i) {
      const Tokens prompt = MakeTokens(200, i);
      const auto start = std::chrono::steady_clock::now();
      Request request = engine.connector->Begin(0, prompt);
      waited += std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
      EXPECT_EQ(request.position(), 0U);
      EXPECT_TRUE(request.resumption().error.has_value());
      Advance(engine, request, 0, prompt, 200);
      request.EndPrompt();
      EXPECT_EQ(engine.context->Logits(0), Cold(config, prompt));
    }
    EXPECT_LT(waited, bound);
    EXPECT_TRUE(engine.connector->Flush(Soon()));
    EXPECT_EQ(engine.connector->counters().failed_matches, kRequests);
    EXPECT_EQ(engine.connector->counters().failed_stores, kRequests);
    EXPECT_EQ(engine.connector->counters().resumed, 0U);
  }

  const Tokens prompt_ = MakeTokens(600);
  static constexpr milliseconds kTimeout{100};
  static constexpr std::uint64_t kRequests = 10;
  std::string path_;
  int listener_ = -1;
};

TEST_F(NoDaemonTest, IsNotThereAtAll) { ExpectCold(kTimeout * 8); }

TEST_F(NoDaemonTest, IsThereButDoesNotAnswer) {
  Listen();
  ExpectCold(kTimeout * 8);
}

/// Each job waits for its timeout: they must not pile up without end.
TEST_F(NoDaemonTest, IsSlowerThanRequestsCome) {
  Listen();
  ConnectorOptions options = Options();
  options.client.cache = nullptr;
  options.client.endpoint = "unix:" + path_;
  options.match_timeout = milliseconds(1);
  options.store_timeout = milliseconds(1000);
  Engine engine = Start(fake::AttentionOnly(), options);
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < 100; ++i) {
    Request request = engine.connector->Begin(0, MakeTokens(3, i));
    Advance(engine, request, 0, MakeTokens(3, i), 3);
    request.EndPrompt();
  }
  // One is under way and 64 wait; less is dropped if a second has passed meanwhile.
  if (std::chrono::steady_clock::now() - start < options.store_timeout) {
    EXPECT_GE(engine.connector->counters().dropped_stores, 100U - 64U - 1U);
  }
  EXPECT_LE(engine.connector->counters().dropped_stores, 100U - 64U);
  const auto closing = std::chrono::steady_clock::now();
  engine.connector.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - closing, 3 * options.store_timeout);
}

TEST_F(NoDaemonTest, HasAnEndpointThatIsNone) {
  // No reason to stop an engine either.
  ConnectorOptions options = Options();
  options.client.cache = nullptr;
  options.client.endpoint = "nonsense";
  Engine engine = Start(fake::Hybrid(), options);
  const Outcome outcome = Run(engine, prompt_);
  EXPECT_TRUE(outcome.resumption.error.has_value());
  EXPECT_EQ(outcome.logits, Cold(engine.context->config, prompt_));
}

}  // namespace
}  // namespace cairn::llamacpp
