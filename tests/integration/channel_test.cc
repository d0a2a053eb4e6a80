// Connections from the connector's side to a daemon that takes nothing in for a while.
#include <gtest/gtest.h>

#include <string>

#include "libcache/transport/channel.h"
#include "tests/integration/tls_fixture.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;

/// By Unix socket, TCP, and TLS.
enum class Kind { kUnix, kTcp, kTls };

class ChannelTest : public TlsDaemonTest, public ::testing::WithParamInterface<Kind> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(GetParam() == Kind::kTls ? StartTls() : StartDaemon());
    Channel::Greeting greeting;
    greeting.tls = GetParam() == Kind::kTls ? TlsClient::Make(Acme()) : nullptr;
    auto opened = Channel::Open(*ParseEndpoint(GetParam() == Kind::kUnix ? daemon().UnixEndpoint()
                                                                         : daemon().TcpEndpoint()),
                                greeting, Soon());
    ASSERT_TRUE(opened.has_value()) << Why(opened);
    channel_.emplace(std::move(*opened));
  }
  void TearDown() override {
    channel_.reset();
    TlsDaemonTest::TearDown();
  }
  /// A frame that no socket's buffer takes whole.
  static v1::Request Large() {
    v1::Request request;
    request.mutable_match()->set_prompt_tokens(1);
    request.mutable_match()->set_purpose(v1::MATCH_PURPOSE_OVERHEAR);
    request.mutable_match()->mutable_keys()->assign(kMaxFrameBytes - 4096, 'x');
    return request;
  }
  Status Post(milliseconds limit) {
    v1::Request request = Large();
    return channel_->Post(request, In(limit));
  }
  /// Something that is answered.
  Result<v1::Response> Ask() {
    v1::Request request = OpenRequest(SmallModel());
    request.mutable_open_namespace()->set_tenant(GetParam() == Kind::kTls ? "acme" : "");
    return channel_->Call(request, Soon());
  }

  std::optional<Channel> channel_;
};

TEST_P(ChannelTest, WhatIsOnlyToldNeitherWaitsNorBreaksTheConnection) {
  ASSERT_TRUE(Ask()) << "it works";
  daemon().Freeze();
  // In part taken in by the socket, so that the rest has to follow.
  bool behind = false;
  for (int i = 0; i < 8 && !behind; ++i) {
    const Status told = Post(milliseconds(5));
    ASSERT_TRUE(told.has_value()) << Why(told);
    behind = channel_->Behind();
  }
  ASSERT_TRUE(behind);
  for (int i = 0; i < 3; ++i) {
    const Status refused = Post(milliseconds(1));
    ASSERT_FALSE(refused.has_value()) << "one at a time waits to be taken in";
    EXPECT_EQ(refused.error().code, ErrorCode::kDeadlineExceeded);
    EXPECT_FALSE(channel_->broken());
  }
  daemon().Thaw();
  for (int i = 0; i < 3; ++i) {
    const auto answered = Ask();
    ASSERT_TRUE(answered.has_value()) << Why(answered);
    EXPECT_TRUE(answered->has_open_namespace()) << "the stream is in step";
    EXPECT_TRUE(Post(milliseconds(1000)).has_value());
  }
}

TEST_P(ChannelTest, NobodyWaitsForAnswersThatAreOnlySkipped) {
  daemon().Freeze();
  v1::Request request;
  int told = 0;
  for (int i = 0; i < 100; ++i) {
    request.mutable_release()->set_lease_id(12345);
    told += channel_->Post(request, In(milliseconds(1))) ? 1 : 0;
  }
  EXPECT_GT(told, 16);
  EXPECT_LT(told, 100) << "unread answers would fill the socket's buffer";
  EXPECT_TRUE(channel_->Behind());
  daemon().Thaw();
  EXPECT_TRUE(Ask().has_value());
  EXPECT_TRUE(channel_->Post(request, In(milliseconds(1000))).has_value());
  EXPECT_FALSE(channel_->Behind());
}

INSTANTIATE_TEST_SUITE_P(Kinds, ChannelTest, ::testing::Values(Kind::kUnix, Kind::kTcp, Kind::kTls),
                         [](const auto& kind) {
                           return kind.param == Kind::kUnix  ? "unix"
                                  : kind.param == Kind::kTcp ? "tcp"
                                                             : "tls";
                         });

}  // namespace
}  // namespace cairn::test
