// What survives a restart, and how a daemon goes.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "tests/integration/cairnctl_run.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/http_client.h"
#include "tests/integration/wire.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;

class RestartTest : public DaemonTest {
 protected:
  DaemonProcess::Options WithSsd(std::vector<std::string> more = {}) {
    DaemonProcess::Options options;
    options.flags = {"--ssd-path=" + (dir_ / "ssd"), "--ssd=256MiB", "--ssd-min-free=1MiB"};
    options.flags.insert(options.flags.end(), more.begin(), more.end());
    return options;
  }
  static NamespaceSpec Model(std::uint64_t state, const char* tenant = "default") {
    NamespaceSpec spec = SmallModel();
    spec.tenant = tenant;
    spec.checkpoint_bytes = state;
    return spec;
  }
};

TEST_F(RestartTest, StoredPrefixesComeBackFromSsd) {
  constexpr std::uint64_t kPrefixes = 20;
  ASSERT_TRUE(StartDaemon(WithSsd()));
  const std::vector<NamespaceSpec> specs = {Model(4096), Model(3 * kMiB), Model(100, "other")};
  for (const NamespaceSpec& spec : specs) {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec);
    ASSERT_TRUE(engine.Open());
    for (std::uint64_t p = 0; p < kPrefixes; ++p) {
      // Waiting bounds what queues for the SSD; the queue drops what does not fit.
      const bool durable = spec.checkpoint_bytes > kMiB;
      const auto stored = engine.Store(Tokens(p, 100), {64, 90}, durable);
      ASSERT_TRUE(stored.has_value()) << Why(stored);
      ASSERT_EQ(stored->refused, 0U);
    }
  }
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  EXPECT_EQ(daemon().Status().namespaces_size(), 3);
  EXPECT_EQ(daemon().Status().tiers(0).checkpoint_objects(), 0U) << "host memory starts empty";
  for (const NamespaceSpec& spec : specs) {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec);
    ASSERT_TRUE(engine.Open());
    for (std::uint64_t p = 0; p < kPrefixes; ++p) {
      const auto hit = engine.Load(Tokens(p, 100));
      ASSERT_TRUE(hit.has_value()) << Why(hit);
      EXPECT_EQ(hit->resume_at, 90U) << "prefix " << p;
      EXPECT_EQ(hit->tier, TierKind::kSsd);
      EXPECT_EQ(hit->wrong, 0U);
    }
    const auto again = engine.Load(Tokens(kPrefixes - 1, 100));
    ASSERT_TRUE(again.has_value()) << Why(again);
    EXPECT_EQ(again->tier, TierKind::kHost) << "it was promoted";
  }
  EXPECT_EQ(daemon().Counter("hit_tokens_ssd"), 3 * kPrefixes * 90);
  EXPECT_EQ(daemon().Counter("hit_tokens_host"), 3U * 90U);
  EXPECT_EQ(daemon().Counter("checksum_failures"), 0U);
  EXPECT_EQ(daemon().Counter("ssd_lost_epochs"), 0U);
}

// Without KV the blocks on the way to a checkpoint have no records.
TEST_F(RestartTest, PurelyRecurrentModelsComeBackToo) {
  ASSERT_TRUE(StartDaemon(WithSsd()));
  NamespaceSpec spec = Model(4096);
  spec.kv_bytes_per_token = 0;
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec);
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Load(Tokens(1, 100)));
    ASSERT_TRUE(engine.Store(Tokens(1, 100), {64, 90}, true));
  }
  daemon().Stop();
  ASSERT_TRUE(daemon().Start());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec);
  ASSERT_TRUE(engine.Open());
  const auto hit = engine.Load(Tokens(1, 100));
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->resume_at, 90U);
  EXPECT_EQ(hit->wrong, 0U);
}

// What no longer fits the host tier is found on SSD without a restart, too.
TEST_F(RestartTest, WhatHostMemoryEvictsIsServedFromSsd) {
  DaemonProcess::Options options = WithSsd();
  options.memory = "32MiB";
  ASSERT_TRUE(StartDaemon(options));
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, Model(kMiB));
  ASSERT_TRUE(engine.Open());
  constexpr std::uint64_t kPrefixes = 60;
  for (std::uint64_t p = 0; p < kPrefixes; ++p) {
    const auto stored = engine.Store(Tokens(p, 40), {32}, true);
    ASSERT_TRUE(stored.has_value()) << Why(stored);
    ASSERT_EQ(stored->refused, 0U);
  }
  std::uint64_t from_ssd = 0;
  for (std::uint64_t p = 0; p < kPrefixes; ++p) {
    const auto hit = engine.Load(Tokens(p, 40));
    ASSERT_TRUE(hit.has_value()) << Why(hit);
    EXPECT_EQ(hit->resume_at, 32U) << "prefix " << p;
    EXPECT_EQ(hit->wrong, 0U);
    from_ssd += hit->tier == TierKind::kSsd ? 1 : 0;
  }
  EXPECT_GT(from_ssd, kPrefixes / 4);
}

