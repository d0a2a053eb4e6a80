// What comes to the GPU, what makes room for it, and who may read: bookkeeping alone, no device.
#include "libcache/cache/gpu_tier.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "libcache/base/bytes.h"

namespace cairn {
namespace {

using Next = GpuTier::Plan::Next;

class GpuTierTest : public ::testing::Test {
 protected:
  void Open(std::uint64_t capacity_bytes, std::uint64_t extent_bytes) {
    GpuTier::Config config;
    config.capacity_bytes = capacity_bytes;
    config.extent_bytes = extent_bytes;
    config.granularity_bytes = 64 * kKiB;
    config.clock = &clock_;
    config.worth = [this](NodeId unit) { return worth_[unit]; };
    tier_ = std::make_unique<GpuTier>(config);
  }
  static GpuTier::Source State(ObjectId id, std::uint64_t bytes = 64 * kKiB) {
    return {.id = id, .kind = ObjectKind::kCheckpoint, .bytes = bytes};
  }
  static GpuTier::Source Kv(ObjectId id, std::uint64_t bytes = 32 * kKiB) {
    return {.id = id, .kind = ObjectKind::kKv, .bytes = bytes};
  }
  GpuTier::Plan Reserve(NodeId unit, const std::vector<GpuTier::Source>& objects,
                        std::uint32_t domain = 0) {
    for (;;) {
      GpuTier::Plan plan = tier_->Reserve(unit, domain, objects);
      if (plan.next != Next::kGrow) {
        return plan;
      }
      grown_ += 1;
      released_.insert(released_.end(), plan.release.begin(), plan.release.end());
      EXPECT_TRUE(tier_->AddExtent(
          domain, {.id = next_region_++, .bytes = plan.extent_bytes, .handle = -1}));
      EXPECT_LE(Stats().extent_bytes, Stats().capacity_bytes);
    }
  }
  bool Bring(NodeId unit, double worth, const std::vector<GpuTier::Source>& objects,
             std::uint32_t domain = 0) {
    worth_[unit] = worth;
    if (Reserve(unit, objects, domain).next != Next::kUpload) {
      return false;
    }
    tier_->Finish(true);
    clock_.Advance(std::chrono::seconds(2));
    return true;
  }
  [[nodiscard]] GpuStats Stats() const {
    GpuStats stats;
    tier_->AddTo(stats);
    return stats;
  }

