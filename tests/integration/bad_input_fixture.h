#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/integration/daemon_fixture.h"
#include "tests/integration/raw_peer.h"
#include "tests/integration/wire.h"

namespace cairn::test {

/// A daemon that is told nonsense. At the end it must serve a well-behaved engine as ever.
class BadInputTest : public DaemonTest {
 protected:
  void SetUp() override { ASSERT_TRUE(StartDaemon()); }
  void TearDown() override {
    if (daemon().running()) {
      Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
      EXPECT_TRUE(engine.Open()) << "a well-behaved client suffers";
      EXPECT_TRUE(engine.Store(Tokens(77, 40), {32}));
      const auto hit = engine.Load(Tokens(77, 40));
      EXPECT_TRUE(hit && hit->resume_at == 32 && hit->wrong == 0) << Why(hit);
    }
    DaemonTest::TearDown();
  }

  /// What the daemon says to `bytes` as the first thing on a connection, before it closes.
  void ExpectRefused(const std::string& bytes, ErrorCode code, const std::string& word) {
    for (const std::string& endpoint : {daemon().UnixEndpoint(), daemon().TcpEndpoint()}) {
      RawPeer peer(endpoint);
      ASSERT_TRUE(peer.Send(bytes));
      ExpectAnswer(peer, code, word);
      EXPECT_TRUE(peer.ClosedWithin(std::chrono::milliseconds(5000)));
    }
  }
  static void ExpectAnswer(RawPeer& peer, ErrorCode code, const std::string& word) {
    const auto answer = peer.Receive();
    ASSERT_TRUE(answer.has_value()) << "closed without a word about '" << word << "'";
    EXPECT_EQ(answer->code(), static_cast<std::uint32_t>(code)) << answer->message();
    EXPECT_NE(answer->message().find(word), std::string::npos) << answer->message();
    EXPECT_LE(answer->message().size(), 500U);
  }
  static void ExpectError(const Result<v1::Response>& reply, ErrorCode code,
                          const std::string& word) {
    ASSERT_FALSE(reply.has_value()) << word;
    EXPECT_EQ(reply.error().code, code) << reply.error().message;
    EXPECT_NE(reply.error().message.find(word), std::string::npos) << reply.error().message;
  }
};

}  // namespace cairn::test
