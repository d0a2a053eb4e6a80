#include "libcache/placement/planner.h"

#include <gtest/gtest.h>

#include <limits>

namespace cairn {
namespace {

using Positions = std::vector<std::uint32_t>;

Positions PlanOf(std::string_view name, const PlanInput& input) {
  return std::move(MakePlanner(name)).value()->Plan(input);
}

// A second turn: 1,000 tokens, 700 of them seen before, state kept at 512, grid and blocks of 64.
constexpr PlanInput kTurn = {.prompt_tokens = 1000,
                             .overlap_tokens = 700,
                             .resume_tokens = 512,
                             .grid_tokens = 64,
                             .block_tokens = 64};

TEST(PlannerTest, NoneEmitsNothing) { EXPECT_EQ(PlanOf("none", kTurn), Positions()); }

TEST(PlannerTest, TurnEndEmitsAtTheLastGridPosition) {
  EXPECT_EQ(PlanOf("turn_end", kTurn), Positions({960}));
  PlanInput input = kTurn;
  input.prompt_tokens = 1024;
  EXPECT_EQ(PlanOf("turn_end", input), Positions({1024})) << "a prompt may end on the grid";
  input.resume_tokens = 1024;
  EXPECT_EQ(PlanOf("turn_end", input), Positions()) << "it is there already";
  EXPECT_EQ(PlanOf("turn_end", {.prompt_tokens = 63, .grid_tokens = 64}), Positions());
}

TEST(PlannerTest, DemandAlsoEmitsWhereTheRequestLeftWhatWasSeen) {
  EXPECT_EQ(PlanOf("turn_end_demand", kTurn), Positions({640, 960}));
  PlanInput input = kTurn;
  input.overlap_tokens = 575;
  EXPECT_EQ(PlanOf("turn_end_demand", input), Positions({960})) << "512 is there already";
  input.overlap_tokens = 1000;
  EXPECT_EQ(PlanOf("turn_end_demand", input), Positions({960})) << "both are the same place";
  input.overlap_tokens = 5000;
  EXPECT_EQ(PlanOf("turn_end_demand", input), Positions({960}));
}

TEST(PlannerTest, BranchEndIsTheDivergenceAndTheEnd) {
  EXPECT_EQ(PlanOf("branch_end", kTurn), Positions({640, 960}));
  PlanInput input = kTurn;
  input.overlap_tokens = 5000;
  EXPECT_EQ(PlanOf("branch_end", input), Positions({960})) << "no plan leaves the prompt";
  input.overlap_tokens = 0;
  EXPECT_EQ(PlanOf("branch_end", input), Positions({960})) << "nothing takes the second place";
}

TEST(PlannerTest, BackoffDoublesFromTheEnd) {
  EXPECT_EQ(PlanOf("branch_backoff:1", kTurn), Positions({640}));
  EXPECT_EQ(PlanOf("branch_backoff:4", kTurn), Positions({640, 832, 896, 960}));
  // 960 - 256 = 704; 512 tokens back the resumed boundary is passed.
  EXPECT_EQ(PlanOf("branch_backoff:16", kTurn), Positions({640, 704, 832, 896, 960}));
  EXPECT_FALSE(MakePlanner("branch_backoff:0").has_value());
  EXPECT_FALSE(MakePlanner("branch_backoff:4097").has_value());
  EXPECT_FALSE(MakePlanner("branch_backoff").has_value());
}

TEST(PlannerTest, BlockEmitsEveryKTokens) {
  EXPECT_EQ(PlanOf("block:128", kTurn), Positions({640, 768, 896}));
  EXPECT_EQ(PlanOf("block:2048", kTurn), Positions());
}

// The grid belongs to the namespace and the planner to the daemon, so k need not fit.
TEST(PlannerTest, BlockRoundsDownToTheGrid) {
  EXPECT_EQ(PlanOf("block:100", kTurn), Positions({576, 640, 768, 896, 960}));
  EXPECT_EQ(PlanOf("block:1", kTurn), Positions({576, 640, 704, 768, 832, 896, 960}));
}

TEST(PlannerTest, RequestsOfOnePrefixAgreeOnItsPositions) {
  PlanInput shorter = kTurn;
  shorter.prompt_tokens = 900;
  const Positions all = PlanOf("block:100", kTurn);
  EXPECT_EQ(PlanOf("block:100", shorter), Positions(all.begin(), all.end() - 1));
}

TEST(PlannerTest, DenseEmitsWhereBlockAndGridMeet) {
  PlanInput input = kTurn;
  input.block_tokens = 96;
  EXPECT_EQ(PlanOf("dense", input), Positions({576, 768, 960}));
}

TEST(PlannerTest, LongPlansKeepTheirDeepestPositions) {
  const PlanInput input = {.prompt_tokens = 131'072, .grid_tokens = 16, .block_tokens = 16};
  const Positions plan = PlanOf("dense", input);
  ASSERT_EQ(plan.size(), kMaxPlan);
  EXPECT_EQ(plan.back(), 131'072U);
  EXPECT_EQ(plan.front(), 131'072U - 16 * (kMaxPlan - 1));
}

TEST(PlannerTest, ExtremesNeitherOverflowNorDivideByZero) {
  constexpr auto kMax = std::numeric_limits<std::uint32_t>::max();
  const PlanInput zeros = {.prompt_tokens = 3, .grid_tokens = 0, .block_tokens = 0};
  EXPECT_EQ(PlanOf("dense", zeros), Positions({1, 2, 3}));
  EXPECT_EQ(PlanOf("turn_end", zeros), Positions({3}));
  const PlanInput huge = {.prompt_tokens = kMax, .grid_tokens = kMax, .block_tokens = kMax - 1};
  EXPECT_EQ(PlanOf("block:4294967295", huge), Positions({kMax}));
  EXPECT_EQ(PlanOf("dense", huge), Positions());
}

TEST(PlannerTest, NamesAreKept) {
  for (const auto* name : {"none", "turn_end", "turn_end_demand", "block:512", "dense"}) {
    EXPECT_EQ(std::move(MakePlanner(name)).value()->Name(), name);
  }
}

TEST(PlannerTest, UnknownNamesListTheKnownOnes) {
  for (const auto* name : {"", "trie2", "block", "block:", "block:0", "block:-1", "block:12x",
                           "block: 12", "block:4294967296", "turn_end:1", "dense "}) {
    const auto planner = MakePlanner(name);
    ASSERT_FALSE(planner.has_value()) << name;
    EXPECT_EQ(planner.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(planner.error().message.find("turn_end_demand"), std::string::npos);
  }
}

}  // namespace
}  // namespace cairn
