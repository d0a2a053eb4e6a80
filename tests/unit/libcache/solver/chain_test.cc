#include "libcache/solver/chain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "tests/unit/libcache/solver/golden_chain.h"

namespace cairn {
namespace {

using Positions = std::vector<std::uint32_t>;

constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();

std::int64_t Narrow(ChainCost cost) { return static_cast<std::int64_t>(cost); }

std::int64_t CostOf(const std::vector<ChainPoint>& points, const Positions& positions) {
  return Narrow(std::move(CostOfPositions(points, positions)).value());
}

void ExpectDpCase(const nlohmann::json& entry) {
  const auto histogram = GoldenHistogram(entry);
  const auto budget = entry["budget"].get<std::size_t>();
  const auto optimum = entry["opt_cost"].get<std::int64_t>();
  for (const Support support : {Support::kAll, Support::kWeightOnly}) {
    const auto points = PointsOf(histogram, support);
    const auto table = ChainTable::Solve(points, budget);
    ASSERT_TRUE(table.has_value()) << table.error().message;
    EXPECT_EQ(Narrow(table->CostByCount()[0]), entry["baseline_cost"].get<std::int64_t>());
    EXPECT_EQ(Narrow(table->CostByCount().back()), optimum);
    EXPECT_EQ(table->MinPositions(), entry["positions_min"].get<Positions>());
    EXPECT_EQ(table->MinCount(), entry["min_checkpoints_for_opt"].get<std::size_t>());
    EXPECT_EQ(CostOf(points, table->MinPositions()), optimum);
    if (support == Support::kWeightOnly) {
      continue;  // What follows depends on which useless positions there are.
    }
    // Nobody is asked for a placement of nothing.
    if (std::accumulate(histogram.begin(), histogram.end(), std::uint64_t{0}) > 0) {
      EXPECT_EQ(table->Positions(budget, kEnd), entry["positions_canonical"].get<Positions>());
    }
    if (entry.contains("cost_by_m")) {
      const auto costs = entry["cost_by_m"].get<std::vector<std::int64_t>>();
      for (std::size_t m = 0; m < costs.size(); ++m) {
        EXPECT_EQ(Narrow(table->CostByCount()[std::min(m, table->MaxCount())]), costs[m]) << m;
      }
    }
    if (entry.contains("adaptive")) {
      for (const auto& [column, positions] : entry["adaptive"].items()) {
        EXPECT_EQ(table->Positions(budget, static_cast<std::uint32_t>(std::stoul(column))),
                  positions.get<Positions>())
            << column;
      }
    }
  }
}

TEST(ChainGoldenTest, CountsAreOptimal) {
  const auto& cases = GoldenChains()["dp_cases"];
  EXPECT_EQ(cases.size(), 54U);
  for (const auto& entry : cases) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    ExpectDpCase(entry);
  }
}

TEST(ChainGoldenTest, PricesAreOptimal) {
  const auto& cases = GoldenChains()["price_cases"];
  EXPECT_EQ(cases.size(), 31U);
  for (const auto& entry : cases) {
    SCOPED_TRACE(entry["case"].get<std::string>());
    const auto& dp = GoldenChains()["dp_cases"];
    const auto of_name = std::find_if(dp.begin(), dp.end(), [&](const nlohmann::json& one) {
      return one["name"] == entry["case"];
    });
    ASSERT_NE(of_name, dp.end());
    const auto points = PointsOf(GoldenHistogram(*of_name), Support::kAll);
    for (const auto& priced : entry["prices"]) {
      const auto placement = PlacePriced(points, priced["price"].get<std::int64_t>());
      ASSERT_TRUE(placement.has_value());
      SCOPED_TRACE(priced["price"].dump());
      EXPECT_EQ(placement->positions.size(), priced["checkpoints"].get<std::size_t>());
      EXPECT_EQ(Narrow(placement->cost), priced["cost"].get<std::int64_t>());
      EXPECT_EQ(CostOf(points, placement->positions), Narrow(placement->cost));
      EXPECT_EQ(placement->positions, priced["positions"].get<Positions>());
    }
  }
}

TEST(ChainGoldenTest, BlocksLoseNothingButTheResidual) {
  const auto& cases = GoldenChains()["block_cases"];
  EXPECT_EQ(cases.size(), 16U);
  for (const auto& entry : cases) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    std::vector<Overlap> overlaps;
    for (const auto& pair : entry["observations"]) {
      overlaps.push_back(
          {.tokens = pair[0].get<std::uint32_t>(), .weight = pair[1].get<std::uint64_t>()});
    }
    const auto chain = ChainOfOverlaps(overlaps, entry["block"].get<std::uint32_t>());
    ASSERT_TRUE(chain.has_value());
    const auto table = ChainTable::Solve(chain->points, entry["budget"].get<std::size_t>());
    ASSERT_TRUE(table.has_value());
    EXPECT_EQ(Narrow(chain->residual), entry["residual_tokens"].get<std::int64_t>());
    EXPECT_EQ(Narrow(table->CostByCount()[0] + chain->residual),
              entry["baseline_cost_tokens"].get<std::int64_t>());
    EXPECT_EQ(Narrow(table->CostByCount().back() + chain->residual),
              entry["opt_cost_tokens"].get<std::int64_t>());
    EXPECT_EQ(table->MinPositions(), entry["positions_min_tokens"].get<Positions>());
  }
}