  ManualClock clock_;
  std::map<NodeId, double> worth_;
  std::unique_ptr<GpuTier> tier_;
  std::uint32_t next_region_ = 1;
  int grown_ = 0;
  std::vector<std::uint32_t> released_;
};

TEST_F(GpuTierTest, WhatWasServedTwiceIsACandidateOnce) {
  Open(kMiB, 0);
  EXPECT_FALSE(tier_->Offer(7));
  EXPECT_FALSE(tier_->NextCandidate().has_value());
  EXPECT_TRUE(tier_->Offer(7));
  EXPECT_FALSE(tier_->Offer(7)) << "it waits already";
  EXPECT_EQ(tier_->NextCandidate(), 7U);
  EXPECT_FALSE(tier_->NextCandidate().has_value());
  ASSERT_TRUE(Bring(7, 1, {State(1)}));
  EXPECT_FALSE(tier_->Offer(7) || tier_->Offer(7)) << "it is here";
}

TEST_F(GpuTierTest, MemoryOfCandidatesIsBounded) {
  Open(kMiB, 0);
  for (NodeId unit = 0; unit < 100'000; ++unit) {
    tier_->Offer(unit);
  }
  int taken = 0;
  for (NodeId unit = 0; unit < 1'000; ++unit) {
    taken += tier_->Offer(unit) || tier_->Offer(unit) ? 1 : 0;
  }
  EXPECT_EQ(taken, 64) << "the queue is short: what comes again is offered again";
}

TEST_F(GpuTierTest, StateAndKvBecomeReadableTogetherAfterTheCopy) {
  Open(kMiB, kMiB);
  const auto plan = Reserve(1, {Kv(10), Kv(11), State(12)});
  ASSERT_EQ(plan.next, Next::kUpload);
  EXPECT_EQ(plan.uploads.size(), 3U);
  for (const ObjectId id : {10U, 11U, 12U}) {
    EXPECT_FALSE(tier_->Has(id)) << "still being copied";
    EXPECT_FALSE(tier_->Hold(id).has_value());
  }
  tier_->Finish(true);
  for (const ObjectId id : {10U, 11U, 12U}) {
    EXPECT_TRUE(tier_->Has(id));
  }
  EXPECT_EQ(Stats().boundaries, 1U);
  EXPECT_EQ(Stats().use.objects[0], 2U);
  EXPECT_EQ(Stats().use.bytes[1], 64 * kKiB);
  EXPECT_EQ(Stats().promoted_bytes, 128 * kKiB);
}

TEST_F(GpuTierTest, AFailedCopyLeavesNothing) {
  Open(kMiB, kMiB);
  ASSERT_EQ(Reserve(1, {Kv(10), State(12)}).next, Next::kUpload);
  tier_->Finish(false);
  EXPECT_FALSE(tier_->Has(10) || tier_->Has(12));
  EXPECT_EQ(Stats().used_bytes, 0U);
  EXPECT_EQ(Stats().failed_copies, 1U);
  tier_->Offer(1);
  EXPECT_FALSE(tier_->Offer(1)) << "not again at once";
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_TRUE(tier_->Offer(1));
}

TEST_F(GpuTierTest, BoundariesOfOnePathShareItsKv) {
  Open(kMiB, kMiB);
  ASSERT_TRUE(Bring(1, 1, {Kv(10), State(20)}));
  const auto plan = Reserve(2, {Kv(10), Kv(11), State(21)});
  EXPECT_EQ(plan.uploads.size(), 2U);
  tier_->Finish(true);
  tier_->Forget(20);
  EXPECT_TRUE(tier_->Has(10)) << "the other boundary needs it";
  tier_->Forget(21);
  EXPECT_FALSE(tier_->Has(10) || tier_->Has(11));
  EXPECT_EQ(Stats().used_bytes, 0U);
  EXPECT_EQ(Stats().evictions, 2U);
}

TEST_F(GpuTierTest, LosingKvTakesAllBoundariesBehindIt) {
  Open(kMiB, kMiB);
  ASSERT_TRUE(Bring(1, 1, {Kv(10), State(20)}));
  ASSERT_TRUE(Bring(2, 1, {Kv(10), Kv(11), State(21)}));
  ASSERT_TRUE(Bring(3, 1, {Kv(15), State(22)}));
  tier_->Forget(10);
  EXPECT_EQ(Stats().boundaries, 1U);
  EXPECT_TRUE(tier_->Has(15) && tier_->Has(22));
  EXPECT_FALSE(tier_->Has(20) || tier_->Has(21) || tier_->Has(11));
  tier_->Forget(10);
  tier_->Forget(999);
}

TEST_F(GpuTierTest, TheLeastWorthMakesRoomAndOnlyForWhatIsClearlyWorthMore) {
  Open(192 * kKiB, 192 * kKiB);
  ASSERT_TRUE(Bring(1, 3.0, {State(1)}));
  ASSERT_TRUE(Bring(2, 1.0, {State(2)}));
  ASSERT_TRUE(Bring(3, 2.0, {State(3)}));
  EXPECT_FALSE(Bring(4, 0.9, {State(4)})) << "worth less than all";
  EXPECT_FALSE(Bring(5, 1.2, {State(5)})) << "worth more, but not clearly";
  EXPECT_EQ(Stats().refused, 2U);
  EXPECT_EQ(Stats().evictions, 0U);
  EXPECT_TRUE(Bring(6, 1.3, {State(6)}));
  EXPECT_FALSE(tier_->Has(2));
  EXPECT_TRUE(tier_->Has(1) && tier_->Has(3) && tier_->Has(6));
  EXPECT_TRUE(Bring(7, 10, {State(7), Kv(8)})) << "two of the least";
  EXPECT_TRUE(tier_->Has(1) && tier_->Has(7) && tier_->Has(8));
  EXPECT_FALSE(tier_->Has(6) || tier_->Has(3));
}

TEST_F(GpuTierTest, NobodyGoesInVain) {
  Open(192 * kKiB, 192 * kKiB);
  ASSERT_TRUE(Bring(1, 1.0, {State(1)}));
  ASSERT_TRUE(Bring(2, 9.0, {State(2, 128 * kKiB)}));
  EXPECT_FALSE(Bring(3, 5.0, {State(3, 128 * kKiB)})) << "the cheap one alone would not do";
  EXPECT_TRUE(tier_->Has(1) && tier_->Has(2));
}

TEST_F(GpuTierTest, TwoOfEqualWorthDoNotChaseEachOther) {
  Open(64 * kKiB, 64 * kKiB);
  ASSERT_TRUE(Bring(1, 1.0, {State(1)}));
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(Bring(2, 1.0 + 0.004 * i, {State(2)}));
  }
  EXPECT_EQ(Stats().evictions, 0U);
  EXPECT_EQ(Stats().promotions, 1U);
}

TEST_F(GpuTierTest, ANewcomerStaysForAWhile) {
  Open(64 * kKiB, 64 * kKiB);
  worth_ = {{1, 1.0}, {2, 100.0}};
  ASSERT_EQ(Reserve(1, {State(1)}).next, Next::kUpload);
  tier_->Finish(true);
  EXPECT_EQ(Reserve(2, {State(2)}).next, Next::kRefuse);
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(Reserve(2, {State(2)}).next, Next::kUpload);
  tier_->Finish(true);
  EXPECT_FALSE(tier_->Has(1));
}

TEST_F(GpuTierTest, WhatIsSharedDoesNotGoForTheNewcomerThatNeedsIt) {
  Open(128 * kKiB, 128 * kKiB);
  ASSERT_TRUE(Bring(1, 1.0, {Kv(10), State(20)}));  // 96 KiB.
  EXPECT_TRUE(Bring(2, 9.0, {Kv(10), State(21)})) << "the old state goes, the KV stays";
  EXPECT_TRUE(tier_->Has(10) && tier_->Has(21));
  EXPECT_FALSE(tier_->Has(20));
}

TEST_F(GpuTierTest, WhatIsReadStaysAndIsNotReplaced) {
  Open(64 * kKiB, 64 * kKiB);
  ASSERT_TRUE(Bring(1, 1.0, {State(1)}));
  const auto place = tier_->Hold(1);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->generation % 2, 0U);
  EXPECT_FALSE(Bring(2, 100, {State(2)}));
  // Host memory may lose it for other reasons: then readers are told, and the memory waits for
  // them.
  tier_->Forget(1);
  EXPECT_FALSE(tier_->Has(1));
  EXPECT_EQ(Stats().used_bytes, 64 * kKiB);
  EXPECT_EQ(Stats().readers, 1U);
  EXPECT_FALSE(Bring(2, 100, {State(2)})) << "the reader may still copy from there";
  tier_->Release(*place);
  EXPECT_EQ(Stats().used_bytes, 0U);
  EXPECT_EQ(Stats().readers, 0U);
  EXPECT_TRUE(Bring(2, 100, {State(2)}));
}

