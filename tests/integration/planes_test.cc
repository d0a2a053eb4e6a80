// The whole cycle of an engine against a live daemon, over every way bytes can take.
#include <gtest/gtest.h>

#include <vector>

#include "tests/integration/tls_fixture.h"
#include "tests/integration/ucx_fixture.h"

namespace cairn::test {
namespace {

constexpr Way kStreamTls = {"stream_tls", PlaneChoice::kStream, true, true};
constexpr Way kUcxTls = {"ucx_tls", PlaneChoice::kUcx, true, true};

class PlanesTest : public TlsDaemonTest, public ::testing::WithParamInterface<Way> {
 protected:
  void SetUp() override {
    if (GetParam().plane == PlaneChoice::kUcx) {
      SkipWithoutUcx();
    }
  }
  bool StartDaemon(DaemonProcess::Options options = {}) {
    const auto add = [&options](const std::vector<std::string>& more) {
      options.flags.insert(options.flags.end(), more.begin(), more.end());
    };
    if (GetParam().plane == PlaneChoice::kUcx) {
      add(UcxFlags());
    }
    if (GetParam().tls) {
      add(TlsFlags());
      add({kTenants});
    }
    return DaemonTest::StartDaemon(std::move(options));
  }
  Engine NewEngine(const NamespaceSpec& spec = SmallModel()) {
    ClientOptions options;
    options.endpoint = EndpointOf(daemon(), GetParam());
    options.plane = GetParam().plane;
    options.tls = GetParam().tls ? Acme() : TlsClientOptions();
    return {options, spec};
  }
  [[nodiscard]] static std::string PlaneName() {
    return GetParam().plane == PlaneChoice::kShm   ? "shm"
           : GetParam().plane == PlaneChoice::kUcx ? "ucx"
                                                   : "stream";
  }
};

TEST_P(PlanesTest, StoredPrefixComesBackByteForByte) {
  ASSERT_TRUE(StartDaemon());
  const auto tokens = Tokens(1, 140);
  {
    Engine first = NewEngine();
    ASSERT_TRUE(first.Open());
    EXPECT_EQ(first.client().PlaneName(), PlaneName());
    const auto miss = first.Load(tokens);
    ASSERT_TRUE(miss.has_value()) << Why(miss);
    EXPECT_EQ(miss->resume_at, 0U);
    const auto stored = first.Store(tokens, {64, 100});
    ASSERT_TRUE(stored.has_value()) << Why(stored);
    EXPECT_EQ(stored->written, 6U + 1U + 2U) << "6 blocks, a tail of 4 tokens, 2 states";
    EXPECT_EQ(stored->bytes, 100U * 64U + 2U * 4096U);
    const auto again = first.Store(tokens, {64, 100});
    ASSERT_TRUE(again.has_value()) << Why(again);
    EXPECT_EQ(again->written, 0U) << "what is committed is never written twice";
    EXPECT_EQ(again->present, 9U);
  }
  Engine second = NewEngine();
  ASSERT_TRUE(second.Open());
  const auto hit = second.Load(tokens);
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->resume_at, 100U);
  EXPECT_EQ(hit->tier, TierKind::kHost);
  EXPECT_EQ(hit->objects, 8U);
  EXPECT_EQ(hit->bytes, 100U * 64U + 4096U);
  EXPECT_EQ(hit->wrong, 0U);
  // A prompt that parts at token 70 has the boundary at 64 only.
  auto parted = tokens;
  parted[70] ^= 1U;
  const auto shallow = second.Load(parted);
  ASSERT_TRUE(shallow.has_value()) << Why(shallow);
  EXPECT_EQ(shallow->resume_at, 64U);
  EXPECT_EQ(shallow->wrong, 0U);
}

TEST_P(PlanesTest, NeverResumesAtThePromptsEnd) {
  ASSERT_TRUE(StartDaemon());
  Engine engine = NewEngine();
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(2, 64);
  ASSERT_TRUE(engine.Store(tokens, {32, 64}));
  const auto hit = engine.Load(tokens);
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->resume_at, 32U) << "the last token must be computed";
}