TEST(ChainTest, NothingIsPlacedOnNothing) {
  const auto table = ChainTable::Solve({}, 3);
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(table->MaxCount(), 0U);
  EXPECT_EQ(table->Positions(3, kEnd), Positions());
  const auto priced = PlacePriced({}, 0);
  ASSERT_TRUE(priced.has_value());
  EXPECT_EQ(priced->positions, Positions());
  EXPECT_EQ(Narrow(priced->cost), 0);
}

TEST(ChainTest, WithoutABudgetTheCostIsAPrefillFromNothing) {
  const std::vector<ChainPoint> points = {{.position = 64, .potential = 64, .weight = 2}};
  const auto table = ChainTable::Solve(points, 0);
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(Narrow(table->CostByCount().back()), 128);
  EXPECT_EQ(table->MinPositions(), Positions());
}

// With attention late tokens are dearer: 100 tokens at the end of a long prompt outweigh 200 at the
// start of one, which by token counts they would not.
TEST(ChainTest, PotentialsDecideNotPositions) {
  const auto place = [](auto potential) {
    std::vector<ChainPoint> points;
    for (const std::uint32_t position : {200U, 1000U, 1100U}) {
      points.push_back({.position = position, .potential = potential(position), .weight = 1});
    }
    points[1].weight = 10;  // Has a checkpoint whatever happens.
    return std::move(ChainTable::Solve(points, 2)).value().MinPositions();
  };
  EXPECT_EQ(place([](std::uint64_t tokens) { return tokens; }), Positions({200, 1000}));
  EXPECT_EQ(place([](std::uint64_t tokens) { return tokens * tokens; }), Positions({1000, 1100}));
}

TEST(ChainTest, EqualPotentialsNeedOneCheckpoint) {
  const std::vector<ChainPoint> points = {{.position = 1, .potential = 5, .weight = 1},
                                          {.position = 2, .potential = 5, .weight = 1}};
  const auto table = ChainTable::Solve(points, 2);
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(table->MinPositions(), Positions({1}));
  EXPECT_EQ(PlacePriced(points, 0)->positions, Positions({1}));
}

TEST(ChainTest, CostsOfAnyPositions) {
  const std::vector<ChainPoint> points = {{.position = 100, .potential = 10, .weight = 1},
                                          {.position = 200, .potential = 30, .weight = 2}};
  EXPECT_EQ(CostOf(points, {}), 70);
  EXPECT_EQ(CostOf(points, {50}), 70) << "below the first point nothing is known to be saved";
  EXPECT_EQ(CostOf(points, {100}), 40);
  EXPECT_EQ(CostOf(points, {150}), 50) << "offers what the point before it does";
  EXPECT_EQ(CostOf(points, {200, 300}), 10);
  EXPECT_FALSE(CostOfPositions(points, Positions({200, 200})).has_value());
  EXPECT_FALSE(CostOfPositions(points, Positions({200, 100})).has_value());
}

