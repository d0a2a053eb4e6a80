#include "libcache/placement/site_tree.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(SiteTreeTest, ASplitTakesTheCheckpointsAboveIt) {
  SiteTree tree(100);
  const SiteId root = tree.AddRoot(0, 7);
  const SiteId tip = tree.AddTip(root, 100, 0);
  const CheckpointId high = tree.AddCheckpoint(tip, 30, 1);
  const CheckpointId at = tree.AddCheckpoint(tip, 60, 2);
  const CheckpointId low = tree.AddCheckpoint(tip, 100, 3);
  const SiteId upper = tree.Split(tip, 60, 1);
  EXPECT_EQ(tree.site(upper).parent, root);
  EXPECT_EQ(tree.site(tip).parent, upper);
  EXPECT_EQ(tree.site(upper).owner, 7);
  EXPECT_EQ(tree.checkpoint(high).site, upper);
  EXPECT_EQ(tree.checkpoint(at).site, upper);
  EXPECT_EQ(tree.checkpoint(low).site, tip);
  EXPECT_EQ(tree.CheckpointAt(upper, 60), at);
  EXPECT_EQ(tree.CheckpointAt(tip, 60), kNoCheckpoint);
  EXPECT_EQ(tree.PositionAbove(low), 60U);
  EXPECT_EQ(tree.EdgeTokens(tip), 40U);
  EXPECT_EQ(tree.KindOf(tip), SiteKind::kTip);
  EXPECT_EQ(tree.KindOf(upper), SiteKind::kTurn);
  tree.AddTip(upper, 70, 1);
  EXPECT_EQ(tree.KindOf(upper), SiteKind::kJunction);
  EXPECT_EQ(tree.NeededAbove(low), 60U);
  EXPECT_EQ(tree.NeededAbove(at), 60U);
}

TEST(SiteTreeTest, TheLeafThatIsUnusedForLongestIsForgottenAndItsMassStays) {
  SiteTree tree(4);
  const SiteId root = tree.AddRoot(0, 0);
  const SiteId first = tree.AddTip(root, 10, 1);
  const SiteId second = tree.AddTip(root, 10, 2);
  const SiteId third = tree.AddTip(root, 10, 3);
  const SiteRef ref = tree.RefOf(second);
  tree.site(second).mass = 2.5;
  tree.Touch(first);
  const SiteId fourth = tree.AddTip(third, 20, 4);
  ASSERT_NE(fourth, kNoSite);
  EXPECT_FALSE(tree.Valid(ref));
  EXPECT_EQ(tree.site(root).mass, 2.5);
  EXPECT_TRUE(tree.Valid(tree.RefOf(first)));
  EXPECT_EQ(tree.sites(), 4U);
}

// What was counted long ago is worth less, whoever counted it.
TEST(SiteTreeTest, MassOfDifferentTimesIsAddedAtOneTime) {
  SiteTree tree(3, 10);
  const SiteId root = tree.AddRoot(0, 0);
  const SiteId above = tree.AddTip(root, 10, 0);
  const SiteId below = tree.AddTip(above, 20, 0);
  tree.AddMass(above, 8, 0);
  tree.AddMass(below, 4, 20);
  EXPECT_EQ(tree.MassAt(below, 30), 2);
  ASSERT_NE(tree.AddTip(above, 30, 40), kNoSite) << "in the place of the one below";
  EXPECT_EQ(tree.MassAt(above, 20), 2.0 + 4.0);
  EXPECT_EQ(tree.MassAt(above, 30), 1.0 + 2.0);
  tree.AddMass(above, 4, 10);  // An old count that comes late.
  EXPECT_EQ(tree.MassAt(above, 30), 1.0 + 2.0 + 1.0);
}

TEST(SiteTreeTest, WithNothingToForgetThereIsNoNewPlace) {
  SiteTree tree(3);
  const SiteId root = tree.AddRoot(0, 0);
  const SiteId first = tree.AddTip(root, 10, 1);
  const SiteId second = tree.AddTip(root, 10, 1);
  tree.AddCheckpoint(first, 5, 0);
  const CheckpointId kept = tree.AddCheckpoint(second, 10, 0);
  EXPECT_EQ(tree.AddTip(root, 20, 2), kNoSite);
  EXPECT_EQ(tree.Split(first, 5, 2), kNoSite);
  EXPECT_EQ(tree.sites(), 3U);
  tree.RemoveCheckpoint(kept);
  EXPECT_EQ(tree.AddTip(root, 20, 2), second) << "its number, another generation";
}

TEST(SiteTreeTest, MemoryIsWhatIsPromised) {
  SiteTree tree(1U << 15U);
  const SiteId root = tree.AddRoot(0, 0);
  for (std::uint32_t i = 0; i < 40'000; ++i) {
    const SiteId tip = tree.AddTip(root, 1 + i, i);
    if (i < 20'000) {
      tree.RemoveCheckpoint(tree.AddCheckpoint(tip, 1, 0));
    }
  }
  EXPECT_EQ(tree.sites(), 1U << 15U);
  // Its vectors have grown to a power of two; 4 bytes for the one place that is free at a time.
  EXPECT_LE(tree.memory_bytes(), (1ULL << 15U) * 112 + 1000);
}

// Positions are what engines say, up to the end of what can be counted.
TEST(SiteTreeTest, PlacesAtTheEndOfAllNumbers) {
  SiteTree tree(16);
  const SiteId root = tree.AddRoot(0, 0);
  const SiteId tip = tree.AddTip(root, UINT32_MAX, 0);
  const CheckpointId deep = tree.AddCheckpoint(tip, UINT32_MAX, 0);
  const CheckpointId middle = tree.AddCheckpoint(tip, 1U << 31U, 0);
  const CheckpointId first = tree.AddCheckpoint(tip, 1, 0);
  EXPECT_EQ(tree.PositionAbove(deep), 1U << 31U);
  EXPECT_EQ(tree.PositionAbove(middle), 1U);
  EXPECT_EQ(tree.PositionAbove(first), 0U);
}

TEST(SiteTreeTest, SortedByUseTheLongestUnusedIsForgottenFirst) {
  SiteTree tree(4);
  const SiteId root = tree.AddRoot(0, 0);
  const SiteId late = tree.AddTip(root, 10, 300);
  const SiteId early = tree.AddTip(root, 20, 100);
  tree.SortByUse();
  static_cast<void>(tree.AddTip(root, 30, 400));
  static_cast<void>(tree.AddTip(root, 40, 500));
  EXPECT_TRUE(tree.site(late).live);
  EXPECT_EQ(tree.site(early).position, 40U) << "its number went to the newest";
}

}  // namespace
}  // namespace cairn
