#include "libcache/placement/learned_placement.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

constexpr LearnedPlacement::Owner kOwner{.tenant = 1,
                                         .checkpoint_bytes = 100'000'000,
                                         .kv_bytes_per_token = 50'000,
                                         .grain_tokens = 64,
                                         .cost = {.per_token_s = 1e-4, .per_pair_s = 0}};

/// A request that goes on for `more` tokens where `edge` ends.
LearnedPlacement::Request After(const LearnedPlacement& placement, SiteRef root, SiteRef edge,
                                std::uint32_t more, double now_s) {
  LearnedPlacement::Request request;
  request.now_s = now_s;
  request.root = root;
  request.edge = edge;
  request.overlap = placement.tree().site(edge.id).position;
  request.end = request.overlap + more;
  return request;
}

double BytesOf(const std::vector<LearnedPlacement::Planned>& plan, std::uint32_t resume) {
  return plan.empty()
             ? 0
             : static_cast<double>(plan.size()) * 1e8 + 5e4 * (plan.back().position - resume);
}

TEST(LearnedPlacementTest, WhereNothingReturnsNothingIsWritten) {
  LearnedPlacement placement({});
  const SiteRef root = placement.AddOwner(kOwner, 0);
  double planned = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto request = After(placement, root, root, 6400, 100.0 * i);
    const auto places = placement.Observe(request);
    planned += BytesOf(placement.Plan(request, places, 0), 0);
    if (i == 1000) {
      EXPECT_LT(planned, 0.05 * static_cast<double>(placement.shadow().written_bytes()));
    }
  }
  EXPECT_LT(planned, 0.02 * static_cast<double>(placement.shadow().written_bytes()));
}

// Conversations of ten turns: the end of each prompt is where the next one goes on.
TEST(LearnedPlacementTest, WhereSessionsGoOnTheirEndsAreWritten) {
  LearnedPlacement placement({});
  const SiteRef root = placement.AddOwner(kOwner, 0);
  double now_s = 0;
  int wanted = 0;
  int turns = 0;
  for (int session = 0; session < 200; ++session) {
    SiteRef edge = root;
    std::uint32_t resume = 0;
    for (int turn = 0; turn < 10; ++turn) {
      now_s += 10;
      auto request = After(placement, root, edge, 640, now_s);
      request.resume = resume;
      request.kv_resident = resume;
      const auto places = placement.Observe(request);
      const auto plan = placement.Plan(request, places, 0);
      if (session > 50 && turn < 9) {
        ++turns;
        wanted += !plan.empty() && plan.back().position == request.end ? 1 : 0;
      }
      for (const auto& planned : plan) {
        placement.Add(planned, 0, now_s);
        resume = planned.position;
      }
      edge = places.tip;
    }
  }
  EXPECT_GT(wanted, turns * 9 / 10) << "of " << turns;
}

