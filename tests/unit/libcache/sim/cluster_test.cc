#include "libcache/sim/cluster.h"

#include <gtest/gtest.h>

namespace cairn::sim {
namespace {

constexpr std::uint32_t kBlock = 4;

TraceRequest Prompt(double arrival_s, std::vector<TraceSegment> path) {
  TraceRequest request;
  request.arrival_s = arrival_s;
  request.exact = true;
  request.path = std::move(path);
  for (const TraceSegment& segment : request.path) {
    request.input_tokens += segment.tokens;
  }
  return request;
}

Options Sized(std::uint64_t capacity_bytes, const std::string& strategy = "turn_end_demand") {
  Options options;
  options.strategy = strategy;
  options.eviction = strategy == "trie" ? "value" : "lru";
  options.block_tokens = kBlock;
  options.checkpoint_bytes = 100;
  options.kv_bytes_per_token = 10;
  options.capacity_bytes = capacity_bytes;
  return options;
}

ClusterOptions Of(std::uint32_t daemons) {
  return {.daemons = daemons, .rule = {.home_tokens = 8, .spread_tokens = {24}, .worth = 0.5}};
}

ClusterReport Replay(const Options& options, const ClusterOptions& cluster,
                     const std::vector<TraceRequest>& trace) {
  auto simulator = std::move(ClusterSimulator::Create(options, cluster)).value();
  for (const TraceRequest& request : trace) {
    simulator->Add(request);
  }
  return simulator->Finish();
}

/// Conversations that share a prompt of 20 tokens and grow by 12 each turn.
std::vector<TraceRequest> Conversations(int count, int turns) {
  std::vector<TraceRequest> trace;
  double now_s = 0;
  for (int turn = 1; turn <= turns; ++turn) {
    for (int i = 0; i < count; ++i) {
      std::vector<TraceSegment> path = {{1, 20}};
      for (int t = 0; t < turn; ++t) {
        path.push_back({static_cast<std::uint64_t>(1000 * (i + 1) + t), 12});
      }
      trace.push_back(Prompt(now_s += 1, std::move(path)));
    }
  }
  return trace;
}

TEST(ClusterSimulatorTest, OfOneDaemonIsTheSimulator) {
  const auto trace = Conversations(10, 5);
  for (const auto* strategy : {"turn_end_demand", "trie"}) {
    auto alone = std::move(Simulator::Create(Sized(20'000, strategy))).value();
    for (const TraceRequest& request : trace) {
      alone->Add(request);
    }
    const Report one = alone->Finish();
    const ClusterReport cluster = Replay(Sized(20'000, strategy), Of(1), trace);
    EXPECT_EQ(cluster.sum.served_tokens, one.served_tokens) << strategy;
    EXPECT_EQ(cluster.sum.bytes_written, one.bytes_written) << strategy;
    EXPECT_GT(one.served_tokens, 0U);
  }
}

TEST(ClusterSimulatorTest, ConversationsSpreadAndStayWhereTheyAre) {
  const auto trace = Conversations(60, 6);
  // Room for all of it, but not for all of it on one of three.
  const ClusterReport one = Replay(Sized(150'000), Of(1), trace);
  const ClusterReport three = Replay(Sized(150'000), Of(3), trace);
  EXPECT_EQ(three.sum.requests, trace.size());
  // The shared prompt is computed once on each, and what moves to a lighter daemon once more.
  EXPECT_GT(static_cast<double>(three.sum.served_tokens),
            0.9 * static_cast<double>(one.sum.served_tokens));
  for (const std::uint64_t bytes : three.used_bytes) {
    EXPECT_GT(bytes, 0U);
  }
}

TEST(ClusterSimulatorTest, AnEngineAsksAloneWhereItStoredBefore) {
  const auto trace = Conversations(60, 6);
  ClusterOptions both = Of(3);
  both.affinity = false;
  const ClusterReport all = Replay(Sized(1'500'000), both, trace);
  EXPECT_EQ(all.asked.both, trace.size());
  const ClusterReport one = Replay(Sized(1'500'000), Of(3), trace);
  EXPECT_EQ(one.asked.one + one.asked.both + one.asked.in_turn, trace.size());
  EXPECT_GT(one.asked.one, trace.size() * 3 / 4);
  EXPECT_GT(static_cast<double>(one.sum.served_tokens),
            0.99 * static_cast<double>(all.sum.served_tokens));
}

// Turns that come from one engine and another: what one stored the other finds, wherever it is.
TEST(ClusterSimulatorTest, EnginesFindWhatOthersStoredLater) {
  const auto trace = Conversations(60, 6);
  ClusterOptions shared = Of(3);
  shared.rule.unserved_tokens = 8;
  const ClusterReport one = Replay(Sized(1'500'000), shared, trace);
  shared.engines = 7;
  const ClusterReport seven = Replay(Sized(1'500'000), shared, trace);
  EXPECT_LT(seven.asked.one, one.asked.one);
  EXPECT_GT(static_cast<double>(seven.sum.served_tokens),
            0.99 * static_cast<double>(one.sum.served_tokens));
}

TEST(ClusterSimulatorTest, CapacityIsDivided) {
  const ClusterReport report = Replay(Sized(30'000), Of(3), Conversations(60, 6));
  for (const std::uint64_t bytes : report.used_bytes) {
    EXPECT_LE(bytes, 10'000U);
  }
}

TEST(ClusterSimulatorTest, OddOptionsAreRefused) {
  EXPECT_EQ(ClusterSimulator::Create(Sized(1), Of(0)).error().code, ErrorCode::kInvalidArgument);
  ClusterOptions nobody = Of(3);
  nobody.engines = 0;
  EXPECT_EQ(ClusterSimulator::Create(Sized(1), nobody).error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(ClusterSimulator::Create(Sized(1, "nonsense"), Of(3)).has_value());
  Options tiers = Sized(10);
  tiers.tiers = {{.name = "host", .capacity_bytes = 10, .bytes_per_s = 1}};
  EXPECT_EQ(ClusterSimulator::Create(tiers, Of(3)).error().code, ErrorCode::kInvalidArgument);
}

TEST(SimulatorTest, LookingChangesNothing) {
  auto simulator = std::move(Simulator::Create(Sized(100'000))).value();
  const TraceRequest first = Prompt(0, {{1, 20}});
  const TraceRequest longer = Prompt(1, {{1, 20}, {2, 13}});
  simulator->Add(first);
  const auto words = ChainWords(longer, kBlock);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(simulator->ResumeTokens(words, longer.input_tokens), 20U);
    EXPECT_EQ(simulator->ResumeTokens(ChainWords(first, kBlock), 20), 0U) << "never at its end";
  }
  EXPECT_EQ(simulator->SeenTokens(words), 20U);
  EXPECT_EQ(simulator->SeenTokens(std::span(words).first(3)), 12U) << "within what was seen";
  EXPECT_EQ(simulator->SeenTokens({}), 0U);
  simulator->Add(longer);
  EXPECT_EQ(simulator->Finish().served_tokens, 20U);
}

}  // namespace
}  // namespace cairn::sim