TEST_F(GpuTierTest, EachTenantHasExtentsOfItsOwn) {
  Open(256 * kKiB, 128 * kKiB);
  ASSERT_TRUE(Bring(1, 1, {State(1)}, 0));
  ASSERT_TRUE(Bring(2, 1, {State(2)}, 1));
  EXPECT_EQ(grown_, 2);
  const auto first = tier_->Hold(1);
  const auto second = tier_->Hold(2);
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->extent, second->extent);
  EXPECT_TRUE(tier_->Attach(5, 0, first->extent));
  const auto denied = tier_->Attach(5, 0, second->extent);
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(tier_->Attach(5, 0, 77).error().code, ErrorCode::kNotFound);
  // The cap is divided: a third tenant finds nothing, and takes nothing from the others.
  EXPECT_FALSE(Bring(3, 100, {State(3)}, 2));
  EXPECT_TRUE(tier_->Has(1) && tier_->Has(2));
  tier_->Release(*first);
  tier_->Release(*second);
}

TEST_F(GpuTierTest, AnExtentGoesBackOnceItIsEmptyAndNobodyMapsIt) {
  Open(256 * kKiB, 256 * kKiB);
  ASSERT_TRUE(Bring(1, 1, {State(1)}, 0));
  ASSERT_TRUE(tier_->Attach(5, 0, 1));
  tier_->Forget(1);
  EXPECT_FALSE(Bring(2, 1, {State(2)}, 1)) << "a session has it mapped";
  EXPECT_TRUE(released_.empty());
  tier_->EndSession(5);
  EXPECT_TRUE(Bring(2, 1, {State(2)}, 1));
  EXPECT_EQ(released_, std::vector<std::uint32_t>{1});
  EXPECT_EQ(Stats().extent_bytes, 256 * kKiB);
}

