// The fake keeps the contract that the real tier keeps.
#include "libcache/tier/memory_cold_tier.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

TEST(MemoryColdTierTest, ReadsBackVerifiesAndDrops) {
  MemoryColdTier tier({.capacity_bytes = 10'000});
  const auto object = MakeObject(1, 1000);
  const auto location = tier.Write(object.record, object.bytes, 1).value();
  EXPECT_TRUE(ReadsBack(tier, location, object));
  EXPECT_EQ(tier.ReadRecord(location).value().digest, object.record.digest);
  ASSERT_TRUE(tier.Damage(location));
  std::vector<std::byte> target(1000);
  EXPECT_EQ(tier.Read(location, object.record, target).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(tier.Stats().checksum_failures, 1U);
  tier.Drop(location);
  EXPECT_EQ(tier.Read(location, object.record, target).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(tier.Stats().objects, 0U);
}

TEST(MemoryColdTierTest, EvictsTheOldestSegmentAndSaysSo) {
  MemoryColdTier tier({.capacity_bytes = 4000, .segment_bytes = 1000});
  std::set<std::uint32_t> gone;
  tier.SetGoneListener([&](auto objects) {
    for (const ColdGone& object : objects) {
      gone.insert(object.cookie);
    }
  });
  for (std::uint32_t id = 0; id < 9; ++id) {
    const auto object = MakeObject(id, 500);
    ASSERT_TRUE(tier.Write(object.record, object.bytes, id).has_value());
    EXPECT_LE(tier.Stats().live_bytes, 4000U);
  }
  EXPECT_EQ(gone, (std::set<std::uint32_t>{0, 1}));
}

TEST(MemoryColdTierTest, ACrashKeepsWhatWasFlushed) {
  MemoryColdTier tier({.capacity_bytes = 10'000});
  const auto flushed = MakeObject(1, 1000);
  const auto lost = MakeObject(2, 1000);
  const auto location = tier.Write(flushed.record, flushed.bytes, 1).value();
  ASSERT_TRUE(tier.PutNamespace({}, "tenant").has_value());
  ASSERT_TRUE(tier.Flush().has_value());
  ASSERT_TRUE(tier.Write(lost.record, lost.bytes, 2).has_value());
  const auto after = tier.Crash();
  EXPECT_EQ(RecoverAll(*after).size(), 1U);
  EXPECT_TRUE(ReadsBack(*after, location, flushed));
  EXPECT_EQ(after->Namespaces().size(), 1U);
}

TEST(MemoryColdTierTest, FailsWritesOnRequest) {
  MemoryColdTier tier({.capacity_bytes = 10'000});
  const auto object = MakeObject(1, 1000);
  tier.FailWrites(ErrorCode::kIo);
  EXPECT_EQ(tier.Write(object.record, object.bytes, 1).error().code, ErrorCode::kIo);
  EXPECT_EQ(tier.Stats().write_failures, 1U);
  tier.FailWrites(std::nullopt);
  EXPECT_TRUE(tier.Write(object.record, object.bytes, 1).has_value());
}

}  // namespace
}  // namespace cairn
