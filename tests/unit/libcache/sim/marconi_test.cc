// The rules of Marconi, on traces small enough to follow by hand: blocks of 4 tokens, 10 bytes of
// KV a token, 100 bytes a state.
#include <gtest/gtest.h>

#include <limits>

#include "libcache/sim/prefix_tree.h"
#include "libcache/sim/simulator.h"
#include "libcache/trace/generator.h"

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

Options Marconi(double alpha, std::uint64_t capacity_bytes) {
  Options options;
  options.strategy = "marconi";
  options.eviction = "marconi";
  options.block_tokens = kBlock;
  options.checkpoint_bytes = 100;
  options.kv_bytes_per_token = 10;
  options.capacity_bytes = capacity_bytes;
  options.marconi_alpha = alpha;
  return options;
}

Report Replay(const Options& options, const std::vector<TraceRequest>& trace) {
  auto simulator = std::move(Simulator::Create(options)).value();
  for (const TraceRequest& request : trace) {
    simulator->Add(request);
  }
  return simulator->Finish();
}

constexpr std::uint64_t kAmple = std::numeric_limits<std::uint64_t>::max();

// The second prompt finds the place where it branches off, the third one resumes there.
TEST(MarconiTest, ABranchServesFromItsThirdVisitOn) {
  const std::vector<TraceRequest> trace = {Prompt(0, {{1, 8}, {2, 9}}), Prompt(1, {{1, 8}, {3, 9}}),
                                           Prompt(2, {{1, 8}, {4, 9}})};
  const Report report = Replay(Marconi(0, kAmple), trace);
  EXPECT_EQ(report.overlap_tokens, 16U);
  EXPECT_EQ(report.served_tokens, 8U);
  EXPECT_EQ(report.checkpoints_written, 4U) << "three ends and one branch";
}

// What was evicted counts as never seen: no state at a place that only the past knows.
TEST(MarconiTest, BranchesAreThoseOfWhatIsResident) {
  std::vector<TraceRequest> trace = {Prompt(0, {{1, 8}, {2, 9}}), Prompt(1, {{7, 16}}),
                                     Prompt(2, {{1, 8}, {3, 9}})};
  const Options tight = Marconi(0, 300);  // One prompt: 160 bytes of KV and a state.
  const Report report = Replay(tight, trace);
  EXPECT_EQ(report.checkpoints_written, 3U) << "ends only";
  Options demand = tight;
  demand.strategy = "turn_end_demand";
  EXPECT_EQ(Replay(demand, trace).checkpoints_written, 4U);
}

// Two turns of a session and a new prompt; there is room for all KV and two states. The first
// turn's state goes, which its session has moved past, and no KV with it.
TEST(MarconiTest, AStateWithOneChildGoesAloneAndItsKvStays) {
  const std::vector<TraceRequest> trace = {Prompt(0, {{1, 9}}), Prompt(1, {{1, 9}, {2, 8}}),
                                           Prompt(2, {{5, 9}}),
                                           Prompt(3, {{1, 9}, {2, 8}, {3, 8}})};
  const Report report = Replay(Marconi(0, 16 * 10 + 8 * 10 + 8 * 10 + 250), trace);
  EXPECT_EQ(report.served_tokens, 8U + 16U) << "the second turn, then the third from its end";
  EXPECT_LE(report.peak_bytes, 570U);
}

// Three prompts of which two fit. By recency the oldest goes; by flops per byte the shortest, since
// a state is as large for a short prompt as for a long one.
TEST(MarconiTest, AlphaSetsFlopsPerByteAgainstRecency) {
  const TraceRequest longer = Prompt(0, {{1, 40}, {9, 1}});
  const TraceRequest shorter = Prompt(1, {{2, 8}, {9, 1}});
  const TraceRequest third = Prompt(2, {{3, 20}, {9, 1}});
  const TraceRequest again = Prompt(3, {{1, 40}, {9, 1}});
  const std::uint64_t room = 400 + 200 + 300;  // All KV and two states less 20 bytes.
  const Report recency = Replay(Marconi(0, room), {longer, shorter, third, again});
  const Report flops = Replay(Marconi(2, room), {longer, shorter, third, again});
  EXPECT_EQ(recency.served_tokens, 0U);
  EXPECT_EQ(flops.served_tokens, 40U);
  EXPECT_EQ(flops.marconi_alpha, 2);
}

TEST(MarconiTest, PromptsLargerThanTheCacheLeaveNothing) {
  const Report report =
      Replay(Marconi(0, 120), {Prompt(0, {{1, 40}}), Prompt(1, {{1, 40}}), Prompt(2, {{2, 2}})});
  EXPECT_EQ(report.served_tokens, 0U);
  EXPECT_LE(report.peak_bytes, 120U);
}

TEST(MarconiTest, ABadAlphaIsRefused) {
  for (const double alpha :
       {-0.1, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    const auto refused = Simulator::Create(Marconi(alpha, 1));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  }
}

Report OfScenario(const Options& options) {
  const auto reader = *TraceGenerator::Create(*GeneratorScenario("mixed", 3, 400));
  auto simulator = std::move(Simulator::Create(options)).value();
  while (const auto request = *reader->Next()) {
    simulator->Add(*request);
  }
  return simulator->Finish();
}

// Tuned is at least recency alone over the requests that it was tuned on; over all of them it may
// be less. It is found once, so the same trace has the same alpha.
TEST(MarconiTest, AlphaIsTunedOnce) {
  Options options = Marconi(0, 20'000'000'000);
  options.block_tokens = 64;
  options.checkpoint_bytes = 153'944'064;
  options.kv_bytes_per_token = 65'536;
  options.marconi_alpha.reset();
  const Report tuned = OfScenario(options);
  EXPECT_GE(tuned.marconi_alpha, 0);
  EXPECT_LE(tuned.marconi_alpha, 2);
  EXPECT_EQ(tuned.marconi_alpha, OfScenario(options).marconi_alpha);
  EXPECT_EQ(tuned.served_tokens, OfScenario(options).served_tokens);
  EXPECT_GT(tuned.served_tokens, 0U);
  // Without an eviction there is nothing to tune.
  options.capacity_bytes = kAmple;
  EXPECT_EQ(OfScenario(options).marconi_alpha, 0);
}

TEST(PrefixTreeTest, WordsOfANodeAreThoseOfItsPrompt) {
  PrefixTree tree;
  const std::vector<std::uint64_t> first = {11, 12, 13, 14};
  const std::vector<std::uint64_t> second = {11, 12, 23};
  const NodeId end = tree.Append(0, first);
  const auto walk = tree.Find(second);
  const NodeId branch = tree.Append(walk.nodes.back(), second);
  EXPECT_EQ(tree.WordsTo(end), first) << "cut in two";
  EXPECT_EQ(tree.WordsTo(branch), second);
  EXPECT_TRUE(tree.WordsTo(0).empty());
}

}  // namespace
}  // namespace cairn::sim
