// Objects go in, come back bit for bit, and survive a restart; nothing else ever comes back.
#include "libcache/tier/ssd_tier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

// Sizes around every switch: one byte, below and above the unit read past RocksDB, one chunk, and
// several with a short last one.
const std::vector<std::size_t> kSizes = {1,       100,           4096,          16 * kKiB - 1,
                                         kMiB,    kMiB - 152,    kMiB - 151,    kMiB + 1,
                                         300'007, 2 * kMiB + 17, 3 * kMiB + 300};

TEST(SsdTierTest, GivesBackWhatWasWrittenBeforeAndAfterFlushAndRestart) {
  const ScratchDirectory scratch;
  std::vector<ColdLocation> locations;
  {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    EXPECT_EQ(opened.quarantined_to, "");
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      const auto object = MakeObject(i, kSizes[i]);
      const auto location =
          opened.tier->Write(object.record, object.bytes, static_cast<std::uint32_t>(i));
      ASSERT_TRUE(location.has_value()) << ToString(location.error());
      locations.push_back(*location);
      EXPECT_TRUE(ReadsBack(*opened.tier, *location, object)) << kSizes[i] << " unflushed";
    }
    ASSERT_TRUE(opened.tier->Flush().has_value());
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      EXPECT_TRUE(ReadsBack(*opened.tier, locations[i], MakeObject(i, kSizes[i]))) << kSizes[i];
    }
  }
  const auto opened = MustOpen(SmallConfig(scratch.path()));
  EXPECT_EQ(RecoverAll(*opened.tier).size(), kSizes.size());
  for (std::size_t i = 0; i < kSizes.size(); ++i) {
    const auto object = MakeObject(i, kSizes[i]);
    EXPECT_TRUE(ReadsBack(*opened.tier, locations[i], object)) << kSizes[i] << " after restart";
    EXPECT_EQ(opened.tier->ReadRecord(locations[i]).value().digest, object.record.digest);
  }
  EXPECT_EQ(opened.tier->Stats().lost_epochs, 0U);
  EXPECT_EQ(opened.tier->Stats().checksum_failures, 0U);
  EXPECT_EQ(opened.tier->Stats().objects, kSizes.size());
}

TEST(SsdTierTest, WithoutDirectIoAndWithoutReadThreadsItIsTheSame) {
  const ScratchDirectory scratch;
  auto config = SmallConfig(scratch.path());
  config.direct_io = false;
  config.read_threads = 0;
  const auto opened = MustOpen(config);
  for (std::size_t i = 0; i < kSizes.size(); ++i) {
    const auto object = MakeObject(i, kSizes[i]);
    const auto location = opened.tier->Write(object.record, object.bytes, 0);
    ASSERT_TRUE(opened.tier->Flush().has_value());
    EXPECT_TRUE(ReadsBack(*opened.tier, location.value(), object)) << kSizes[i];
  }
}

