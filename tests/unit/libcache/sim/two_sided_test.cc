#include "libcache/sim/two_sided.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <random>

namespace cairn::sim {
namespace {

TEST(TwoSidedTest, NothingIsPlacedBeforeAnOverlap) {
  const TwoSidedPlacement placement(4);
  EXPECT_TRUE(placement.Positions(1000).empty());
}

TEST(TwoSidedTest, EndsAreFoundFromTheEndAndPrefixesFromTheFront) {
  TwoSidedPlacement sessions(1);
  TwoSidedPlacement prompts(1);
  for (std::uint32_t i = 1; i <= 100; ++i) {
    sessions.Observe(10 * i - 1, 10 * i);  // One block before the end of what was stored.
    prompts.Observe(40, 40 + 7 * i);
  }
  EXPECT_EQ(sessions.Positions(500), (std::vector<std::uint32_t>{499}));
  EXPECT_EQ(sessions.Positions(1), std::vector<std::uint32_t>{}) << "before the prompt's start";
  EXPECT_EQ(prompts.Positions(500), (std::vector<std::uint32_t>{40}));
  EXPECT_EQ(prompts.Positions(39), std::vector<std::uint32_t>{});
}

TEST(TwoSidedTest, BothSidesShareTheNumber) {
  TwoSidedPlacement placement(2);
  for (std::uint32_t i = 1; i <= 200; ++i) {
    // Two of three share a prefix of 400 and end far behind it, the third go on where one ended.
    const std::uint32_t stored = 420 + 37 * i % 580;
    i % 3 == 0 ? placement.Observe(stored - 2, stored) : placement.Observe(400, 5000 + 10 * i);
  }
  EXPECT_EQ(placement.Positions(900), (std::vector<std::uint32_t>{400, 898}));
}

TEST(TwoSidedTest, WhatNothingNeedsIsNotPlaced) {
  TwoSidedPlacement placement(8);
  for (int i = 0; i < 60; ++i) {
    placement.Observe(25, 50);
  }
  EXPECT_EQ(placement.Positions(50), (std::vector<std::uint32_t>{25}));
}

TEST(TwoSidedTest, OldOverlapsAreForgotten) {
  TwoSidedPlacement placement(1);
  for (std::uint32_t i = 0; i < 500; ++i) {
    placement.Observe(40, 100 + i);
  }
  for (std::uint32_t i = 0; i < 500; ++i) {
    placement.Observe(70, 100 + i);
  }
  EXPECT_EQ(placement.Positions(400), (std::vector<std::uint32_t>{70}));
}

/// Recomputed blocks of an overlap, where `ahead` and `behind` may hold useless positions.
double Cost(std::uint32_t overlap, std::uint32_t stored, const std::vector<std::uint32_t>& ahead,
            const std::vector<std::uint32_t>& behind) {
  std::uint32_t resume = 0;
  for (const std::uint32_t at : ahead) {
    resume = at <= overlap ? std::max(resume, at) : resume;
  }
  for (const std::uint32_t distance : behind) {
    const bool serves = distance < stored && stored - distance <= overlap;
    resume = serves ? std::max(resume, stored - distance) : resume;
  }
  return overlap - resume;
}

// Each side is the best set of its size for its histogram: no other set of the same size has a
// lower cost, where only that side counts and all prompts are long enough.
TEST(TwoSidedTest, EachSideEqualsExhaustiveSearch) {
  std::mt19937 engine(7);
  const auto random = [&engine] { return static_cast<std::uint32_t>(engine()); };
  constexpr std::uint32_t kDepths = 8;
  constexpr int kObserved = 32;  // A power of two: the last one makes a plan.
  for (int round = 0; round < 200; ++round) {
    const std::uint32_t most = 1 + random() % 3;
    const bool from_end = random() % 2 == 0;
    TwoSidedPlacement placement(most);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> seen;
    for (int i = 0; i < kObserved; ++i) {
      const std::uint32_t place = random() % kDepths;
      // Far apart on the other axis, so that positions there serve one of them each.
      const std::uint32_t far = 1000 * static_cast<std::uint32_t>(1 + i);
      seen.emplace_back(from_end ? far : 1 + place, from_end ? far + place : far);
      placement.Observe(seen.back().first, seen.back().second);
    }
    const auto cost = [&](const std::vector<std::uint32_t>& ahead,
                          const std::vector<std::uint32_t>& behind) {
      double sum = 0;
      double weight = 1;
      for (auto s = seen.rbegin(); s != seen.rend(); ++s, weight *= 0.99) {
        sum += weight * Cost(s->first, s->second, ahead, behind);
      }
      return sum;
    };
    double least = std::numeric_limits<double>::infinity();
    for (std::uint32_t set = 0; set < (1U << kDepths); ++set) {
      if (std::popcount(set) > static_cast<int>(most)) {
        continue;
      }
      std::vector<std::uint32_t> places;
      for (std::uint32_t place = 0; place < kDepths; ++place) {
        if ((set >> place & 1U) != 0) {
          places.push_back(from_end ? place : 1 + place);
        }
      }
      least = std::min(least, from_end ? cost({}, places) : cost(places, {}));
    }
    const double found = cost(placement.from_front(), placement.from_end());
    EXPECT_LE(found, least * (1 + 1e-9)) << "round " << round;
    EXPECT_LE(placement.from_front().size() + placement.from_end().size(), most);
  }
}

}  // namespace
}  // namespace cairn::sim
