#include "libcache/published/replay.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/libcache/published/synthetic_run.h"

namespace cairn {
namespace {

std::uint64_t Saved(const PublishedRun& run, const std::string& strategy, bool adaptive = false) {
  return std::move(ReplayStrategy(run, Strategy(strategy, adaptive))).value().saved_tokens;
}

TEST(ReplayTest, WhereAllDivideAtOneDepthACheckpointThereSavesAll) {
  const auto run = MakeSyntheticRun({.least_divergence = 2048, .most_divergence = 2048}, 1);
  for (const std::string strategy : {"block:64", "block:512", "sqrt", "hist_exp_decay:1"}) {
    const auto result = std::move(ReplayStrategy(run, Strategy(strategy))).value();
    EXPECT_EQ(result.hits, 192U);
    EXPECT_EQ(result.saved_tokens, 192U * 2048U) << strategy;
    EXPECT_EQ(result.saved_by_request, std::vector<std::uint64_t>(192, 2048)) << strategy;
  }
  // Thirds of 4,096 lie at 1,365 and 2,730: the first, on the grid, is what is left of them.
  EXPECT_EQ(Saved(run, "balanced:2"), 192U * 1344U);
}

TEST(ReplayTest, DenseCheckpointsSaveTheOverlapOnTheGrid) {
  const auto run = MakeSyntheticRun({}, 2);
  std::uint64_t expected = 0;
  for (std::size_t i = run.first_measured; i < run.requests.size(); ++i) {
    // 20 requests are two rounds of ten groups.
    const auto overlap = [&](std::size_t back) {
      return std::min(run.requests[i].divergence, run.requests[i - back].divergence);
    };
    expected += std::max(overlap(10), overlap(20)) / 64 * 64;
  }
  EXPECT_EQ(Saved(run, "block:64"), expected);
  EXPECT_LT(Saved(run, "hist_exp_decay:5"), expected);
  EXPECT_GE(Saved(run, "hist_exp_decay:5", true), Saved(run, "hist_exp_decay:1", true));
}

TEST(ReplayTest, NothingIsFoundInACacheSmallerThanARound) {
  auto run = MakeSyntheticRun({.least_divergence = 2048, .most_divergence = 2048}, 3);
  run.cache_requests = 9;
  const auto result = std::move(ReplayStrategy(run, Strategy("block:64"))).value();
  EXPECT_EQ(result.hits, 0U);
  EXPECT_EQ(result.saved_tokens, 0U);
}

TEST(ReplayTest, NoneStoresNothing) {
  const auto run = MakeSyntheticRun({}, 4);
  const auto result = std::move(ReplayStrategy(run, Strategy("none"))).value();
  EXPECT_EQ(result.hits, 0U);
  EXPECT_EQ(result.saved_by_request, std::vector<std::uint64_t>(192, 0));
}

// Two stored requests overlap in 1,000 tokens with the third. One checkpoint in the middle of the
// older, shorter one is within the overlap; that of the newer, longer one is not.
TEST(ReplayTest, OfEqualOverlapsTheOldestIsTaken) {
  PublishedRun run;
  run.synthetic = true;
  run.cache_requests = 20;
  run.max_tokens = 16'384;
  run.first_measured = 2;
  for (const std::uint32_t tokens : {1920U, 4096U, 2000U}) {
    PublishedRequest request;
    request.tokens = tokens;
    request.divergence = 1000;
    run.requests.push_back(request);
  }
  EXPECT_EQ(Saved(run, "balanced:1"), 960U);
  std::swap(run.requests[0].tokens, run.requests[1].tokens);
  EXPECT_EQ(Saved(run, "balanced:1"), 0U);
}

TEST(ReplayTest, ARecordedRunFindsWhatWasRecorded) {
  PublishedRun run;
  run.cache_requests = 20;
  run.max_tokens = 16'384;
  run.first_measured = 1;
  run.histogram = {{{.bin = 15, .count = 9.0}}};
  run.requests.resize(3);
  run.requests[0].tokens = run.requests[1].tokens = run.requests[2].tokens = 2000;
  run.requests[1].match = run.requests[2].match = 1000;
  run.requests[1].source = 0;
  run.requests[2].source = 1;
  // The stored request before the run is balanced, at 960; the plan of the histogram is 960, too.
  EXPECT_EQ(Saved(run, "hist_exp_decay:1"), 2U * 960U);
  run.requests[0].tokens = 2200;  // Now its checkpoint lies at 1,088, beyond the overlap.
  EXPECT_EQ(Saved(run, "hist_exp_decay:1"), 960U);
}

TEST(ReplayTest, RefusesAnUnknownStrategy) {
  const auto run = MakeSyntheticRun({}, 5);
  const auto result = ReplayStrategy(run, Strategy("best"));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace cairn
