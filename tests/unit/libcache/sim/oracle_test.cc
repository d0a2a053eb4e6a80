#include <gtest/gtest.h>

#include <memory>

#include "libcache/sim/simulator.h"
#include "libcache/trace/generator.h"

namespace cairn::sim {
namespace {

constexpr std::uint32_t kRequests = 300;

std::unique_ptr<TraceReader> Trace(const std::string& scenario) {
  return *TraceGenerator::Create(*GeneratorScenario(scenario, 7, kRequests));
}

Options OptionsOf(std::uint64_t capacity_bytes) {
  Options options;
  options.block_tokens = 64;
  options.checkpoint_bytes = 153'944'064;
  options.kv_bytes_per_token = 65'536;
  options.capacity_bytes = capacity_bytes;
  return options;
}

Report ReportOf(const std::string& scenario, Options options) {
  const auto reader = Trace(scenario);
  if (options.strategy == "oracle") {
    return *RunOracle(*reader, options);
  }
  const auto simulator = *Simulator::Create(options);
  for (;;) {
    const auto request = *reader->Next();
    if (!request) {
      return simulator->Finish();
    }
    simulator->Add(*request);
  }
}

TEST(OracleTest, ServesEveryOverlapWhenMemoryIsNoLimit) {
  for (const char* scenario : {"agent", "chat", "documents", "templates"}) {
    Options options = OptionsOf(std::numeric_limits<std::uint64_t>::max());
    options.strategy = "oracle";
    const Report oracle = ReportOf(scenario, options);
    EXPECT_EQ(oracle.served_tokens, oracle.overlap_tokens) << scenario;
    EXPECT_EQ(oracle.gap_tokens, 0U) << scenario;
    options.strategy = "none";
    options.eviction = "lru";
    const Report none = ReportOf(scenario, options);
    EXPECT_EQ(oracle.overlap_tokens, none.overlap_tokens) << "the same trace has the same overlaps";
    EXPECT_EQ(oracle.prompt_tokens, none.prompt_tokens);
    EXPECT_EQ(none.served_tokens, 0U);
  }
}

TEST(OracleTest, NoStrategyServesMoreInTheSameMemory) {
  for (const char* scenario : {"agent", "chat", "documents", "templates"}) {
    for (const std::uint64_t capacity : {10'000'000'000ULL, 60'000'000'000ULL}) {
      Options options = OptionsOf(capacity);
      options.strategy = "oracle";
      const Report oracle = ReportOf(scenario, options);
      EXPECT_LE(oracle.peak_bytes, capacity);
      for (const char* strategy : {"turn_end_demand", "dense", "branch_backoff:4", "trie"}) {
        options.strategy = strategy;
        options.eviction = std::string(strategy) == "trie" ? "value" : "lru";
        EXPECT_GE(oracle.served_tokens, ReportOf(scenario, options).served_tokens)
            << strategy << " on " << scenario << " in " << capacity;
      }
    }
  }
}

TEST(OracleTest, RefusesBlocksOfNothing) {
  Options options = OptionsOf(1);
  options.block_tokens = 0;
  const auto refused = RunOracle(*Trace("chat"), options);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace cairn::sim