TEST_P(PlanesTest, PlanLeasesAndObservationsAreCounted) {
  ASSERT_TRUE(StartDaemon());
  Engine engine = NewEngine();
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(3, 96);
  const auto prompt = engine.Prompt(tokens);
  const auto cold = engine.client().Match(prompt, Soon());
  ASSERT_TRUE(cold.has_value()) << Why(cold);
  ASSERT_EQ(cold->plan, std::vector<std::uint32_t>{96}) << "a state at the end of the prompt";
  ASSERT_TRUE(engine.Store(tokens, {48}));
  const auto hit = engine.client().Match(prompt, Soon());
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  EXPECT_EQ(hit->overlap_tokens, 96U);
  EXPECT_EQ(daemon().Status().leases(), 1U);
  const auto read = engine.LoadHit(prompt, *hit, Soon());
  ASSERT_TRUE(read.has_value()) << Why(read);
  const Observation seen{.prompt_tokens = 96,
                         .overlap_tokens = hit->overlap_tokens,
                         .resumed_at = 48,
                         .gap_tokens = 48,
                         .load_us = 10,
                         .recompute_us = 4800,
                         .tier = TierKind::kHost};
  ASSERT_TRUE(engine.client().Release(*hit, Soon()));
  EXPECT_TRUE(engine.client().Release(*hit, Soon())) << "nobody waits to hear that it was over";
  // Requests are served in order: once this is answered, the releases were.
  ASSERT_TRUE(engine.client().Observe(prompt, seen, Soon()));
  EXPECT_EQ(daemon().Status().leases(), 0U);
  EXPECT_EQ(daemon().Counter("matches"), 2U);
  EXPECT_EQ(daemon().Counter("match_hits"), 1U);
  EXPECT_EQ(daemon().Counter("hit_tokens_host"), 48U);
  EXPECT_EQ(daemon().Counter("gap_tokens"), 48U);
}

TEST_P(PlanesTest, KvThatTheEngineHasIsNotSentAgain) {
  ASSERT_TRUE(StartDaemon());
  Engine engine = NewEngine();
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(4, 96);
  ASSERT_TRUE(engine.Store(tokens, {80}));
  const auto prompt = engine.Prompt(tokens);
  const auto hit = engine.client().Match(prompt, Soon());
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  std::vector<std::uint32_t> positions;
  std::vector<std::vector<std::byte>> memory;
  const auto loaded = engine.client().Load(
      *hit, 48,
      [&](const ObjectView& object) {
        positions.push_back(object.position);
        memory.emplace_back(object.bytes);
        return std::span<std::byte>(memory.back());
      },
      Soon());
  EXPECT_TRUE(loaded.has_value()) << Why(loaded);
  EXPECT_EQ(positions, (std::vector<std::uint32_t>{64, 80, 80}));
  EXPECT_TRUE(engine.client().Release(*hit, Soon()));
}

TEST_P(PlanesTest, ObjectsOfAnySize) {
  ASSERT_TRUE(StartDaemon({.flags = {}, .variables = {}, .memory = "192MiB"}));
  // Around the sizes of cache lines, pages, pieces of the planes and the staging memory.
  std::vector<std::uint64_t> sizes = {1,         63,        64,       65,           4095,     4096,
                                      64 * kKiB, 65 * kKiB, 8 * kMiB, 8 * kMiB + 1, 32 * kMiB};
  for (const std::uint64_t size : sizes) {
    NamespaceSpec spec = SmallModel();
    spec.block_tokens = 1;
    spec.kv_bytes_per_token = 1;
    spec.checkpoint_bytes = size;
    Engine engine = NewEngine(spec);
    ASSERT_TRUE(engine.Open());
    const auto tokens = Tokens(size, 3);
    const auto stored = engine.Store(tokens, {2});
    ASSERT_TRUE(stored.has_value()) << Why(stored) << " size " << size;
    ASSERT_EQ(stored->written, 3U) << "two blocks of 1 byte and a state of " << size;
    const auto hit = engine.Load(tokens);
    ASSERT_TRUE(hit.has_value()) << Why(hit) << " size " << size;
    EXPECT_EQ(hit->resume_at, 2U);
    EXPECT_EQ(hit->bytes, size + 2);
    EXPECT_EQ(hit->wrong, 0U) << "size " << size;
  }
}

