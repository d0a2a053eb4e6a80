#include "libcache/solver/trie_budget.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn {
namespace {

using Nodes = std::vector<std::uint32_t>;

// A prompt of potential 10 with two forks, three questions of potential 16 for two each.
class TrieBudgetTest : public ::testing::Test {
 public:
  std::vector<std::uint32_t> parent = {0, 0, 1, 1, 1};
  std::vector<double> potential = {0, 10, 16, 16, 16};
  std::vector<double> weight = {0, 2, 2, 2, 2};
  std::vector<std::uint64_t> checkpoint_bytes = {0, 100, 100, 100, 100};
  std::vector<std::uint64_t> kv_bytes = {0, 50, 30, 30, 30};

  [[nodiscard]] TrieInstance View() const {
    return {.parent = parent,
            .potential = potential,
            .weight = weight,
            .checkpoint_bytes = checkpoint_bytes,
            .kv_bytes = kv_bytes,
            .allowed = {},
            .fetch = {}};
  }
};

TEST_F(TrieBudgetTest, WhatFitsWholeIsFree) {
  const auto best = SolveTrieForBudget(View(), 400);
  ASSERT_TRUE(best);
  EXPECT_EQ(best->price_per_byte, 0);
  EXPECT_EQ(best->plan.checkpoints, Nodes({1, 2, 3, 4}));
  EXPECT_EQ(best->plan.objective, 0);
  EXPECT_EQ(SolveTrieForBudget(View(), UINT64_MAX)->plan.checkpoints, Nodes({1, 2, 3, 4}));
  EXPECT_EQ(SolveJointForBudget(View(), 540)->plan.checkpoints, Nodes({1, 2, 3, 4}));
}

// The questions are alike: no price takes some of them and leaves others.
TEST_F(TrieBudgetTest, TakesTheNextPlanThatSomePriceMakesBest) {
  for (const std::uint64_t budget : {399U, 200U, 100U}) {
    const auto best = SolveTrieForBudget(View(), budget);
    ASSERT_TRUE(best);
    EXPECT_EQ(best->plan.checkpoints, Nodes({1})) << budget;
    EXPECT_NEAR(best->price_per_byte, 0.12, 1e-10) << "each question saves 12 for 100 bytes";
  }
  const auto joint = SolveJointForBudget(View(), 539);
  ASSERT_TRUE(joint);
  EXPECT_EQ(joint->plan.kept_kv, Nodes({1}));
  EXPECT_EQ(joint->plan.bytes, 150U);
  EXPECT_NEAR(joint->price_per_byte, 12.0 / 130, 1e-10);
}

TEST_F(TrieBudgetTest, ABudgetOfNothingKeepsWhatHasNoBytes) {
  const auto none = SolveTrieForBudget(View(), 0);
  ASSERT_TRUE(none);
  EXPECT_EQ(none->plan.checkpoints, Nodes());
  EXPECT_NEAR(none->price_per_byte, 0.8, 1e-9) << "the prompt saves 80 for 100 bytes";
  checkpoint_bytes[3] = 0;
  EXPECT_EQ(SolveTrieForBudget(View(), 0)->plan.checkpoints, Nodes({3}));
}

TEST_F(TrieBudgetTest, EmptyAndUselessTriesFitAnywhere) {
  EXPECT_EQ(SolveTrieForBudget(TrieInstance(), 0)->price_per_byte, 0);
  weight = {5, 0, 0, 0, 0};
  const auto best = SolveJointForBudget(View(), 0);
  ASSERT_TRUE(best);
  EXPECT_EQ(best->price_per_byte, 0);
  EXPECT_EQ(best->plan.checkpoints, Nodes());
}

TEST_F(TrieBudgetTest, HullFromAllToNothing) {
  const auto hull = TrieCostHull(View(), 10);
  ASSERT_TRUE(hull);
  EXPECT_TRUE(hull->complete);
  ASSERT_EQ(hull->points.size(), 3U);
  EXPECT_EQ(hull->points[0].checkpoints, 4U);
  EXPECT_EQ(hull->points[0].price_per_byte, 0);
  EXPECT_EQ(hull->points[1].recompute, 36);
  EXPECT_DOUBLE_EQ(hull->points[1].price_per_byte, 0.12);
  EXPECT_EQ(hull->points[2].bytes, 0U);
  EXPECT_EQ(hull->points[2].recompute, 116);
  const auto ends = TrieCostHull(View(), 2);
  EXPECT_FALSE(ends->complete);
  EXPECT_EQ(ends->points.size(), 2U);
  EXPECT_EQ(TrieCostHull(TrieInstance(), 5)->points.size(), 1U);
}

// A value far below what the rest costs, and prices far apart.
TEST_F(TrieBudgetTest, FindsPricesManyOrdersOfMagnitudeApart) {
  weight = {0, 1e12, 1e-6, 1, 1e6};
  std::uint64_t last = 0;
  for (const std::uint64_t budget : {100U, 200U, 300U, 400U}) {
    const auto best = SolveTrieForBudget(View(), budget);
    ASSERT_TRUE(best);
    EXPECT_EQ(best->plan.bytes, budget);
    EXPECT_GT(best->plan.bytes, last);
    last = best->plan.bytes;
  }
}

TEST_F(TrieBudgetTest, NeitherNearlyNothingNorNearlyTooMuchIsTooMuch) {
  for (const double scale : {5e-324, 1e-310, 1e-200, 1e200, 1e298}) {
    weight = {0, scale, scale, scale, scale};
    for (const std::uint64_t bytes : {std::uint64_t{1}, kMaxTrieBytes / 8}) {
      checkpoint_bytes.assign(5, bytes);
      const auto none = SolveTrieForBudget(View(), 0);
      ASSERT_TRUE(none);
      EXPECT_EQ(none->plan.checkpoints, Nodes());
      const auto joint = SolveJointForBudget(View(), bytes + 100);
      ASSERT_TRUE(joint);
      EXPECT_LE(joint->plan.bytes, bytes + 100);
    }
  }
}

TEST_F(TrieBudgetTest, RefusesWhatIsNotATrie) {
  weight[1] = -1;
  for (const auto& status : {SolveTrieForBudget(View(), 1), SolveJointForBudget(View(), 1)}) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_FALSE(TrieCostHull(View(), 5));
  EXPECT_FALSE(JointCostHull(View(), 5));
}

}  // namespace
}  // namespace cairn