TEST_F(RestartTest, DurableStoresSurviveAKill) {
  ASSERT_TRUE(StartDaemon(WithSsd({"--ssd-flush-ms=600000"})));
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
    ASSERT_TRUE(engine.Open());
    const auto stored = engine.Store(Tokens(1, 100), {90}, true);
    ASSERT_TRUE(stored.has_value()) << Why(stored);
    EXPECT_EQ(stored->refused, 0U);
  }
  daemon().Kill();
  ASSERT_TRUE(daemon().Start());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto hit = engine.Load(Tokens(1, 100));
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->resume_at, 90U);
  EXPECT_EQ(hit->wrong, 0U);
}

// A client that stores durably what another client had stored before, in haste: the whole boundary
// must survive, not only the part that was new.
TEST_F(RestartTest, DurableStoreCoversThePrefixThatWasThere) {
  ASSERT_TRUE(StartDaemon(WithSsd({"--ssd-flush-ms=600000"})));
  {
    Engine hasty(daemon().UnixEndpoint(), PlaneChoice::kAuto);
    Engine careful(daemon().UnixEndpoint(), PlaneChoice::kAuto);
    ASSERT_TRUE(hasty.Open());
    ASSERT_TRUE(careful.Open());
    for (std::uint64_t p = 0; p < 20; ++p) {
      ASSERT_TRUE(hasty.Store(Tokens(p, 100), {64}));
      const auto stored = careful.Store(Tokens(p, 100), {90}, true);
      ASSERT_TRUE(stored.has_value()) << Why(stored);
      EXPECT_EQ(stored->refused, 0U);
    }
  }
  daemon().Kill();
  ASSERT_TRUE(daemon().Start());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  for (std::uint64_t p = 0; p < 20; ++p) {
    const auto hit = engine.Load(Tokens(p, 100));
    ASSERT_TRUE(hit.has_value()) << Why(hit);
    EXPECT_EQ(hit->resume_at, 90U) << "prefix " << p;
    EXPECT_EQ(hit->wrong, 0U);
  }
}

// The same when the SSD's queue was full, so that what was stored in haste was still waiting.
TEST_F(RestartTest, DurableStoreCoversThePrefixThatFoundTheQueueFull) {
  ASSERT_TRUE(StartDaemon(WithSsd({"--ssd-flush-ms=600000", "--ssd-queue=256KiB"})));
  NamespaceSpec spec = Model(512);
  spec.kv_bytes_per_token = 8192;  // 128 KiB a block: the queue takes two.
  std::vector<std::uint64_t> acknowledged;
  {
    Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec);
    ASSERT_TRUE(engine.Open());
    for (std::uint64_t p = 0; p < 20; ++p) {
      ASSERT_TRUE(engine.Store(Tokens(p, 200), {160}));
      const auto stored = engine.Store(Tokens(p, 200), {161}, true);
      if (stored && stored->refused == 0) {
        acknowledged.push_back(p);
      }
    }
  }
  daemon().Kill();
  ASSERT_TRUE(daemon().Start());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto, spec);
  ASSERT_TRUE(engine.Open());
  for (const std::uint64_t p : acknowledged) {
    const auto hit = engine.Load(Tokens(p, 200));
    ASSERT_TRUE(hit.has_value()) << Why(hit);
    EXPECT_EQ(hit->resume_at, 161U) << "prefix " << p;
    EXPECT_EQ(hit->wrong, 0U);
  }
}

TEST_F(RestartTest, DurableWithoutAnSsdIsRefusedButReadable) {
  ASSERT_TRUE(StartDaemon());
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto stored = engine.Store(Tokens(1, 40), {32}, true);
  ASSERT_TRUE(stored.has_value()) << Why(stored);
  EXPECT_EQ(stored->written, 0U) << "it must not look acknowledged";
  EXPECT_EQ(stored->refused, 3U);
  const auto hit = engine.Load(Tokens(1, 40));
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->resume_at, 32U);
}