TEST_F(GpuTierTest, ALargeObjectGetsALargeExtent) {
  Open(kMiB, 64 * kKiB);
  EXPECT_TRUE(Bring(1, 1, {State(1, 500 * kKiB)}));
  EXPECT_FALSE(Bring(2, 1, {State(2, 2 * kMiB)})) << "larger than the cap";
  EXPECT_FALSE(Bring(3, 1, {State(3, 600 * kKiB)})) << "no room beside the first";
  EXPECT_TRUE(Bring(4, 1, {State(4, 500 * kKiB)}));
  EXPECT_LE(Stats().extent_bytes, kMiB);
}

TEST_F(GpuTierTest, AFullDeviceIsAskedAgainLater) {
  Open(kMiB, 128 * kKiB);
  const std::vector<GpuTier::Source> objects = {State(1)};
  worth_[1] = 1;
  ASSERT_EQ(tier_->Reserve(1, 0, objects).next, Next::kGrow);
  tier_->NoMoreExtents();
  EXPECT_EQ(tier_->Reserve(1, 0, objects).next, Next::kRefuse);
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_EQ(tier_->Reserve(1, 0, objects).next, Next::kGrow);
}

TEST_F(GpuTierTest, AfterALossNothingIsHereAndNothingComes) {
  Open(kMiB, kMiB);
  ASSERT_TRUE(Bring(1, 1, {Kv(10), State(20)}));
  const auto place = tier_->Hold(20);
  ASSERT_TRUE(place.has_value());
  const auto grant = tier_->Attach(5, 0, place->extent);
  ASSERT_TRUE(grant);
  ASSERT_EQ(Reserve(2, {State(30)}).next, Next::kUpload);
  tier_->Lose("it fell off the bus");
  tier_->Finish(false);
  EXPECT_FALSE(tier_->Has(10) || tier_->Has(20));
  EXPECT_FALSE(tier_->Hold(20).has_value());
  tier_->Release(*place);
  tier_->EndSession(5);
  EXPECT_EQ(tier_->Attach(5, 0, place->extent).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(tier_->Offer(3) || tier_->Offer(3));
  EXPECT_EQ(Reserve(4, {State(4)}).next, Next::kRefuse);
  tier_->Lose("again");
  EXPECT_EQ(Stats().state, "lost: it fell off the bus");
  EXPECT_EQ(Stats().losses, 1U);
  EXPECT_EQ(Stats().readers, 0U);
  EXPECT_EQ(Stats().extent_bytes, 0U);
  EXPECT_EQ(Stats().use.bytes[0] + Stats().use.bytes[1], 0U);
}

}  // namespace
}  // namespace cairn