// The last tokens of a turn are often written differently when it comes back: how many, does not
// depend on the blocks that positions are counted in.
TEST(LearnedPlacementTest, ATurnIsTheSameInBlocksOfAnySize) {
  for (const std::uint32_t grain : {16U, 64U, 512U}) {
    LearnedPlacement placement({});
    LearnedPlacement::Owner owner = kOwner;
    owner.grain_tokens = grain;
    const SiteRef root = placement.AddOwner(owner, 0);
    const auto turns_after = [&](std::uint32_t back) {
      const SiteRef first = placement.Observe(After(placement, root, root, 10'240, 1)).tip;
      LearnedPlacement::Request next = After(placement, root, first, 0, 2);
      next.overlap -= back;
      next.end = 20'480;
      return placement.tree().site(placement.Observe(next).tip.id).turns;
    };
    EXPECT_EQ(turns_after(0), 1) << grain;
    EXPECT_EQ(turns_after(512), 1) << grain;
    EXPECT_EQ(turns_after(5'120), 0) << grain;
  }
}

TEST(LearnedPlacementTest, APriceBeyondAnyUseIsNotPaid) {
  LearnedPlacement placement({});
  const SiteRef root = placement.AddOwner(kOwner, 0);
  const auto request = After(placement, root, root, 6400, 1);
  const auto places = placement.Observe(request);
  EXPECT_TRUE(placement.Plan(request, places, 1e6).empty());
}

// Of several daemons that were asked, one writes: the others' allowance must not shrink by what
// they only planned.
TEST(LearnedPlacementTest, WhatIsNotCarriedOutIsGivenBack) {
  LearnedPlacement placement({});
  const SiteRef root = placement.AddOwner(kOwner, 0);
  int planned = 0;
  for (int session = 0; session < 50; ++session) {
    SiteRef edge = root;
    for (int turn = 0; turn < 10; ++turn) {
      const auto request = After(placement, root, edge, 640, 100.0 * session + 10 * turn);
      const auto places = placement.Observe(request);
      const double before = placement.planned_bytes();
      planned += placement.Plan(request, places, 0).empty() ? 0 : 1;
      EXPECT_EQ(placement.planned_bytes() - before, placement.last_spent().bytes);
      placement.Forgo(placement.last_spent());
      ASSERT_DOUBLE_EQ(placement.planned_bytes(), before);
      edge = places.tip;
    }
  }
  EXPECT_GT(planned, 100) << "it goes on planning";
}

// A clock that stands still, or a trace whose times are all the same.
TEST(LearnedPlacementTest, RequestsOfOneMomentTakeNoMoreMemory) {
  LearnedPlacement placement({});
  const SiteRef root = placement.AddOwner(kOwner, 0);
  auto request = After(placement, root, root, 640, 1.0);
  const auto places = placement.Observe(request);
  request.edge = places.tip;
  request.overlap = 640;
  request.extends = false;
  static_cast<void>(placement.Observe(request));
  const std::uint64_t before = placement.memory_bytes();
  for (int i = 0; i < 10'000; ++i) {
    static_cast<void>(placement.Observe(request));
  }
  EXPECT_EQ(placement.memory_bytes(), before);
}

// "dense" on a long prompt. What each costs may not grow with how many stand on its edge: this took
// minutes.
TEST(LearnedPlacementTest, ManyCheckpointsOnOneEdgeComeAndGo) {
  constexpr std::uint32_t kCount = 20'000;
  LearnedPlacement placement({});
  const SiteRef root = placement.AddOwner(kOwner, 0);
  const SiteRef tip = placement.Observe(After(placement, root, root, 64 * kCount, 1)).tip;
  for (std::uint32_t i = 1; i <= kCount; ++i) {
    placement.Add({.site = tip.id, .position = 64 * i}, i, 1);
  }
  EXPECT_EQ(placement.tree().site(tip.id).checkpoints_below, kCount);
  for (std::uint32_t left = kCount; left > 0; --left) {
    ASSERT_EQ(placement.tree().checkpoints(), left);
    const auto victim = placement.Victim(2);
    ASSERT_TRUE(victim.has_value());
    placement.Remove(*victim);
  }
  EXPECT_EQ(placement.tree().site(tip.id).checkpoints_below, 0U);
}

TEST(LearnedPlacementTest, WhatTheTreeForgotIsIgnored) {
  LearnedPlacement placement({.max_sites = 2});
  const SiteRef root = placement.AddOwner(kOwner, 0);
  auto request = After(placement, root, root, 640, 1);
  const SiteRef first = placement.Observe(request).tip;
  const SiteRef second = placement.Observe(request).tip;
  EXPECT_FALSE(placement.tree().Valid(first));
  placement.Answered(first, 100);
  ASSERT_TRUE(placement.tree().Valid(second));
  const CheckpointId kept = placement.Add({.site = second.id, .position = 640}, 0, 2);
  // No room for another place: the request is still answered, with nothing of its own.
  const auto places = placement.Observe(request);
  EXPECT_FALSE(placement.tree().Valid(places.tip));
  EXPECT_TRUE(placement.Plan(request, places, 0).empty());
  EXPECT_EQ(placement.Victim(3), kept);
  placement.Remove(kept);
  EXPECT_EQ(placement.Victim(3), std::nullopt);
}

}  // namespace
}  // namespace cairn
