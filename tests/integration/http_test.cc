// Health, readiness and metrics: the names operators build on, and numbers that add up.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "libcache/transport/data_plane.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/wire.h"

namespace cairn::test {
namespace {

class HttpTest : public DaemonTest {
 protected:
  double Metric(const std::string& name) {
    const auto samples = ParseMetrics(HttpGet(daemon().http_port(), "/metrics").body);
    const auto it = samples.find(name);
    EXPECT_NE(it, samples.end()) << "no " << name;
    return it == samples.end() ? -1 : it->second;
  }
};

TEST_F(HttpTest, PagesAndTheirAbsence) {
  ASSERT_TRUE(StartDaemon());
  const std::uint16_t port = daemon().http_port();
  EXPECT_EQ(HttpGet(port, "/healthz").status, 200);
  EXPECT_EQ(HttpGet(port, "/healthz").body, "ok\n");
  EXPECT_EQ(HttpGet(port, "/readyz").status, 200);
  const HttpReply metrics = HttpGet(port, "/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_NE(metrics.head.find("text/plain; version=0.0.4"), std::string::npos) << metrics.head;
  const HttpReply absent = HttpGet(port, "/no/such");
  EXPECT_EQ(absent.status, 404);
  EXPECT_NE(absent.body.find("/metrics"), std::string::npos) << "says what there is";
  EXPECT_EQ(HttpExchange(port,
                         "POST /metrics HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n"
                         "Connection: close\r\n\r\n")
                .status,
            405);
}

TEST_F(HttpTest, EveryPromisedMetricIsThereAndNamedCairn) {
  ASSERT_TRUE(StartDaemon());
  const std::string text = HttpGet(daemon().http_port(), "/metrics").body;
  const auto samples = ParseMetrics(text);
  for (const char* const name :
       {"cairn_hit_tokens_total{tier=\"host\"}", "cairn_hit_tokens_total{tier=\"ssd\"}",
        "cairn_gap_tokens_total", "cairn_restorable_boundaries_total", "cairn_matches_total",
        "cairn_tier_bytes{tier=\"host\",kind=\"kv\"}",
        "cairn_tier_bytes{tier=\"host\",kind=\"checkpoint\"}",
        "cairn_tier_bytes{tier=\"ssd\",kind=\"kv\"}",
        "cairn_tier_bytes{tier=\"ssd\",kind=\"checkpoint\"}", "cairn_leases{kind=\"read\"}",
        "cairn_leases{kind=\"write\"}", "cairn_leases{kind=\"pin\"}",
        "cairn_evictions_total{reason=\"capacity\"}", "cairn_checksum_failures_total",
        "cairn_ssd_checksum_failures_total", "cairn_lost_tokens_total", "cairn_sessions",
        "cairn_resident_bytes", "cairn_tier_capacity_bytes{tier=\"host\"}"}) {
    EXPECT_EQ(samples.count(name), 1U) << name;
  }
  for (const auto& [name, value] : samples) {
    EXPECT_EQ(name.rfind("cairn_", 0), 0U) << name;
    EXPECT_GE(value, 0) << name;
  }
  EXPECT_NE(text.find("# HELP cairn_lost_tokens_total"), std::string::npos);
  EXPECT_NE(text.find("# TYPE cairn_leases gauge"), std::string::npos);
}

TEST_F(HttpTest, NumbersAgreeWithWhatWasDone) {
  ASSERT_TRUE(StartDaemon());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(1, 100);
  ASSERT_TRUE(engine.Load(tokens));
  ASSERT_TRUE(engine.Store(tokens, {32, 64}));
  EXPECT_EQ(Metric("cairn_matches_total"), 1);
  EXPECT_EQ(Metric("cairn_match_hits_total"), 0);
  EXPECT_EQ(Metric("cairn_commits_total"), 6);
  EXPECT_EQ(Metric("cairn_tier_bytes{tier=\"host\",kind=\"kv\"}"), 64 * 64);
  EXPECT_EQ(Metric("cairn_tier_bytes{tier=\"host\",kind=\"checkpoint\"}"), 2 * 4096);
  EXPECT_EQ(Metric("cairn_tier_objects{tier=\"host\",kind=\"kv\"}"), 4);

  const auto prompt = engine.Prompt(tokens);
  const auto hit = engine.client().Match(prompt, Soon());
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(Metric("cairn_leases{kind=\"read\"}"), 1);
  EXPECT_EQ(Metric("cairn_restorable_boundaries_total"), 2);
  ASSERT_TRUE(engine.LoadHit(prompt, *hit, Soon()));
  EXPECT_EQ(Metric("cairn_hit_tokens_total{tier=\"host\"}"), 0) << "counted with the release";
  ASSERT_TRUE(engine.client().Release(*hit, Soon()));
  ASSERT_TRUE(engine.client().Observe(prompt, {.prompt_tokens = 100, .gap_tokens = 32}, Soon()));
  EXPECT_EQ(Metric("cairn_hit_tokens_total{tier=\"host\"}"), 64);
  EXPECT_EQ(Metric("cairn_gap_tokens_total"), 32);
  EXPECT_EQ(Metric("cairn_leases{kind=\"read\"}"), 0);

  // KV beyond the last checkpoint: resident, and of no use to a request.
  EXPECT_EQ(Metric("cairn_lost_tokens_total"), 0);
  std::vector<std::vector<std::byte>> payloads;
  auto items = engine.Items(prompt, std::vector<std::uint32_t>{96}, payloads);
  items.pop_back();  // All but the checkpoint.
  ASSERT_TRUE(engine.client().Store(prompt, items, false, Soon()));
  ASSERT_TRUE(engine.Load(tokens));
  EXPECT_EQ(Metric("cairn_lost_tokens_total"), 96 - 64) << "prefill for want of a checkpoint";

  v1::AdminRequest clear;
  clear.mutable_clear();
  ASSERT_TRUE(daemon().Admin(clear));
  EXPECT_EQ(Metric("cairn_evictions_total{reason=\"operator\"}"), 6 + 2);
  EXPECT_EQ(Metric("cairn_tier_bytes{tier=\"host\",kind=\"kv\"}"), 0);
  EXPECT_EQ(Metric("cairn_checksum_failures_total"), 0);
}

TEST_F(HttpTest, WrongDigestIsCountedAndNeverVisible) {
  ASSERT_TRUE(StartDaemon());
  const auto tokens = Tokens(1, 20);
  auto liar = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  const auto keys = BlockKeys(liar.seed, tokens, 16);
  const std::uint64_t token = liar.ReserveFirstCheckpoint(keys[0], 16, 4096);
  auto plane = OpenStreamPlane(liar.channel, Soon());
  ASSERT_TRUE(plane.has_value()) << Why(plane);
  ASSERT_TRUE((*plane)->Put(token, std::vector<std::byte>(4096), Soon()));
  v1::Request commit;
  commit.mutable_commit()->add_items()->set_token(token);
  commit.mutable_commit()->mutable_items(0)->set_digest_low(12345);
  const auto reply = liar.Call(commit);
  ASSERT_TRUE(reply.has_value()) << Why(reply);
  EXPECT_EQ(reply->commit().codes(0), static_cast<std::uint32_t>(ErrorCode::kCorrupt));
  EXPECT_EQ(Metric("cairn_checksum_failures_total"), 1);
  EXPECT_EQ(Metric("cairn_leases{kind=\"write\"}"), 0);
  EXPECT_EQ(Metric("cairn_tier_bytes{tier=\"host\",kind=\"checkpoint\"}"), 0);
}

TEST_F(HttpTest, ReportedCorruptionIsCountedAndDropsTheObject) {
  ASSERT_TRUE(StartDaemon());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(1, 20);
  ASSERT_TRUE(engine.Store(tokens, {16}));
  auto reader = OpenedChannel::To(daemon().UnixEndpoint(), SmallModel());
  const auto keys = BlockKeys(reader.seed, tokens, 16);
  const auto match = reader.Call(MatchRequest(reader.space, keys, 20));
  ASSERT_TRUE(match.has_value()) << Why(match);
  v1::Request fetch;
  fetch.mutable_fetch()->set_lease_id(match->match().lease_id());
  fetch.mutable_fetch()->set_position(16);
  ASSERT_TRUE(reader.Call(fetch));
  v1::Request report;
  report.mutable_report_corrupt()->set_lease_id(match->match().lease_id());
  report.mutable_report_corrupt()->set_index(1);
  ASSERT_TRUE(reader.Call(report));
  v1::Request release;
  release.mutable_release()->set_lease_id(match->match().lease_id());
  ASSERT_TRUE(reader.Call(release));
  EXPECT_EQ(Metric("cairn_checksum_failures_total"), 1);
  EXPECT_EQ(Metric("cairn_evictions_total{reason=\"corrupt\"}"), 1);
  const auto miss = engine.Load(tokens);
  ASSERT_TRUE(miss.has_value()) << Why(miss);
  EXPECT_EQ(miss->resume_at, 0U);
  const auto stored = engine.Store(tokens, {16});
  ASSERT_TRUE(stored.has_value()) << Why(stored);
  EXPECT_EQ(stored->written, 1U) << "it may be written anew";
}

TEST_F(HttpTest, SsdIsCountedByTierAndKind) {
  DaemonProcess::Options options;
  options.flags = {"--ssd-path=" + (dir_ / "ssd"), "--ssd=64MiB", "--ssd-min-free=1MiB"};
  ASSERT_TRUE(StartDaemon(options));
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Store(Tokens(1, 100), {64}, true));
    EXPECT_EQ(Metric("cairn_tier_bytes{tier=\"ssd\",kind=\"kv\"}"), 64 * 64);
    EXPECT_EQ(Metric("cairn_tier_bytes{tier=\"ssd\",kind=\"checkpoint\"}"), 4096);
    EXPECT_EQ(Metric("cairn_durable_commits_total"), 5);
    EXPECT_EQ(Metric("cairn_ssd_healthy"), 1);
    EXPECT_GE(Metric("cairn_ssd_written_bytes_total"), 64 * 64 + 4096);
  }
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(Metric("cairn_tier_bytes{tier=\"ssd\",kind=\"checkpoint\"}"), 4096) << "recovered";
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  ASSERT_TRUE(engine.Load(Tokens(1, 100)));
  EXPECT_EQ(Metric("cairn_hit_tokens_total{tier=\"ssd\"}"), 64);
  EXPECT_EQ(Metric("cairn_promotions_total"), 5);
}

}  // namespace
}  // namespace cairn::test