// SIGTERM under load: calls finish or say "unavailable", nobody hangs, nothing stays held.
TEST_F(RestartTest, DrainUnderLoad) {
  ASSERT_TRUE(StartDaemon(WithSsd()));
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> calls = 0;
  std::atomic<std::uint64_t> wrong = 0;
  std::atomic<std::uint64_t> odd = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string endpoint = t % 2 == 0 ? daemon().UnixEndpoint() : daemon().TcpEndpoint();
      Engine engine(endpoint, PlaneChoice::kAuto, Model(256 * kKiB));
      if (!engine.Open()) {
        odd += 1;
        return;
      }
      const auto note = [&](const auto& result) {
        calls += 1;
        if (!result && result.error().code != ErrorCode::kUnavailable &&
            result.error().code != ErrorCode::kExpired) {
          odd += 1;
          ADD_FAILURE() << Why(result);
        }
        return result.has_value();
      };
      for (std::uint64_t i = 0; !stop; ++i) {
        const std::uint64_t id = t * 1000 + i % 100;
        note(engine.Store(Tokens(id, 40), {32}, i % 8 == 0));
        const auto read = engine.Load(Tokens(id, 40));
        if (note(read)) {
          wrong += read->wrong;
        }
      }
    });
  }
  std::this_thread::sleep_for(milliseconds(kSanitized ? 1500 : 500));
  EXPECT_GT(calls, 10U);
  daemon().Stop();
  std::this_thread::sleep_for(milliseconds(50));
  stop = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(odd, 0U);
  ASSERT_TRUE(daemon().Start()) << "the store was closed in order";
  EXPECT_EQ(daemon().Log().find("quarantined"), std::string::npos);
  EXPECT_EQ(daemon().Counter("ssd_lost_epochs"), 0U);
}

// While requests run out: not ready, not listening, existing clients are told.
TEST_F(RestartTest, DrainingIsVisible) {
  ASSERT_TRUE(StartDaemon(WithSsd({"--drain-ms=10000"})));
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(1, 40);
  ASSERT_TRUE(engine.Store(tokens, {32}));
  const auto prompt = engine.Prompt(tokens);
  const auto hit = engine.client().Match(prompt, Soon());
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(HttpGet(daemon().http_port(), "/readyz").status, 200);
  daemon().process().Signal(SIGTERM);  // The lease holds the drain up.
  int ready = 200;
  for (int i = 0; i < 200 && ready == 200; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    ready = HttpGet(daemon().http_port(), "/readyz").status;
  }
  EXPECT_EQ(ready, 503);
  EXPECT_EQ(HttpGet(daemon().http_port(), "/healthz").status, 200);
  const auto samples = ParseMetrics(HttpGet(daemon().http_port(), "/metrics").body);
  EXPECT_EQ(samples.count("cairn_draining"), 1U);
  EXPECT_EQ(samples.at("cairn_draining"), 1);
  Engine late(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  const Status refused = late.Open(In(milliseconds(5000)));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  const auto no_match = engine.client().Match(prompt, Soon());
  ASSERT_FALSE(no_match.has_value());
  EXPECT_EQ(no_match.error().code, ErrorCode::kUnavailable) << Why(no_match);
  const auto read = engine.LoadHit(prompt, *hit, Soon());
  ASSERT_TRUE(read.has_value()) << "what was leased may still be read: " << Why(read);
  EXPECT_EQ(read->wrong, 0U);
  EXPECT_TRUE(engine.client().Release(*hit, Soon()));
  const auto code = daemon().process().WaitExit(std::chrono::seconds(20));
  ASSERT_TRUE(code.has_value());
  EXPECT_EQ(*code, 0);
  EXPECT_NE(daemon().Log().find("stopped leases=0 reservations=0"), std::string::npos);
}

TEST_F(RestartTest, DrainThatIsHeldUpIsCutOffAndSaysSo) {
  ASSERT_TRUE(StartDaemon(WithSsd({"--drain-ms=300"})));
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(1, 40);
  ASSERT_TRUE(engine.Store(tokens, {32}));
  const auto prompt = engine.Prompt(tokens);
  ASSERT_TRUE(engine.client().Match(prompt, Soon()));
  daemon().process().Signal(SIGTERM);
  const auto code = daemon().process().WaitExit(std::chrono::seconds(20));
  ASSERT_TRUE(code.has_value()) << "one lease must not keep a daemon for ever";
  EXPECT_EQ(*code, 1);
  EXPECT_NE(daemon().Log().find("drain_cut_off leases=1 reservations=0"), std::string::npos);
  EXPECT_NE(daemon().Log().find("stopped leases=0 reservations=0"), std::string::npos)
      << daemon().Log();
}

TEST_F(RestartTest, CairnctlSaysThatADrainWasCutOff) {
  ASSERT_TRUE(StartDaemon(WithSsd({"--drain-ms=200"})));
  Engine engine(daemon().UnixEndpoint(), PlaneChoice::kAuto);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(1, 40);
  ASSERT_TRUE(engine.Store(tokens, {32}));
  ASSERT_TRUE(engine.client().Match(engine.Prompt(tokens), Soon()));
  const Ran ran = Cairnctl(dir_, daemon().UnixEndpoint())({"drain", "--wait", "--json"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.Json().at("cut_off"), true) << "a lease outlived it";
  EXPECT_EQ(daemon().process().WaitExit(std::chrono::seconds(20)), 1);
}

}  // namespace
}  // namespace cairn::test