TEST(SsdTierTest, ANewRunWritesWhereTheOldOneDidNot) {
  const ScratchDirectory scratch;
  std::map<std::uint64_t, ColdLocation> locations;
  for (std::uint64_t run = 0; run < 4; ++run) {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    EXPECT_EQ(RecoverAll(*opened.tier).size(), run);
    const auto object = MakeObject(run, 70'000);
    locations[run] = opened.tier->Write(object.record, object.bytes, 0).value();
    for (const auto& [id, location] : locations) {
      EXPECT_TRUE(ReadsBack(*opened.tier, location, MakeObject(id, 70'000)));
    }
  }
}

TEST(SsdTierTest, AnotherIdentityOrDigestIsCorruptAndCounted) {
  const ScratchDirectory scratch;
  const auto opened = MustOpen(SmallConfig(scratch.path()));
  const auto object = MakeObject(1, 100'000);
  const auto location = opened.tier->Write(object.record, object.bytes, 1).value();
  ASSERT_TRUE(opened.tier->Flush().has_value());
  std::vector<std::byte> target(object.bytes.size());
  std::vector<ObjectRecord> others(5, object.record);
  others[0].key.bytes[31] ^= std::byte{1};
  others[1].parent.bytes[0] ^= std::byte{1};
  others[2].position += 1;
  others[3].digest.high += 1;
  others[4].kind = ObjectKind::kKv;
  for (const auto& other : others) {
    const auto read = opened.tier->Read(location, other, target);
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  }
  EXPECT_EQ(opened.tier->Stats().checksum_failures, others.size());
  EXPECT_TRUE(ReadsBack(*opened.tier, location, object));

  // A writer that declares a digest which its bytes do not have is found out by the first reader.
  auto liar = MakeObject(2, 100'000);
  liar.record.digest.low ^= 1;
  const auto lie = opened.tier->Write(liar.record, liar.bytes, 2).value();
  EXPECT_EQ(opened.tier->Read(lie, liar.record, target).error().code, ErrorCode::kCorrupt);
}

TEST(SsdTierTest, RefusesArgumentsThatDoNotFit) {
  const ScratchDirectory scratch;
  const auto opened = MustOpen(SmallConfig(scratch.path()));
  auto object = MakeObject(1, 1000);
  const auto location = opened.tier->Write(object.record, object.bytes, 1).value();
  std::vector<std::byte> target(999);
  EXPECT_EQ(opened.tier->Read(location, object.record, target).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(opened.tier->Write(object.record, {}, 1).error().code, ErrorCode::kInvalidArgument);
  object.record.bytes = 999;
  EXPECT_EQ(opened.tier->Write(object.record, object.bytes, 1).error().code,
            ErrorCode::kInvalidArgument);
  const auto huge = MakeObject(2, 40 * kMiB);
  EXPECT_EQ(opened.tier->Write(huge.record, huge.bytes, 1).error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(opened.tier->PutNamespace({}, std::string(kMiB, 'x')).error().code,
            ErrorCode::kInvalidArgument);
}

TEST(SsdTierTest, DroppedObjectsStayDroppedAfterARestart) {
  const ScratchDirectory scratch;
  {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    for (std::uint32_t id = 0; id < 10; ++id) {
      const auto object = MakeObject(id, 50'000);
      const auto location = opened.tier->Write(object.record, object.bytes, id).value();
      if (id % 2 == 0) {
        opened.tier->Drop(location);
        opened.tier->Drop(location);
        EXPECT_FALSE(ReadsBack(*opened.tier, location, object));
        EXPECT_EQ(opened.tier->ReadRecord(location).error().code, ErrorCode::kNotFound);
      }
    }
    EXPECT_EQ(opened.tier->Stats().objects, 5U);
    EXPECT_EQ(opened.tier->Stats().live_bytes, 250'000U);
    ASSERT_TRUE(opened.tier->Flush().has_value());
  }
  const auto opened = MustOpen(SmallConfig(scratch.path()));
  for (const auto& [record, location] : RecoverAll(*opened.tier)) {
    EXPECT_EQ(IdOf(record) % 2, 1U);
  }
  EXPECT_EQ(opened.tier->Stats().objects, 5U);
}

TEST(SsdTierTest, WhatNobodyWantsAtRecoveryIsGoneForGood) {
  const ScratchDirectory scratch;
  {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    for (std::uint32_t id = 0; id < 6; ++id) {
      const auto object = MakeObject(id, 1'500'000);
      ASSERT_TRUE(opened.tier->Write(object.record, object.bytes, id).has_value());
    }
  }
  {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    ASSERT_TRUE(opened.tier
                    ->Recover([](const ObjectRecord& record, ColdLocation) {
                      return IdOf(record) == 3 ? std::optional(3U) : std::nullopt;
                    })
                    .has_value());
    EXPECT_EQ(opened.tier->Stats().objects, 1U);
  }
  const auto opened = MustOpen(SmallConfig(scratch.path()));
  EXPECT_EQ(RecoverAll(*opened.tier).size(), 1U);
  EXPECT_LT(DiskUse(scratch.path()), 5 * kMiB) << "whole segments of unwanted objects go at once";
}

TEST(SsdTierTest, WritingBeforeRecoveryOfAFilledStoreIsRefused) {
  const ScratchDirectory scratch;
  const auto object = MakeObject(1, 1000);
  {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    ASSERT_TRUE(opened.tier->Write(object.record, object.bytes, 1).has_value());
  }
  const auto opened = MustOpen(SmallConfig(scratch.path()));
  EXPECT_EQ(opened.tier->Write(object.record, object.bytes, 1).error().code, ErrorCode::kInternal);
  EXPECT_EQ(RecoverAll(*opened.tier).size(), 1U);
  EXPECT_TRUE(opened.tier->Write(object.record, object.bytes, 1).has_value());
}

TEST(SsdTierTest, NamespacesAreKept) {
  const ScratchDirectory scratch;
  PrefixKey seed;
  seed.bytes.fill(std::byte{0xFF});
  {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    ASSERT_TRUE(opened.tier->PutNamespace({}, "tenant=a").has_value());
    ASSERT_TRUE(opened.tier->PutNamespace(seed, "tenant=b").has_value());
    ASSERT_TRUE(opened.tier->Flush().has_value());
    ASSERT_TRUE(opened.tier->Clear().has_value());
  }
  const auto opened = MustOpen(SmallConfig(scratch.path()));
  const auto namespaces = opened.tier->Namespaces();
  ASSERT_EQ(namespaces.size(), 2U);
  EXPECT_EQ(namespaces[0].second, "tenant=a");
  EXPECT_EQ(namespaces[1].first, seed);
}

TEST(SsdTierTest, ClearDropsEverythingAndReturnsTheSpace) {
  const ScratchDirectory scratch;
  const auto opened = MustOpen(SmallConfig(scratch.path()));
  std::set<std::uint32_t> gone;
  opened.tier->SetGoneListener([&](auto objects) {
    for (const ColdGone& object : objects) {
      gone.insert(object.cookie);
    }
  });
  std::vector<ColdLocation> locations;
  for (std::uint32_t id = 0; id < 20; ++id) {
    const auto object = MakeObject(id, kMiB);
    locations.push_back(opened.tier->Write(object.record, object.bytes, id).value());
  }
  ASSERT_TRUE(opened.tier->Clear().has_value());
  EXPECT_EQ(gone.size(), 20U);
  EXPECT_EQ(opened.tier->Stats().objects, 0U);
  EXPECT_LT(DiskUse(scratch.path()), kMiB);
  EXPECT_FALSE(ReadsBack(*opened.tier, locations[3], MakeObject(3, kMiB)));
  const auto object = MakeObject(30, kMiB);
  const auto location = opened.tier->Write(object.record, object.bytes, 30);
  EXPECT_TRUE(ReadsBack(*opened.tier, location.value(), object));
}

// Writers overload the cap while readers read whatever is there, a flusher flushes, and someone
// drops: reads give the right bytes or none.
TEST(SsdTierTest, ManyThreadsAtOnceNeverReadWrongBytes) {
  const ScratchDirectory scratch;
  auto config = SmallConfig(scratch.path());
  config.capacity_bytes = 24 * kMiB;
  const auto opened = MustOpen(config);
  constexpr std::size_t kBytes = 200'000;
  constexpr std::uint32_t kObjects = 400;
  struct Slot {
    std::atomic<std::uint64_t> place{0};
  };
  std::vector<Slot> slots(kObjects);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> hits{0};
  std::vector<std::thread> threads;
  for (std::uint32_t writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&, writer] {
      for (std::uint32_t id = writer; id < kObjects; id += 2) {
        const auto object = MakeObject(id, kBytes);
        if (const auto at = opened.tier->Write(object.record, object.bytes, id)) {
          slots[id].place = std::uint64_t{at->segment} << 32U | at->ordinal;
        }
      }
      stop = true;
    });
  }
  for (unsigned reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&, reader] {
      std::mt19937 random(reader);
      while (!stop) {
        const auto id = static_cast<std::uint32_t>(random() % kObjects);
        if (const std::uint64_t at = slots[id].place; at != 0) {
          const ColdLocation location{.segment = static_cast<std::uint32_t>(at >> 32U),
                                      .ordinal = static_cast<std::uint32_t>(at)};
          hits += ReadsBack(*opened.tier, location, MakeObject(id, kBytes)) ? 1 : 0;
          if (id % 16 == 0) {
            opened.tier->Drop(location);
          }
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      EXPECT_TRUE(opened.tier->Flush().has_value());
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_GT(hits, 0U);
  EXPECT_GT(opened.tier->Stats().segments_evicted, 0U);
  EXPECT_EQ(opened.tier->Stats().checksum_failures, 0U);
  EXPECT_LE(DiskUse(scratch.path()), config.capacity_bytes);
}

}  // namespace
}  // namespace cairn