void ExpectInvalid(const std::vector<ChainPoint>& points, const std::string& what) {
  const auto table = ChainTable::Solve(points, 1);
  ASSERT_FALSE(table.has_value());
  EXPECT_EQ(table.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(table.error().message.find(what), std::string::npos) << table.error().message;
  EXPECT_FALSE(PlacePriced(points, 1).has_value());
  EXPECT_FALSE(CostOfPositions(points, {}).has_value());
}

TEST(ChainTest, RefusesWhatIsNoChain) {
  ExpectInvalid({{.position = 2, .potential = 2}, {.position = 2, .potential = 3}}, "ascend");
  ExpectInvalid({{.position = 1, .potential = 3}, {.position = 2, .potential = 2}}, "falls");
  ExpectInvalid({{.position = 1, .potential = kMaxChainSum + 1}}, "2^62");
  ExpectInvalid({{.position = 1, .potential = 1, .weight = kMaxChainSum},
                 {.position = 2, .potential = 2, .weight = 1}},
                "sum of the weights");
  ExpectInvalid({{.position = 1, .potential = 1, .weight = ~std::uint64_t{0}}}, "sum");
}

TEST(ChainTest, RefusesATableOfTooManyCells) {
  std::vector<ChainPoint> points(std::size_t{1} << 14U);
  for (std::uint32_t i = 0; i < points.size(); ++i) {
    points[i] = {.position = i + 1, .potential = i + 1, .weight = 1};
  }
  const auto table = ChainTable::Solve(points, points.size());
  ASSERT_FALSE(table.has_value());
  EXPECT_EQ(table.error().code, ErrorCode::kInvalidArgument);
}

TEST(ChainTest, TheLargestNumbersDoNotOverflow) {
  const std::vector<ChainPoint> points = {
      {.position = 1, .potential = 1, .weight = kMaxChainSum / 2},
      {.position = 2, .potential = kMaxChainSum - 1, .weight = 1},
      {.position = 3, .potential = kMaxChainSum, .weight = kMaxChainSum / 2 - 1}};
  const auto table = ChainTable::Solve(points, 1);
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(table->MinPositions(), Positions({2})) << "2^62 - 1; at 3 it is half as much again";
  EXPECT_EQ(Narrow(table->CostByCount().back()), std::int64_t{kMaxChainSum} - 1);
  const ChainCost largest = std::numeric_limits<ChainCost>::max();
  EXPECT_EQ(PlacePriced(points, largest)->positions, Positions());
  EXPECT_EQ(PlacePriced(points, 0)->positions, Positions({1, 2, 3}));
}

// Half of the requests leave at 100, half at 1000. To keep KV as deep as 1000 is worth it until it
// costs more than the 450 tokens that it saves a request.
TEST(ChainTest, KvIsPaidForUpToTheDeepestCheckpoint) {
  const std::vector<ChainPoint> points = {{.position = 100, .potential = 100, .weight = 1},
                                          {.position = 1000, .potential = 1000, .weight = 1}};
  const std::vector<ChainCost> cheap = {10, 100};
  const std::vector<ChainCost> dear = {100, 1000};
  EXPECT_EQ(PlacePriced(points, 50, cheap)->positions, Positions({100, 1000}));
  EXPECT_EQ(PlacePriced(points, 150, cheap)->positions, Positions({1000}));
  EXPECT_EQ(PlacePriced(points, 50, dear)->positions, Positions({100}));
  EXPECT_EQ(Narrow(PlacePriced(points, 50, dear)->cost), 900);
  EXPECT_FALSE(PlacePriced(points, 50, std::vector<ChainCost>{1}).has_value());
  EXPECT_FALSE(PlacePriced(points, 50, std::vector<ChainCost>{1, -1}).has_value());
  const ChainCost largest = std::numeric_limits<ChainCost>::max();
  EXPECT_EQ(PlacePriced(points, 0, std::vector<ChainCost>(2, largest))->positions, Positions());
}

TEST(ChainTest, RefusesANegativePrice) {
  const auto placement = PlacePriced({}, -1);
  ASSERT_FALSE(placement.has_value());
  EXPECT_EQ(placement.error().code, ErrorCode::kInvalidArgument);
}

TEST(ChainTest, RefusesAGridOfNothingAndTooMuchWeight) {
  EXPECT_FALSE(ChainOfOverlaps({}, 0).has_value());
  const std::vector<Overlap> heavy = {{.tokens = 1, .weight = kMaxChainSum}, {1, 1}};
  EXPECT_FALSE(ChainOfOverlaps(heavy, 1).has_value());
  EXPECT_TRUE(ChainOfOverlaps({}, 64)->points.empty());
}

TEST(FixedChainTest, WholeNumbersStayWhole) {
  const std::vector<RealChainPoint> points = {{.position = 64, .potential = 64, .weight = 3},
                                              {.position = 128, .potential = 128, .weight = 0.5}};
  const auto chain = ToFixedChain(points);
  ASSERT_TRUE(chain.has_value());
  const auto table = ChainTable::Solve(chain->points, 1);
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(chain->ToReal(table->CostByCount()[0]), 3 * 64 + 64.0);
  EXPECT_EQ(chain->ToReal(table->CostByCount()[1]), 32.0);
  // Either checkpoint alone: 64 saves 224 of 256; both save 32 more.
  EXPECT_EQ(PlacePriced(chain->points, chain->Price(32))->positions, Positions({64}));
  EXPECT_EQ(PlacePriced(chain->points, chain->Price(31.9))->positions, Positions({64, 128}));
  EXPECT_EQ(PlacePriced(chain->points, chain->Price(225))->positions, Positions());
}

TEST(FixedChainTest, PricesOutOfRangeHaveAMeaning) {
  const std::vector<RealChainPoint> points = {
      {.position = 1, .potential = 1e-300, .weight = 1e300}};
  const auto chain = ToFixedChain(points);
  ASSERT_TRUE(chain.has_value());
  EXPECT_EQ(Narrow(chain->Price(-1)), 0);
  EXPECT_EQ(Narrow(chain->Price(std::nan(""))), 0);
  const double infinite = std::numeric_limits<double>::infinity();
  EXPECT_EQ(PlacePriced(chain->points, chain->Price(infinite))->positions, Positions());
  EXPECT_EQ(PlacePriced(chain->points, chain->Price(0.5))->positions, Positions({1}));
}

TEST(FixedChainTest, RefusesWhatIsNoNumber) {
  const double infinite = std::numeric_limits<double>::infinity();
  const double largest = std::numeric_limits<double>::max();
  using Points = std::vector<RealChainPoint>;
  EXPECT_FALSE(ToFixedChain(Points{{1, 1, std::nan("")}}).has_value());
  EXPECT_FALSE(ToFixedChain(Points{{1, std::nan(""), 1}}).has_value());
  EXPECT_FALSE(ToFixedChain(Points{{1, 1, -0.1}}).has_value());
  EXPECT_FALSE(ToFixedChain(Points{{1, -1, 1}}).has_value());
  EXPECT_FALSE(ToFixedChain(Points{{1, infinite, 1}}).has_value());
  EXPECT_FALSE(ToFixedChain(Points{{1, 1, largest}, {2, 2, largest}}).has_value()) << "their sum";
  EXPECT_FALSE(ToFixedChain(Points{{1, 1e300, 1}, {2, 1, 1}}).has_value()) << "falls";
  EXPECT_FALSE(ToFixedChain(Points{{2, 1, 1}, {1, 2, 1}}).has_value()) << "positions";
  EXPECT_FALSE(ToFixedChain(Points{}, 0).has_value());
  EXPECT_FALSE(ToFixedChain(Points{}, 54).has_value());
  EXPECT_TRUE(ToFixedChain(Points{}).has_value());
  EXPECT_TRUE(ToFixedChain(Points{{1, 0, 0}}).has_value());
  EXPECT_TRUE(ToFixedChain(Points{{1, 5e-324, 5e-324}}).has_value());
}

}  // namespace
}  // namespace cairn
