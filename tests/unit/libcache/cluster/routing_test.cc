#include "libcache/cluster/routing.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

CandidateAnswer Says(std::uint32_t resume_tokens, std::uint32_t load_permille) {
  return {.answered = true, .resume_tokens = resume_tokens, .load_permille = load_permille};
}

PrefixKey KeyWith(std::uint8_t first) {
  PrefixKey key;
  key.bytes[0] = static_cast<std::byte>(first);
  return key;
}

// Fixed for ever: engines of different releases must agree. Computed by a program of its own: of
// XXH3-128 over key and digest of the name, the lower half for the first and the upper half for the
// second candidate.
TEST(RingTest, IsTheSameOnEveryMachine) {
  const std::vector<std::string> names = {"cairn-0", "cairn-1", "cairn-2", "cairn-3"};
  const Ring ring(names);
  const std::vector<std::uint8_t> all(4, 1);
  std::string picked;
  for (std::uint8_t i = 0; i < 16; ++i) {
    const auto both = ring.Pick(KeyWith(i), KeyWith(static_cast<std::uint8_t>(i + 100)), all);
    picked += std::to_string(both.first) + std::to_string(both.second) + " ";
  }
  EXPECT_EQ(picked, "03 02 13 21 30 03 23 01 10 01 02 31 30 12 10 13 ");
}

TEST(RingTest, OfOneUsableMemberBothCandidatesAreIt) {
  const std::vector<std::string> names = {"a", "b", "c"};
  const Ring ring(names);
  const std::vector<std::uint8_t> usable = {0, 1, 0};
  EXPECT_EQ(ring.Pick(KeyWith(1), KeyWith(2), usable), (Ring::Candidates{1, 1}));
}

TEST(RouteBlocksTest, TakesTheDeepestPlaceThatThePromptHas) {
  const RoutingRule rule{.home_tokens = 1024, .spread_tokens = {2048, 8192}};
  const auto at = [&rule](std::size_t blocks) { return RouteBlocksOf(rule, blocks, 64); };
  EXPECT_EQ(at(0).home, 0U) << "not even a block";
  EXPECT_EQ(at(15).home, 1U);
  EXPECT_EQ(at(15).spread, 1U);
  EXPECT_EQ(at(16).home, 16U);
  EXPECT_EQ(at(16).spread, 16U);
  EXPECT_EQ(at(32).spread, 32U);
  EXPECT_EQ(at(127).spread, 32U);
  EXPECT_EQ(at(5000).home, 16U);
  EXPECT_EQ(at(5000).spread, 128U);
  EXPECT_EQ(RouteBlocksOf(rule, 3, 4096).home, 1U) << "a block longer than the home's name";
}

TEST(BetterTest, ResidencyCountsWhereItIsWorthEnough) {
  const RoutingRule rule{.worth = 0.5, .cheap_tokens = 0, .load_margin_permille = 20};
  EXPECT_EQ(Better(rule, 1000, {Says(0, 0), Says(900, 5000)}), 1U);
  EXPECT_EQ(Better(rule, 1000, {Says(900, 5000), Says(0, 0)}), 0U);
  EXPECT_EQ(Better(rule, 1000, {Says(900, 5000), Says(800, 0)}), 1U) << "100 tokens more to do";
  EXPECT_EQ(Better(rule, 1000, {Says(900, 110), Says(800, 100)}), 0U) << "about as loaded";
}

// A system prompt that all requests begin with would hold them all where it is; it is short enough
// to be computed again elsewhere, once.
TEST(BetterTest, ALittleIsGivenUpForAMuchLighterDaemon) {
  const RoutingRule rule{.worth = 0.5, .cheap_tokens = 6000, .overload_permille = 500};
  EXPECT_EQ(Better(rule, 6100, {Says(6000, 1500), Says(0, 100)}), 1U);
  EXPECT_EQ(Better(rule, 6100, {Says(6000, 400), Says(0, 100)}), 0U) << "not so much lighter";
  EXPECT_EQ(Better(rule, 6200, {Says(6001, 1500), Says(0, 100)}), 0U) << "more than a little";
}

TEST(BetterTest, LoadDecidesWhereNothingIsThere) {
  const RoutingRule rule{.worth = 0.5, .load_margin_permille = 20};
  EXPECT_EQ(Better(rule, 1000, {Says(0, 101), Says(0, 100)}), 1U);
  EXPECT_EQ(Better(rule, 1000, {Says(0, 100), Says(0, 101)}), 0U);
  EXPECT_EQ(Better(rule, 1000, {Says(0, 100), Says(0, 100)}), 0U);
}

TEST(BetterTest, WhoDoesNotAnswerIsNotTaken) {
  const RoutingRule rule;
  EXPECT_EQ(Better(rule, 1000, {CandidateAnswer{}, Says(0, 9000)}), 1U);
  EXPECT_EQ(Better(rule, 1000, {Says(0, 9000), CandidateAnswer{}}), 0U);
}

TEST(AskAloneTest, WhereNothingTheOtherMayHaveWouldCount) {
  const RoutingRule rule{
      .worth = 0.5, .cheap_tokens = 6000, .overload_permille = 500, .load_margin_permille = 300};
  EXPECT_TRUE(AskAlone(rule, 10'000, {.tokens = 9'000}));
  EXPECT_TRUE(AskAlone(rule, 10'000, {.tokens = 9'000, .load_permille = 2'000}));
  EXPECT_FALSE(AskAlone(rule, 7'000, {.tokens = 6'000, .load_permille = 600}))
      << "cheap enough to be computed again on a daemon that is much lighter";
  EXPECT_TRUE(AskAlone(rule, 7'000, {.tokens = 6'000, .load_permille = 499}));
  EXPECT_FALSE(AskAlone(rule, 10'000, {.tokens = 4'000, .load_permille = 400}));
  EXPECT_TRUE(
      AskAlone(rule, 10'000, {.tokens = 4'000, .load_permille = 400, .other_load_permille = 200}));
}

TEST(SufficesTest, WhatItHasMustBeWhatItHadAndAllThatItKnowsOf) {
  const RoutingRule rule{.unserved_tokens = 100};
  const RememberedHolder holder{.tokens = 6'400};
  const auto suffices = [&](std::uint32_t resume, std::uint32_t overlap) {
    return Suffices(rule, holder, 64,
                    {.answered = true, .resume_tokens = resume, .overlap_tokens = overlap});
  };
  EXPECT_TRUE(suffices(6'400, 6'400));
  EXPECT_TRUE(suffices(6'390, 6'400)) << "a boundary within the last block";
  EXPECT_TRUE(suffices(9'000, 9'100)) << "others went on with it there";
  EXPECT_FALSE(suffices(6'336, 6'400)) << "evicted";
  EXPECT_FALSE(suffices(0, 0));
  EXPECT_FALSE(suffices(6'400, 6'501)) << "somebody stored what follows, perhaps elsewhere";
  EXPECT_FALSE(Suffices(rule, holder, 64, {})) << "no answer";
}

}  // namespace
}  // namespace cairn
