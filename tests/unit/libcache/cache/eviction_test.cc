// What leaves host memory, and in which order: boundaries as a whole, orphans first, never what
// somebody holds.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/libcache/cache/cache_fixture.h"

namespace cairn {
namespace {

class EvictionTest : public CacheFixture {
 protected:
  void OpenWith(const std::string& policy) {
    Cache::Config config;
    config.host_bytes = 2 * kMiB;
    config.eviction = policy;
    Open(config);
  }

  /// A prompt of its own: 8 blocks of KV (8 KiB) and a checkpoint at its end.
  void StorePrompt(std::uint32_t number) {
    StoreBoundary(Tokens(kPromptTokens, number * 10'000), kPromptTokens);
  }
  bool Restorable(std::uint32_t number) {
    return !MatchOf(Tokens(kPromptTokens + 1, number * 10'000)).boundaries.empty();
  }
  void Use(std::uint32_t number) {
    const auto tokens = Tokens(kPromptTokens + 1, number * 10'000);
    const MatchResult match = MatchOf(tokens, false);
    ASSERT_NE(match.lease, 0U);
    ASSERT_TRUE(FetchAndCheck(tokens, match, kPromptTokens));
    ASSERT_TRUE(cache_->Release(session_, match.lease).has_value());
  }

  static constexpr std::uint32_t kPromptTokens = 8 * kBlock;
  // 8 x (1 KiB + header) + 4 KiB + header, and the same again for size classes.
  static constexpr std::uint32_t kFits = 2 * kMiB / (14 * kKiB);
};

TEST_F(EvictionTest, TheHostCapIsHardAndStateGoesWithItsKv) {
  OpenWith("lru");
  for (std::uint32_t i = 0; i < 10 * kFits; ++i) {
    StorePrompt(i);
    const CacheStats stats = cache_->Stats();
    ASSERT_LE(stats.arena_used_bytes, 2 * kMiB);
    // Jointly: as many blocks as checkpoints need, but for the one evicted half-way by a writer.
    ASSERT_LE(stats.host.objects[0], 8 * (stats.host.objects[1] + 1));
  }
  const CacheStats stats = cache_->Stats();
  EXPECT_GT(stats.host.objects[1], kFits / 2) << "the arena is used";
  EXPECT_GT(stats.evictions[static_cast<std::size_t>(EvictReason::kCapacity)], 0U);
  EXPECT_TRUE(Restorable(10 * kFits - 1));
  EXPECT_FALSE(Restorable(0));
}

TEST_F(EvictionTest, LruKeepsWhatIsUsed) {
  OpenWith("lru");
  StorePrompt(0);
  for (std::uint32_t i = 1; i < 6 * kFits; ++i) {
    StorePrompt(i);
    Use(0);
  }
  EXPECT_TRUE(Restorable(0));
}

TEST_F(EvictionTest, OrphanKvGoesFirst) {
  OpenWith("lru");
  StorePrompt(0);
  // KV that never gets a checkpoint, newer than everything.
  for (std::uint32_t i = 1; i < 4 * kFits; ++i) {
    const auto tokens = Tokens(kPromptTokens, i * 10'000);
    static_cast<void>(MatchOf(tokens));
    for (std::uint32_t at = kBlock; at <= kPromptTokens; at += kBlock) {
      ASSERT_EQ(StoreAt(tokens, ObjectKind::kKv, at), ErrorCode::kOk);
    }
  }
  EXPECT_TRUE(Restorable(0)) << "the only restorable boundary outlives all orphans";
  EXPECT_GT(cache_->Stats().evictions[static_cast<std::size_t>(EvictReason::kOrphanKv)], 0U);
}

TEST_F(EvictionTest, LeasesAndPinsHold) {
  for (const char* policy : {"lru", "lfu", "w_tinylfu", "value"}) {
    OpenWith(policy);
    StorePrompt(0);
    StorePrompt(1);
    const MatchResult lease = MatchOf(Tokens(kPromptTokens + 1, 0), false);
    ASSERT_TRUE(cache_->PinPrefix(KeyAt(Tokens(kPromptTokens, 10'000), kPromptTokens).Hex()));
    for (std::uint32_t i = 2; i < 6 * kFits; ++i) {
      StorePrompt(i);
    }
    EXPECT_TRUE(FetchAndCheck(Tokens(kPromptTokens + 1, 0), lease, kPromptTokens)) << policy;
    EXPECT_TRUE(Restorable(1)) << policy;
    EXPECT_TRUE(cache_->Release(session_, lease.lease).has_value());
    ASSERT_TRUE(cache_->UnpinPrefix(KeyAt(Tokens(kPromptTokens, 10'000), kPromptTokens).Hex()));
    cache_->EndSession(session_);
  }
}

TEST_F(EvictionTest, AnInteriorCheckpointLeavesTheKvThatDeeperOnesNeed) {
  OpenWith("lru");
  const auto tokens = Tokens(kPromptTokens, 0);
  StoreBoundary(tokens, 32);
  StoreBoundary(tokens, kPromptTokens);
  ASSERT_EQ(cache_->EvictPrefix(KeyAt(tokens, 32).Hex(), {})->objects, 9U)
      << "two checkpoints and the seven blocks from 32 on";
  StoreBoundary(tokens, 32);
  StoreBoundary(tokens, kPromptTokens);
  for (std::uint32_t i = 1; i < 6 * kFits; ++i) {
    Use(0);  // Keeps the deep one; the interior one ages.
    StorePrompt(i);
  }
  const MatchResult match = MatchOf(Tokens(kPromptTokens + 1, 0));
  ASSERT_EQ(match.boundaries.size(), 1U);
  EXPECT_EQ(match.boundaries[0].position, kPromptTokens);
}

TEST_F(EvictionTest, RefusesWhenAllIsHeldAndRecovers) {
  OpenWith("value");
  std::vector<LeaseId> leases;
  std::uint32_t stored = 0;
  for (; stored < 4 * kFits; ++stored) {
    const auto tokens = Tokens(kPromptTokens, stored * 10'000);
    static_cast<void>(MatchOf(tokens));
    ErrorCode code = ErrorCode::kOk;
    for (std::uint32_t at = kBlock; at <= kPromptTokens && code == ErrorCode::kOk; at += kBlock) {
      code = StoreAt(tokens, ObjectKind::kKv, at);
    }
    code = code == ErrorCode::kOk ? StoreAt(tokens, ObjectKind::kCheckpoint, kPromptTokens) : code;
    if (code != ErrorCode::kOk) {
      EXPECT_EQ(code, ErrorCode::kNoSpace);
      break;
    }
    const MatchResult match = MatchOf(Tokens(kPromptTokens + 1, stored * 10'000), false);
    leases.push_back(match.lease);
  }
  EXPECT_LT(stored, 4 * kFits) << "at some point everything is leased";
  for (const LeaseId lease : leases) {
    EXPECT_TRUE(cache_->Release(session_, lease).has_value());
  }
  StorePrompt(900);
  EXPECT_TRUE(Restorable(900));
}

// A mixed life: growing prompts that share beginnings, random use, several sizes. Whatever is found
// must have the right bytes, and the cap must hold.
TEST_F(EvictionTest, RandomTrafficNeverServesWrongBytes) {
  for (const char* policy : {"lru", "lfu", "w_tinylfu", "value"}) {
    OpenWith(policy);
    std::mt19937 random(11);
    std::uint64_t served = 0;
    for (int step = 0; step < 1500; ++step) {
      const auto family = static_cast<std::uint32_t>(random() % 40);
      const auto length = static_cast<std::uint32_t>(20 + random() % 400);
      const auto tokens = Tokens(length, family * 10'000);
      const MatchResult match = MatchOf(tokens, false);
      if (match.lease != 0) {
        std::uint32_t position = 0;
        for (const Boundary& b : match.boundaries) {
          if (!b.tail || b.tail_key == KeyAt(tokens, b.position)) {
            position = b.position;
          }
        }
        if (position != 0 && FetchAndCheck(tokens, match, position)) {
          served += position;
        }
        ASSERT_TRUE(cache_->Release(session_, match.lease).has_value());
      }
      for (const std::uint32_t at : match.plan) {
        for (std::uint32_t block = kBlock; block <= at; block += kBlock) {
          static_cast<void>(StoreAt(tokens, ObjectKind::kKv, block));
        }
        if (at % kBlock != 0) {
          static_cast<void>(StoreAt(tokens, ObjectKind::kKv, at));
        }
        static_cast<void>(StoreAt(tokens, ObjectKind::kCheckpoint, at));
      }
      ASSERT_LE(cache_->Stats().arena_used_bytes, 2 * kMiB);
    }
    EXPECT_GT(served, 0U) << policy;
    std::printf("%s served %lu tokens\n", policy, static_cast<unsigned long>(served));
    cache_->EndSession(session_);
  }
}

}  // namespace
}  // namespace cairn
