#include "libcache/sim/simulator.h"

#include <gtest/gtest.h>

namespace cairn::sim {
namespace {

constexpr std::uint32_t kBlock = 4;

/// Exact; each segment is a piece of text that others may share.
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

Options Roomy(const std::string& strategy, const std::string& eviction) {
  Options options;
  options.strategy = strategy;
  options.eviction = eviction;
  options.block_tokens = kBlock;
  options.checkpoint_bytes = 100;
  options.kv_bytes_per_token = 10;
  return options;
}

Report Replay(const Options& options, const std::vector<TraceRequest>& trace) {
  auto simulator = std::move(Simulator::Create(options)).value();
  for (const TraceRequest& request : trace) {
    simulator->Add(request);
  }
  return simulator->Finish();
}

TEST(SimulatorTest, OddOptionsAreRefused) {
  Options options = Roomy("turn_end", "lru");
  options.block_tokens = 0;
  EXPECT_EQ(Simulator::Create(options).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Simulator::Create(Roomy("turn_ends", "lru")).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Simulator::Create(Roomy("turn_end", "LRU")).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Simulator::Create(Roomy("oracle", "lru")).error().code, ErrorCode::kInvalidArgument);
}

TEST(SimulatorTest, PromptsWithoutABlockAreCountedAndNothingElse) {
  for (const auto* strategy : {"dense", "trie"}) {
    const Report report =
        Replay(Roomy(strategy, "value"), {Prompt(0, {}), Prompt(1, {{1, 3}}), Prompt(2, {{1, 3}})});
    EXPECT_EQ(report.requests, 3U);
    EXPECT_EQ(report.prompt_tokens, 6U);
    EXPECT_EQ(report.overlap_tokens, 0U);
    EXPECT_EQ(report.bytes_written, 0U);
  }
}

// The last token is always computed, so a prompt never resumes at its own end.
TEST(SimulatorTest, ARepeatedPromptThatEndsWithABlockResumesABlockBefore) {
  const TraceRequest prompt = Prompt(0, {{1, 12}});
  for (const auto* eviction : {"lru", "value"}) {
    const Report dense = Replay(Roomy("dense", eviction), {prompt, prompt, prompt});
    EXPECT_EQ(dense.overlap_tokens, 16U);
    EXPECT_EQ(dense.served_tokens, 16U);
    const Report turn_end = Replay(Roomy("turn_end", eviction), {prompt, prompt, prompt});
    EXPECT_EQ(turn_end.served_tokens, 0U) << "its only state is at its end";
    const Report demand = Replay(Roomy("turn_end_demand", eviction), {prompt, prompt, prompt});
    EXPECT_EQ(demand.served_tokens, 8U) << "the second one leaves a state where it had to stop";
  }
  // One token more, and it does resume there.
  const Report longer = Replay(Roomy("turn_end", "lru"), {prompt, Prompt(1, {{1, 12}, {2, 1}})});
  EXPECT_EQ(longer.served_tokens, 12U);
}

TEST(SimulatorTest, APromptOfOneBlockNeverResumes) {
  const TraceRequest prompt = Prompt(0, {{1, kBlock}});
  for (const auto* strategy : {"dense", "turn_end_demand", "trie"}) {
    const Report report = Replay(Roomy(strategy, "value"), {prompt, prompt, prompt});
    EXPECT_EQ(report.overlap_tokens, 0U);
    EXPECT_EQ(report.hits, 0U);
  }
}

TEST(SimulatorTest, LongPromptsAreRefusedAndCountNowhereElse) {
  Options options = Roomy("dense", "lru");
  options.context_tokens = 12;
  const Report report =
      Replay(options, {Prompt(0, {{1, 12}}), Prompt(9, {{1, 12}, {2, 1}}), Prompt(5, {{1, 9}})});
  EXPECT_EQ(report.refused_requests, 1U);
  EXPECT_EQ(report.requests, 2U);
  EXPECT_EQ(report.prompt_tokens, 21U);
  EXPECT_EQ(report.served_tokens, 8U);
}

TEST(SimulatorTest, KvIsWrittenOnceAndStatesWhereThePlanSays) {
  const Report report = Replay(Roomy("turn_end_demand", "lru"),
                               {Prompt(0, {{1, 8}, {2, 8}}), Prompt(1, {{1, 8}, {3, 9}})});
  // KV: 16 tokens, then 8 more in whole blocks. States: 16; then 8 and 16.
  EXPECT_EQ(report.checkpoints_written, 3U);
  EXPECT_EQ(report.bytes_written, 3 * 100 + 24 * 10U);
  EXPECT_EQ(report.peak_bytes, report.bytes_written);
  EXPECT_EQ(report.overlap_tokens, 8U);
}

TEST(ChainWordsTest, AWordStandsForAllThatComesBefore) {
  const auto a = ChainWords(Prompt(0, {{1, 8}, {2, 8}}), kBlock);
  const auto b = ChainWords(Prompt(0, {{3, 8}, {2, 8}}), kBlock);
  ASSERT_EQ(a.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NE(a[i], b[i]);
  }
  const auto repeated = ChainWords(Prompt(0, {{1, 4}, {1, 4}, {1, 4}}), kBlock);
  EXPECT_NE(repeated[0], repeated[1]);
  EXPECT_NE(repeated[1], repeated[2]);
}

TEST(ChainWordsTest, BlockTracesAreCutFinerOrCoarser) {
  TraceRequest request;
  request.input_tokens = 50;  // Three blocks of 16 and 2 tokens that are hidden.
  request.block_tokens = 16;
  request.path = {{7, 16}, {8, 16}, {9, 16}};
  TraceRequest other = request;
  other.path[2].id = 10;
  for (const std::uint32_t block : {4U, 8U, 16U, 32U}) {
    const auto words = ChainWords(request, block);
    const auto others = ChainWords(other, block);
    ASSERT_EQ(words.size(), 48 / block);
    ASSERT_EQ(others.size(), 48 / block);
    for (std::size_t i = 0; i < words.size(); ++i) {
      EXPECT_EQ(words[i] == others[i], (i + 1) * block <= 32) << block << ", block " << i;
    }
  }
}

}  // namespace
}  // namespace cairn::sim
