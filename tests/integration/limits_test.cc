// What happens at the limits that an operator sets.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "tests/integration/cairnctl_run.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/raw_peer.h"
#include "tests/integration/wire.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;

class LimitsTest : public DaemonTest {};

TEST_F(LimitsTest, WithoutStagingMemoryTheNextClientStreams) {
  // The pool is an eighth of the memory: two connections of 4 MiB.
  ASSERT_TRUE(StartDaemon({.flags = {"--staging=4MiB"}, .variables = {}}));
  const auto tokens = Tokens(1, 40);
  Engine first(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  auto second = std::make_unique<Engine>(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(first.Open());
  ASSERT_TRUE(second->Open());
  EXPECT_EQ(first.client().PlaneName(), "shm");
  EXPECT_EQ(second->client().PlaneName(), "shm");
  Engine third(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(third.Open());
  EXPECT_EQ(third.client().PlaneName(), "stream");
  ASSERT_TRUE(third.Store(tokens, {32}));
  const auto hit = first.Load(tokens);
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->resume_at, 32U);
  EXPECT_EQ(hit->wrong, 0U);
  {
    Engine insists(daemon().UnixEndpoint(), PlaneChoice::kShm);
    const Status refused = insists.Open();
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded) << refused.error().message;
  }
  second.reset();
  for (int i = 0; i < 200; ++i) {  // The daemon notices a moment later.
    Engine next(daemon().UnixEndpoint(), PlaneChoice::kShm);
    if (next.Open()) {
      return;
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  FAIL() << "staging memory did not come back";
}

TEST_F(LimitsTest, ConnectionsBeyondTheLimitAreClosedAndComeBack) {
  ASSERT_TRUE(StartDaemon({.flags = {"--max-connections=4"}, .variables = {}}));
  {
    std::vector<std::unique_ptr<RawPeer>> peers;
    for (int i = 0; i < 4; ++i) {
      peers.push_back(std::make_unique<RawPeer>(daemon().UnixEndpoint()));
      ASSERT_TRUE(peers.back()->Call(RawPeer::Hello())) << "connection " << i;
    }
    RawPeer fifth(daemon().TcpEndpoint());
    EXPECT_TRUE(fifth.ClosedWithin(milliseconds(5000)));
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
    const Status refused = engine.Open(In(milliseconds(5000)));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable) << refused.error().message;
  }
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  Status opened = engine.Open();
  for (int i = 0; i < 100 && !opened; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    opened = engine.Open();
  }
  EXPECT_TRUE(opened) << Why(opened);
  EXPECT_NE(daemon().Log().find("connection_refused reason=max_connections limit=4"),
            std::string::npos);
}

// Who looks why a daemon is full must get in, and so must the probe that would restart it.
TEST_F(LimitsTest, AFullDaemonStillAnswersProbesAndAdministration) {
  ASSERT_TRUE(StartDaemon({.flags = {"--max-connections=6"}, .variables = {}}));
  {
    std::vector<std::unique_ptr<RawPeer>> engines;
    for (int i = 0; i < 6; ++i) {
      engines.push_back(std::make_unique<RawPeer>(daemon().TcpEndpoint()));
      ASSERT_TRUE(engines.back()->Call(RawPeer::Hello())) << "connection " << i;
    }
    RawPeer beyond(daemon().TcpEndpoint());
    EXPECT_TRUE(beyond.ClosedWithin(milliseconds(5000)));
    EXPECT_EQ(HttpGet(daemon().http_port(), "/healthz").status, 200);
    Cairnctl ctl(dir_, daemon().UnixEndpoint());
    for (int i = 0; i < 12; ++i) {  // More than there are places, one after the other.
      const Ran status = ctl({"status"});
      EXPECT_EQ(status.code, 0) << status.err;
    }
    // The places are not for engines, whoever they run as.
    RawPeer engine(daemon().UnixEndpoint());
    const auto refused = engine.Call(RawPeer::Hello());
    ASSERT_TRUE(refused.has_value());
    EXPECT_EQ(refused->code(), static_cast<std::uint32_t>(ErrorCode::kUnavailable));
    EXPECT_NE(refused->message().find("--max-connections"), std::string::npos);
    RawPeer liar(daemon().UnixEndpoint());
    ASSERT_TRUE(liar.Call(RawPeer::Hello(v1::ROLE_ADMIN)));
    v1::Request open;
    open.set_id(2);
    open.mutable_open_namespace()->set_model("small");
    const auto wrong = liar.Call(open);
    ASSERT_TRUE(wrong.has_value());
    EXPECT_EQ(wrong->code(), static_cast<std::uint32_t>(ErrorCode::kPermissionDenied));
    EXPECT_TRUE(liar.ClosedWithin(milliseconds(5000)));
  }
}

TEST_F(LimitsTest, WhoConnectsAndSaysNothingGoesForOneThatDoes) {
  ASSERT_TRUE(StartDaemon({.flags = {"--max-connections=4"}, .variables = {}}));
  RawPeer early(daemon().TcpEndpoint());
  ASSERT_TRUE(early.Call(RawPeer::Hello()));
  std::vector<std::unique_ptr<RawPeer>> silent;
  for (int i = 0; i < 200; ++i) {
    silent.push_back(std::make_unique<RawPeer>(daemon().TcpEndpoint()));
  }
  RawPeer late(daemon().TcpEndpoint());
  ASSERT_TRUE(late.Call(RawPeer::Hello())) << "at once, not after the time for a Hello";
  EXPECT_FALSE(early.ClosedWithin(milliseconds(100))) << "who has said Hello stays";
}

TEST_F(LimitsTest, AProbeGetsThroughACrowdAtTheHttpPort) {
  ASSERT_TRUE(StartDaemon());
  std::vector<std::unique_ptr<RawPeer>> idle;
  for (int i = 0; i < 300; ++i) {
    idle.push_back(std::make_unique<RawPeer>("127.0.0.1:" + std::to_string(daemon().http_port())));
  }
  EXPECT_EQ(HttpGet(daemon().http_port(), "/healthz").status, 200);
  EXPECT_TRUE(idle.front()->ClosedWithin(milliseconds(5000))) << "the oldest went for it";
}

TEST_F(LimitsTest, LeasesOfAnIdleClientExpireAndItsConnectionStays) {
  ASSERT_TRUE(StartDaemon({.flags = {"--lease-ms=300"}, .variables = {}}));
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(2, 40);
  ASSERT_TRUE(engine.Store(tokens, {32}));
  const auto prompt = engine.Prompt(tokens);
  const auto hit = engine.client().Match(prompt, Soon());
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  ASSERT_NE(hit->lease, 0U);
  std::this_thread::sleep_for(milliseconds(900));
  const auto late = engine.LoadHit(prompt, *hit, Soon());
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kExpired) << late.error().message;
  EXPECT_EQ(daemon().Status().leases(), 0U);
  EXPECT_EQ(daemon().Counter("leases_expired"), 1U);
  const auto again = engine.Load(tokens);
  ASSERT_TRUE(again.has_value()) << Why(again) << ": an idle connection must not be cut";
  EXPECT_EQ(again->resume_at, 32U);
  EXPECT_EQ(daemon().Counter("matches"), 2U);
}

TEST_F(LimitsTest, ReservationsOfAnIdleWriterExpire) {
  ASSERT_TRUE(StartDaemon({.flags = {"--lease-ms=300"}, .variables = {}}));
  auto idle = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  const auto tokens = Tokens(3, 20);
  const auto keys = BlockKeys(idle.seed, tokens, 16);
  const std::uint64_t token = idle.ReserveFirstCheckpoint(keys[0], 16, 4096);
  ASSERT_NE(token, 0U);
  std::this_thread::sleep_for(milliseconds(900));
  EXPECT_EQ(daemon().Status().reservations(), 0U);
  v1::Request commit;
  commit.mutable_commit()->add_items()->set_token(token);
  const auto late = idle.Call(commit);
  ASSERT_TRUE(late.has_value()) << Why(late);
  EXPECT_EQ(late->commit().codes(0), static_cast<std::uint32_t>(ErrorCode::kExpired));
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto stored = engine.Store(tokens, {16});
  ASSERT_TRUE(stored.has_value()) << Why(stored);
  EXPECT_EQ(stored->written, 2U);
}

TEST_F(LimitsTest, LeasesOfOneSessionAreBounded) {
  ASSERT_TRUE(StartDaemon());
  auto greedy = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(4, 40);
  ASSERT_TRUE(engine.Store(tokens, {32}));
  const auto keys = BlockKeys(greedy.seed, tokens, 16);
  Result<v1::Response> answer = v1::Response();
  int granted = 0;
  while (granted < 5000 && (answer = greedy.Call(MatchRequest(greedy.space, keys, 40)))) {
    ++granted;
  }
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kOverloaded) << answer.error().message;
  EXPECT_EQ(granted, 1024);
  const auto hit = engine.Load(tokens);
  EXPECT_TRUE(hit.has_value()) << "others are not affected: " << Why(hit);
}