// Bytes that keep coming make nobody wait, so that only a look at the clock ends such a call.
TEST_P(PlanesTest, AnObjectThatTakesTooLongIsGivenUp) {
  constexpr std::uint64_t kState = 64 * kMiB;
  ASSERT_TRUE(StartDaemon({.flags = {}, .variables = {}, .memory = "192MiB"}));
  NamespaceSpec spec = SmallModel();
  spec.kv_bytes_per_token = 0;
  spec.checkpoint_bytes = kState;
  Engine engine = NewEngine(spec);
  ASSERT_TRUE(engine.Open());
  const auto tokens = Tokens(1, 40);
  ASSERT_TRUE(engine.Load(tokens)) << "a state without KV needs a match before, to have a path";
  const auto stored = engine.Store(tokens, {32}, false, In(std::chrono::seconds(60)));
  ASSERT_TRUE(stored && stored->written == 1) << Why(stored);
  std::vector<std::byte> memory(kState);
  const auto load = [&](std::chrono::milliseconds limit) {
    const auto prompt = engine.Prompt(tokens);
    const auto hit = engine.client().Match(prompt, Soon());
    EXPECT_TRUE(hit && hit->resume_at == 32U) << Why(hit);
    const auto target = [&](const ObjectView&) { return std::span(memory); };
    auto loaded = engine.client().Load(*hit, 0, target, In(limit));
    static_cast<void>(engine.client().Release(*hit, Soon()));
    return loaded;
  };
  const auto late = load(std::chrono::milliseconds(2));  // All of it would be 34 GB/s.
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded) << Why(late);
  const auto whole = load(std::chrono::seconds(60));
  ASSERT_TRUE(whole.has_value()) << Why(whole);
  EXPECT_EQ(whole->bytes, kState);
}

TEST_P(PlanesTest, AttentionOnlyAndRecurrentOnlyModels) {
  ASSERT_TRUE(StartDaemon());
  NamespaceSpec attention = SmallModel();
  attention.model = "attention";
  attention.checkpoint_bytes = 0;
  NamespaceSpec recurrent = SmallModel();
  recurrent.model = "recurrent";
  recurrent.kv_bytes_per_token = 0;
  const auto tokens = Tokens(5, 90);
  for (const NamespaceSpec& spec : {attention, recurrent}) {
    Engine engine = NewEngine(spec);
    ASSERT_TRUE(engine.Open());
    ASSERT_TRUE(engine.Load(tokens)) << "a state without KV needs a match before, to have a path";
    ASSERT_TRUE(engine.Store(tokens, {80}));
    const auto hit = engine.Load(tokens);
    ASSERT_TRUE(hit.has_value()) << Why(hit);
    EXPECT_EQ(hit->resume_at, 80U) << spec.model;
    EXPECT_EQ(hit->objects, spec.checkpoint_bytes == 0 ? 5U : 1U);
    EXPECT_EQ(hit->wrong, 0U);
  }
}

TEST_P(PlanesTest, AnyDifferenceOfTheNamespaceIsAMiss) {
  ASSERT_TRUE(StartDaemon());
  const auto tokens = Tokens(6, 40);
  Engine engine = NewEngine();
  ASSERT_TRUE(engine.Open());
  ASSERT_TRUE(engine.Store(tokens, {32}));
  std::vector<NamespaceSpec> others(7, SmallModel());
  others[0].tenant = "another";
  others[1].salt = "s";
  others[2].revision = "2";
  others[3].dtype = "kv=f8";
  others[4].kernel = "k";
  others[5].adapter = "lora";
  others[6].tp_size = 2;
  for (const NamespaceSpec& spec : others) {
    Engine other = NewEngine(spec);
    const Status opened = other.Open();
    if (GetParam().tls && spec.tenant == "another") {
      EXPECT_FALSE(opened.has_value()) << "the certificate is of one tenant";
      continue;
    }
    ASSERT_TRUE(opened.has_value()) << Why(opened);
    const auto miss = other.Load(tokens);
    ASSERT_TRUE(miss.has_value()) << Why(miss);
    EXPECT_EQ(miss->resume_at, 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, PlanesTest,
                         ::testing::Values(kShm, kUcx, kStreamUnix, kStreamTcp, kStreamTls,
                                           kUcxTls),
                         [](const auto& way) { return way.param.name; });

}  // namespace
}  // namespace cairn::test
