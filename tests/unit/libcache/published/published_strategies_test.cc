#include "libcache/published/published_strategies.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "tests/unit/libcache/solver/golden_chain.h"

namespace cairn {
namespace {

using Positions = std::vector<std::uint32_t>;

Positions PositionsOf(std::string_view name, std::uint32_t tokens,
                      const PublishedStrategy::Options& options = {}) {
  auto strategy = std::move(PublishedStrategy::Create(name, options)).value();
  return std::move(strategy.Positions(tokens)).value();
}

/// Long answers are stored as their ends, length and sum.
void ExpectSame(const Positions& ours, const nlohmann::json& expected) {
  if (expected.is_array()) {
    EXPECT_EQ(ours, expected.get<Positions>());
    return;
  }
  ASSERT_EQ(ours.size(), expected["count"].get<std::size_t>());
  const auto first = expected["first"].get<Positions>();
  const auto last = expected["last"].get<Positions>();
  EXPECT_TRUE(std::equal(first.begin(), first.end(), ours.begin()));
  EXPECT_TRUE(std::equal(last.rbegin(), last.rend(), ours.rbegin()));
  EXPECT_EQ(std::accumulate(ours.begin(), ours.end(), std::uint64_t{0}),
            expected["sum"].get<std::uint64_t>());
}

TEST(PublishedStrategiesGoldenTest, PlaceAsPublished) {
  const auto& cases = GoldenChains()["strategy_positions"];
  EXPECT_EQ(cases.size(), 15U);
  for (const auto& entry : cases) {
    const auto tokens = entry["seq_len"].get<std::uint32_t>();
    SCOPED_TRACE(tokens);
    for (const std::string step : {"64", "192", "100", "2048"}) {
      ExpectSame(PositionsOf("block:" + step, tokens), entry["block_" + step]);
    }
    for (const std::string count : {"1", "3", "12"}) {
      ExpectSame(PositionsOf("balanced:" + count, tokens), entry["balanced_" + count]);
    }
    ExpectSame(PositionsOf("sqrt", tokens), entry["sqrt"]);
    ExpectSame(PositionsOf("log", tokens), entry["log_768"]);
    ExpectSame(PositionsOf("log", tokens, {.first_power = 0}), entry["log_0"]);
    ExpectSame(PositionsOf("block:2048", tokens, {.save_last = true}),
               entry["block_2048_save_last"]);
  }
}

TEST(PublishedStrategiesTest, NonePlacesNothing) {
  auto none = std::move(PublishedStrategy::Create("none", {})).value();
  EXPECT_TRUE(none.StoresNothing());
  EXPECT_EQ(PositionsOf("none", 4096, {.save_last = true}), Positions());
}

TEST(PublishedStrategiesTest, TheHistogramLearnsWithTheBudgetOfItsName) {
  auto strategy = std::move(PublishedStrategy::Create("hist_exp_decay:1", {})).value();
  ASSERT_NE(strategy.Histogram(), nullptr);
  EXPECT_EQ(std::move(strategy.Positions(4096)).value(), Positions({2048}));
  strategy.Observe(1000);
  ASSERT_TRUE(strategy.Histogram()->Solve().has_value());
  EXPECT_EQ(std::move(strategy.Positions(4096)).value(), Positions({960}));
}

TEST(PublishedStrategiesTest, ExtremesHaveNoOverflow) {
  const std::uint32_t longest = ~0U;
  EXPECT_EQ(PositionsOf("block:4294967295", longest, {.grid_tokens = 1}), Positions({longest}));
  EXPECT_EQ(BalancedPositions(100, longest).size(), 100U);
  EXPECT_EQ(BalancedPositions(longest, 1), Positions({longest / 2}));
  EXPECT_EQ(PowerPositions(longest, 1U << 31U), Positions({1U << 31U}));
  EXPECT_EQ(SqrtPositions(longest).size(), 65537U);
  EXPECT_EQ(PositionsOf("sqrt", 0), Positions());
  EXPECT_EQ(BlockPositions(100, 0), Positions());
  EXPECT_EQ(ClipToGrid({1, 2}, 0), Positions({1, 2}));
}

TEST(PublishedStrategiesTest, UnknownNamesAreRefusedWithTheKnown) {
  for (const std::string_view name :
       {"", "blocks", "block", "block:", "block:0", "block:-1", "block:1x", "block:4294967296",
        "none:1", "sqrt:2", "hist_exp_decay", "hist_exp_decay:0", "balanced: 1"}) {
    const auto strategy = PublishedStrategy::Create(name, {});
    ASSERT_FALSE(strategy.has_value()) << name;
    EXPECT_EQ(strategy.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(strategy.error().message.find("hist_exp_decay:<count>"), std::string::npos);
  }
  EXPECT_FALSE(PublishedStrategy::Create("hist_exp_decay:1", {.histogram = {.gamma = 2}}));
}

}  // namespace
}  // namespace cairn
