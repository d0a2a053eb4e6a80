#include "libcache/placement/distance_model.h"

#include <gtest/gtest.h>

#include <limits>

namespace cairn {
namespace {

constexpr SiteKind kTip = SiteKind::kTip;

TEST(DistanceModelTest, WithoutHistoryOverlapsAreExpectedAtThePlace) {
  const DistanceModel model;
  EXPECT_GT(model.ShareWithin(kTip, 1, 0, 10'000, 1), 0.8);
  EXPECT_LT(model.ShareWithin(kTip, 1, 0, 10'000, 1), 1.0);
  EXPECT_EQ(model.ShareWithin(kTip, 1, 10'000, 10'000, 1), 1.0);
  EXPECT_EQ(model.ShareWithin(kTip, 1, 0, 0, 1), 1.0) << "a place without an edge";
}

// Questions about a document: they differ in the last twenty tokens.
TEST(DistanceModelTest, LearnsWhereOverlapsEnd) {
  DistanceModel model;
  for (int i = 0; i < 300; ++i) {
    model.Observe(kTip, 1, 20);
  }
  EXPECT_LT(model.ShareWithin(kTip, 1, 0, 5000, 1), 0.03);
  EXPECT_LT(model.ShareWithin(kTip, 1, 15, 5000, 1), 0.03);
  EXPECT_GT(model.ShareWithin(kTip, 1, 31, 5000, 1), 0.97) << "the bin is [16, 32)";
  EXPECT_GT(model.ShareWithin(SiteKind::kJunction, 1, 0, 5000, 1), 0.8) << "kinds are apart";
}

TEST(DistanceModelTest, DistancesBeyondTheEdgeDoNotCountOnIt) {
  DistanceModel model;
  for (int i = 0; i < 300; ++i) {
    model.Observe(kTip, 1, i % 2 == 0 ? 0 : 5000);
  }
  EXPECT_NEAR(model.ShareWithin(kTip, 1, 0, 100'000, 1), 0.5, 0.03);
  EXPECT_GT(model.ShareWithin(kTip, 1, 0, 1000, 1), 0.95);
}

TEST(DistanceModelTest, AThinTenantTakesAfterAllTenants) {
  DistanceModel model;
  for (int i = 0; i < 500; ++i) {
    model.Observe(kTip, static_cast<std::uint8_t>(1 + i % 5), 100);
  }
  const double common = model.ShareWithin(kTip, 9, 0, 5000, 1);
  EXPECT_LT(common, 0.05);
  model.Observe(kTip, 9, 0);
  EXPECT_LT(model.ShareWithin(kTip, 9, 0, 5000, 1), 0.2) << "one overlap is not a habit";
  for (int i = 0; i < 200; ++i) {
    model.Observe(kTip, 9, 0);
  }
  EXPECT_GT(model.ShareWithin(kTip, 9, 0, 5000, 1), 0.9);
  EXPECT_LT(model.ShareWithin(kTip, 1, 0, 5000, 1), 0.05);
}

// With blocks of 64 tokens the distances are 0, 64, 128, ...; nothing lies between.
TEST(DistanceModelTest, OnAGrainOnlyItsMultiplesCount) {
  DistanceModel model;
  for (int i = 0; i < 300; ++i) {
    model.Observe(kTip, 1, 64 * (1 + static_cast<std::uint32_t>(i) % 3));
  }
  const double at_64 = model.ShareWithin(kTip, 1, 64, 4096, 64);
  const double at_128 = model.ShareWithin(kTip, 1, 128, 4096, 64);
  const double at_192 = model.ShareWithin(kTip, 1, 192, 4096, 64);
  EXPECT_LT(model.ShareWithin(kTip, 1, 0, 4096, 64), 0.03);
  EXPECT_NEAR(at_64, 1.0 / 3, 0.03);
  EXPECT_NEAR(at_128, 2.0 / 3, 0.03) << "128 and 192 share a bin, in equal parts";
  EXPECT_NEAR(at_192, 1.0, 0.03);
  EXPECT_EQ(model.ShareWithin(kTip, 1, 64, 4096, 0), model.ShareWithin(kTip, 1, 64, 4096, 1));
}

TEST(DistanceModelTest, TheExtremesOfThe32BitsAreHarmless) {
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
  DistanceModel model;
  model.Observe(SiteKind::kJunction, 255, kMost);
  for (const std::uint32_t grain : {0U, 1U, 64U, kMost}) {
    for (const std::uint32_t distance : {0U, 1U, kMost - 1, kMost}) {
      const double share = model.ShareWithin(SiteKind::kJunction, 255, distance, kMost, grain);
      EXPECT_GE(share, 0.0);
      EXPECT_LE(share, 1.0);
    }
  }
}

TEST(DistanceModelTest, MergingIsHavingSeenBoth) {
  DistanceModel left;
  DistanceModel right;
  DistanceModel both;
  for (std::uint32_t i = 0; i < 200; ++i) {
    left.Observe(kTip, 1, i % 40);
    both.Observe(kTip, 1, i % 40);
    right.Observe(kTip, 2, i);
    both.Observe(kTip, 2, i);
  }
  left.Merge(right);
  EXPECT_EQ(left.Snapshot(), both.Snapshot());
  for (int i = 0; i < 20; ++i) {
    left.Merge(both);  // Beyond what is remembered.
  }
  DistanceModel copy;
  EXPECT_TRUE(copy.Restore(left.Snapshot()).has_value());
}

TEST(DistanceModelTest, SnapshotsComeBackAndDamagedOnesAreRefused) {
  DistanceModel model;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    model.Observe(kTip, static_cast<std::uint8_t>(i % 3), i);
  }
  const std::vector<double> snapshot = model.Snapshot();
  DistanceModel copy;
  ASSERT_TRUE(copy.Restore(snapshot).has_value());
  EXPECT_EQ(copy.Snapshot(), snapshot);
  const auto refused = [&](const std::vector<double>& damaged) {
    const Status status = copy.Restore(damaged);
    return !status.has_value() && status.error().code == ErrorCode::kCorrupt &&
           copy.Snapshot() == snapshot;
  };
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused(std::vector<double>(snapshot.begin(), snapshot.end() - 1)));
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), -1.0, infinity, -infinity,
                           DistanceModel::kMemory + 1}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1}, snapshot.size() - 1}) {
      std::vector<double> damaged = snapshot;
      damaged[at] = bad;
      EXPECT_TRUE(refused(damaged)) << bad << " at " << at;
    }
  }
}

TEST(DistanceModelTest, AnotherVersionIsNoDamage) {
  DistanceModel model;
  const std::vector<double> before = model.Snapshot();
  std::vector<double> other = before;
  other[0] += 1;
  other.resize(7);
  EXPECT_EQ(model.Restore(other).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(model.Snapshot(), before);
}

}  // namespace
}  // namespace cairn