// Ten times the arena: what does not fit goes, what is served is right, memory keeps to its cap.
TEST_F(LimitsTest, TenTimesTheMemoryStaysWithinIt) {
  ASSERT_TRUE(StartDaemon({.flags = {"--index=16MiB"}, .variables = {}, .memory = "32MiB"}));
  NamespaceSpec spec = SmallModel();
  spec.checkpoint_bytes = 256 * kKiB;
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec);
  ASSERT_TRUE(engine.Open());
  const std::uint64_t prefixes = kSanitized ? 200 : 1200;
  std::uint64_t hits = 0;
  for (std::uint64_t p = 0; p < prefixes; ++p) {
    const auto stored = engine.Store(Tokens(p, 40), {32});
    ASSERT_TRUE(stored.has_value()) << Why(stored);
    const auto back = engine.Load(Tokens(p / 2, 40));
    ASSERT_TRUE(back.has_value()) << Why(back);
    EXPECT_EQ(back->wrong, 0U);
    hits += back->resume_at != 0 ? 1 : 0;
  }
  EXPECT_GT(hits, 0U);
  const v1::StatusReply status = daemon().Status();
  EXPECT_LE(status.tiers(0).used_bytes(), status.tiers(0).capacity_bytes());
  EXPECT_GT(status.counters().at("evictions_capacity"), 0U);
  if (!kSanitized) {
    EXPECT_GT(status.peak_rss_bytes(), 0U);
    EXPECT_LE(status.peak_rss_bytes(), 32 * kMiB + 64 * kMiB + status.index_bytes());
  }
}

}  // namespace
}  // namespace cairn::test
