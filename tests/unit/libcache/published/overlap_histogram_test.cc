#include "libcache/published/overlap_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "tests/unit/libcache/solver/golden_chain.h"

namespace cairn {
namespace {

using Positions = std::vector<std::uint32_t>;

OverlapHistogram Make(const OverlapHistogram::Options& options) {
  return std::move(OverlapHistogram::Create(options)).value();
}

Positions PositionsOf(OverlapHistogram& histogram, std::uint32_t tokens) {
  return std::move(histogram.Positions(tokens)).value();
}

void ExpectTrackerCase(const nlohmann::json& entry) {
  OverlapHistogram histogram =
      Make({.max_tokens = entry["max_len"].get<std::uint32_t>(),
            .bin_tokens = entry["bin_size"].get<std::uint32_t>(),
            .budget = entry["budget"].get<std::uint32_t>(),
            .gamma = entry["gamma"].get<double>(),
            .replan_interval = entry["replan_interval"].get<std::uint32_t>(),
            .adaptive_backtrack = entry["adaptive_backtrack"].get<bool>()});
  const auto& observations = entry["observations"];
  for (std::size_t i = 0; i < observations.size(); ++i) {
    histogram.Observe(observations[i].get<std::uint32_t>());
    EXPECT_EQ(PositionsOf(histogram, entry["request_lengths"][i].get<std::uint32_t>()),
              entry["positions_after_each"][i].get<Positions>())
        << "after observation " << i;
    if (!entry["solve_after_observation"].is_null() &&
        entry["solve_after_observation"].get<std::size_t>() == i + 1) {
      EXPECT_TRUE(histogram.Solve().has_value());
    }
  }
  EXPECT_EQ(histogram.Solves(), entry["n_solves"].get<std::size_t>());
  std::map<std::size_t, double> expected;
  for (const auto& pair : entry["final_counts"]) {
    expected[pair[0].get<std::size_t>()] = pair[1].get<double>();
  }
  for (std::size_t bin = 0; bin < histogram.Counts().size(); ++bin) {
    EXPECT_NEAR(histogram.Counts()[bin], expected[bin], 1e-9) << "bin " << bin;
  }
}

TEST(OverlapHistogramGoldenTest, FollowsThePublishedTracker) {
  const auto& cases = GoldenChains()["tracker_cases"];
  EXPECT_EQ(cases.size(), 5U);
  for (const auto& entry : cases) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    ExpectTrackerCase(entry);
  }
}

TEST(OverlapHistogramTest, StaysBalancedUntilItIsToldToSolve) {
  OverlapHistogram histogram = Make({.budget = 2, .replan_interval = 1});
  for (int i = 0; i < 100; ++i) {
    histogram.Observe(6400);
    EXPECT_EQ(PositionsOf(histogram, 9000), Positions({3000, 6000}));
  }
  ASSERT_TRUE(histogram.Solve().has_value());
  EXPECT_EQ(PositionsOf(histogram, 9000).back(), 6400U);
}

TEST(OverlapHistogramTest, AColdStartSolvesWhenAPlanIsDue) {
  OverlapHistogram histogram = Make({.budget = 1, .replan_interval = 3, .cold_start = true});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(PositionsOf(histogram, 9000), Positions({4500}));
    histogram.Observe(6400);
  }
  EXPECT_EQ(PositionsOf(histogram, 9000), Positions({6400}));
}

TEST(OverlapHistogramTest, SolvingNothingChangesNothing) {
  OverlapHistogram histogram = Make({.budget = 1});
  ASSERT_TRUE(histogram.Solve().has_value());
  EXPECT_EQ(histogram.Solves(), 0U);
  EXPECT_EQ(PositionsOf(histogram, 1000), Positions({500}));
}

TEST(OverlapHistogramTest, AFrozenPlanStays) {
  OverlapHistogram histogram =
      Make({.mode = OverlapHistogram::Mode::kFrozen, .budget = 1, .replan_interval = 1});
  histogram.Observe(640);
  ASSERT_TRUE(histogram.Solve().has_value());
  for (int i = 0; i < 100; ++i) {
    histogram.Observe(6400);
  }
  EXPECT_EQ(PositionsOf(histogram, 9000), Positions({640}));
  EXPECT_EQ(histogram.Counts()[100], 100) << "it does not forget, either";
}

