#include "libcache/sim/tiers.h"

#include <gtest/gtest.h>

#include "libcache/sim/simulator.h"

namespace cairn::sim {
namespace {

const std::vector<TierOptions> kTwo = {{.name = "host", .capacity_bytes = 100, .bytes_per_s = 50},
                                       {.name = "ssd", .capacity_bytes = 300, .bytes_per_s = 10}};

constexpr Tiers::Object kA = 0;
constexpr Tiers::Object kB = 1;
constexpr Tiers::Object kC = 2;

TEST(TiersTest, WhatHasNoRoomAboveMovesDownAndIsBroughtUpByUse) {
  Tiers tiers(kTwo);
  tiers.Use(kA, 60);
  tiers.Use(kB, 40);
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kA), 60 / 50.0);
  tiers.Use(kC, 20);
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kA), 60 / 10.0) << "the least recently used";
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kB), 40 / 50.0);
  tiers.Use(kA, 60);
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kA), 60 / 50.0);
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kB), 40 / 10.0);
  EXPECT_EQ(tiers.reports()[0].written_bytes, 60U + 40 + 20 + 60);
  EXPECT_EQ(tiers.reports()[1].written_bytes, 60U + 40);
  EXPECT_EQ(tiers.reports()[0].peak_bytes, 100U);
}

TEST(TiersTest, WhatIsTooLargeForTheFirstTierPassesThroughIt) {
  Tiers tiers(kTwo);
  tiers.Use(kA, 60);
  tiers.Use(kB, 150);
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kB), 150 / 10.0);
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kA), 60 / 10.0) << "it was in the way";
}

TEST(TiersTest, RemovedObjectsAreNowhere) {
  Tiers tiers(kTwo);
  tiers.Use(kA, 60);
  tiers.Remove(kA);
  tiers.Remove(kA);
  tiers.Remove(777);
  EXPECT_EQ(tiers.LoadSeconds(kA), 0);
  tiers.Use(kB, 100);
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kB), 100 / 50.0) << "its room is free again";
}

TEST(TiersTest, BothPartsOfACutStayWhereTheyWere) {
  Tiers tiers(kTwo);
  tiers.Use(kA, 80);
  tiers.Use(kB, 30);
  tiers.Cut(kC, kA, 50);
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kA), 30 / 10.0);
  EXPECT_DOUBLE_EQ(tiers.LoadSeconds(kC), 50 / 10.0);
  tiers.Cut(9, 8, 5);
  EXPECT_EQ(tiers.LoadSeconds(9), 0) << "nothing of it is resident";
}

TEST(TiersTest, AHitCountsWhereItsStateWasAndBytesWhereTheyWere) {
  Tiers tiers(kTwo);
  tiers.Use(kB, 80);
  tiers.Use(kA, 50);
  tiers.CountLoad(std::vector<Tiers::Object>{kA, kB});
  tiers.CountLoad({});
  EXPECT_EQ(tiers.reports()[0].hits, 0U);
  EXPECT_EQ(tiers.reports()[1].hits, 1U);
  EXPECT_EQ(tiers.reports()[0].loaded_bytes, 50U);
  EXPECT_EQ(tiers.reports()[1].loaded_bytes, 80U);
  EXPECT_DOUBLE_EQ(tiers.reports()[0].load_s, 1);
  EXPECT_DOUBLE_EQ(tiers.reports()[1].load_s, 8);
}

TraceRequest Prompt(std::vector<TraceSegment> path) {
  TraceRequest request;
  request.exact = true;
  request.path = std::move(path);
  for (const TraceSegment& segment : request.path) {
    request.input_tokens += segment.tokens;
  }
  return request;
}

/// Blocks of 4, states of 100 bytes, 10 bytes of KV and a second of prefill a token.
Options WithTiers(std::uint64_t host_bytes, std::uint64_t ssd_bytes, double ssd_speed) {
  Options options;
  options.strategy = "turn_end";
  options.eviction = "lru";
  options.block_tokens = 4;
  options.checkpoint_bytes = 100;
  options.kv_bytes_per_token = 10;
  options.capacity_bytes = host_bytes + ssd_bytes;
  options.tiers = {{.name = "host", .capacity_bytes = host_bytes, .bytes_per_s = 1e9},
                   {.name = "ssd", .capacity_bytes = ssd_bytes, .bytes_per_s = ssd_speed}};
  return options;
}

Report Replay(const Options& options, const std::vector<TraceRequest>& trace) {
  auto simulator = std::move(Simulator::Create(options)).value();
  for (const TraceRequest& request : trace) {
    simulator->Add(request);
  }
  return simulator->Finish();
}

// A prompt of 8 tokens takes 180 bytes. The second one moves the first down.
TEST(TiersTest, ALowerTierServesWhereLoadingBeatsPrefill) {
  const std::vector<TraceRequest> trace = {Prompt({{1, 8}, {7, 1}}), Prompt({{2, 8}, {8, 1}}),
                                           Prompt({{1, 8}, {9, 1}})};
  const Report fast = Replay(WithTiers(180, 1000, 180), trace);  // 1 s for 8 s of prefill.
  EXPECT_EQ(fast.served_tokens, 8U);
  EXPECT_EQ(fast.tiers[1].hits, 1U);
  EXPECT_EQ(fast.tiers[1].loaded_bytes, 180U);
  EXPECT_DOUBLE_EQ(fast.tiers[1].load_s, 1);
  const Report slow = Replay(WithTiers(180, 1000, 18), trace);  // 10 s.
  EXPECT_EQ(slow.served_tokens, 0U);
  EXPECT_EQ(slow.tiers[1].hits, 0U);
  const Report roomy = Replay(WithTiers(400, 1000, 18), trace);
  EXPECT_EQ(roomy.tiers[0].hits, 1U);
}

// The end of a long prompt is in the lower tier, a branch of it in the first: the branch it is.
TEST(TiersTest, ANearerBoundaryMayBeatADeeperOne) {
  Options options = WithTiers(300, 10'000, 15);
  options.strategy = "turn_end_demand";
  const std::vector<TraceRequest> trace = {Prompt({{1, 8}, {2, 8}, {7, 1}}),
                                           Prompt({{1, 8}, {3, 4}, {7, 1}}),
                                           Prompt({{1, 8}, {2, 8}, {9, 1}})};
  const Report near = Replay(options, trace);
  EXPECT_EQ(near.served_tokens, 8U) << "8 s more of prefill, against 180 bytes at 15 a second";
  options.tiers[1].bytes_per_s = 100;
  EXPECT_EQ(Replay(options, trace).served_tokens, 16U);
}

TEST(TiersTest, OddTiersAreRefused) {
  Options options = WithTiers(100, 200, 10);
  options.capacity_bytes = 299;
  EXPECT_EQ(Simulator::Create(options).error().code, ErrorCode::kInvalidArgument);
  options.capacity_bytes = 301;
  EXPECT_EQ(Simulator::Create(options).error().code, ErrorCode::kInvalidArgument);
  options = WithTiers(100, 200, 0);
  EXPECT_EQ(Simulator::Create(options).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace cairn::sim