// Half of the requests leave a short document, half a long one. A plan for the longest request
// spends its one checkpoint on the long one; a short prompt then gets none.
TEST(OverlapHistogramTest, AdaptiveBacktrackPlansForTheRequest) {
  for (const bool adaptive : {false, true}) {
    OverlapHistogram histogram = Make({.budget = 1, .adaptive_backtrack = adaptive});
    histogram.Observe(1000);
    histogram.Observe(8000);
    ASSERT_TRUE(histogram.Solve().has_value());
    EXPECT_EQ(PositionsOf(histogram, 9000), Positions({8000}));
    EXPECT_EQ(PositionsOf(histogram, 1100), adaptive ? Positions({960}) : Positions());
  }
}

// With checkpoints to spare both plans cover every bin that was seen; only the published one puts
// some where rounding says.
TEST(OverlapHistogramTest, PublishedRoundingCoversWhatTheExactPlanCovers) {
  for (const bool rounded : {false, true}) {
    OverlapHistogram histogram =
        Make({.max_tokens = 1280, .budget = 20, .published_rounding = rounded});
    for (std::uint32_t i = 0; i < 100; ++i) {
      histogram.Observe(i * i % 7 * 128 + 300);
    }
    ASSERT_TRUE(histogram.Solve().has_value());
    const auto positions = PositionsOf(histogram, 1280);
    EXPECT_TRUE(std::is_sorted(positions.begin(), positions.end()));
    for (std::uint32_t bin = 1; bin < histogram.Counts().size(); ++bin) {
      if (histogram.Counts()[bin] > 0) {
        EXPECT_EQ(std::count(positions.begin(), positions.end(), bin * 64), 1) << bin;
      }
    }
  }
}

TEST(OverlapHistogramTest, RefusesOptionsThatMeanNothing) {
  const auto refused = [](const OverlapHistogram::Options& options) {
    const auto histogram = OverlapHistogram::Create(options);
    return !histogram && histogram.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({.bin_tokens = 0}));
  EXPECT_TRUE(refused({.replan_interval = 0}));
  EXPECT_TRUE(refused({.gamma = 0}));
  EXPECT_TRUE(refused({.gamma = 1.01}));
  EXPECT_TRUE(refused({.gamma = std::nan("")}));
  EXPECT_TRUE(refused({.max_tokens = ~0U, .bin_tokens = 1}));
  EXPECT_TRUE(refused({.max_tokens = 1'000'000, .bin_tokens = 1, .budget = 1000}));
  EXPECT_FALSE(refused({.budget = 0}));
  EXPECT_FALSE(refused({.max_tokens = 0}));
}

TEST(OverlapHistogramTest, RefusesCountsThatAreNone) {
  OverlapHistogram histogram = Make({.max_tokens = 640});
  using Counts = std::vector<OverlapHistogram::BinCount>;
  EXPECT_FALSE(histogram.Restore(Counts{{11, 1.0}}, 3).has_value());
  EXPECT_FALSE(histogram.Restore(Counts{{1, -1.0}}, 3).has_value());
  EXPECT_FALSE(histogram.Restore(Counts{{1, std::nan("")}}, 3).has_value());
  EXPECT_EQ(histogram.Counts()[1], 0);
  EXPECT_TRUE(histogram.Restore(Counts{{10, 2.0}}, 3).has_value());
  EXPECT_EQ(histogram.Counts()[10], 2);
}

TEST(OverlapHistogramTest, ABudgetOfNothingPlacesNothing) {
  OverlapHistogram histogram = Make({.budget = 0});
  EXPECT_EQ(PositionsOf(histogram, 1000), Positions());
  histogram.Observe(640);
  ASSERT_TRUE(histogram.Solve().has_value());
  EXPECT_EQ(PositionsOf(histogram, 1000), Positions());
}

}  // namespace
}  // namespace cairn
