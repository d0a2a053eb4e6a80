// The cache with an SSD tier under it: write-behind, restart, promotion, damage.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "libcache/tier/ssd_tier.h"
#include "tests/unit/libcache/cache/cache_fixture.h"

namespace cairn {
namespace {

class ColdTest : public CacheFixture {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn-cold-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override {
    CacheFixture::TearDown();
    cache_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }

  void OpenCold(std::uint64_t host_bytes = 4 * kMiB, std::uint64_t ssd_bytes = 256 * kMiB,
                std::uint64_t index_bytes = 64 * kMiB) {
    SsdConfig ssd;
    ssd.path = dir_ + "/ssd";
    ssd.capacity_bytes = ssd_bytes;
    ssd.write_buffer_bytes = 4 * kMiB;
    auto opened = OpenSsdTier(ssd);
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    ASSERT_TRUE(opened->quarantined_to.empty()) << opened->quarantine_reason;
    Cache::Config config = SmallConfig();
    config.host_bytes = host_bytes;
    config.index_bytes = index_bytes;
    config.cold_codecs = codecs_;
    Open(config, std::move(opened->tier));
  }

  void Restart(std::uint64_t index_bytes = 64 * kMiB) {
    cache_->EndSession(session_);
    cache_.reset();
    OpenCold(4 * kMiB, 256 * kMiB, index_bytes);
  }

  std::string dir_;
  std::string codecs_ = "none";
};

// Without KV nothing on disk tells of the blocks before a checkpoint. It is found all the same, and
// takes its place once a prompt has gone that way.
class ColdWithoutKvTest : public ColdTest {
 protected:
  NamespaceSpec Spec() override {
    NamespaceSpec spec = ColdTest::Spec();
    spec.kv_bytes_per_token = 0;
    return spec;
  }
};

TEST_F(ColdWithoutKvTest, CheckpointsAreFoundAfterARestart) {
  OpenCold();
  const auto tokens = Tokens(200);
  const auto other = Tokens(120);  // The same prefix, ending inside a block.
  MatchOf(tokens);
  for (const std::uint32_t position : {48U, 96U, 100U, 192U}) {
    ASSERT_EQ(StoreAt(tokens, ObjectKind::kCheckpoint, position, true), ErrorCode::kOk);
  }
  Restart();
  EXPECT_EQ(cache_->Stats().cold.objects[1], 4U);

  for (int round = 0; round < 2; ++round) {
    const MatchResult shorter = MatchOf(other, false);
    ASSERT_EQ(shorter.boundaries.size(), 3U) << "48, 96 and the tail at 100";
    EXPECT_EQ(shorter.overlap_tokens, round == 0 ? 96U : 112U);
    EXPECT_TRUE(FetchAndCheck(other, shorter, 96));
    ASSERT_TRUE(cache_->Release(session_, shorter.lease).has_value());
  }
  const MatchResult match = MatchOf(tokens, false);
  ASSERT_EQ(match.boundaries.size(), 4U);
  EXPECT_EQ(match.boundaries[match.best].position, 192U);
  EXPECT_EQ(match.overlap_tokens, 192U);
  EXPECT_TRUE(FetchAndCheck(tokens, match, 192));
  EXPECT_TRUE(FetchAndCheck(tokens, match, 100));
  ASSERT_TRUE(cache_->Release(session_, match.lease).has_value());
  // In its place: the way up from the deepest node leads through all blocks.
  const auto node = cache_->Lookup(ToHex(Keys(tokens).back().bytes));
  ASSERT_TRUE(node.has_value());
  EXPECT_EQ(node->depth, tokens.size() / kBlock);
  // What hangs there is counted right: everything can go.
  EXPECT_EQ(cache_->Clear().objects, 4U);
}

// An index too small for what is on SSD leaves the rest there for a start with a larger one.
TEST_F(ColdTest, ASmallIndexLosesNothing) {
  OpenCold();
  constexpr std::uint32_t kPrompts = 1200;
  for (std::uint32_t i = 0; i < kPrompts; ++i) {
    StoreBoundary(Tokens(144, i * 1000), 144);
    if (i % 100 == 99) {  // The queue takes a quarter of the arena.
      ASSERT_TRUE(cache_->FlushCold(SteadyClock::Instance().Now() + std::chrono::seconds(30)));
    }
  }
  const std::uint64_t all = cache_->Stats().cold.objects[0] + cache_->Stats().cold.objects[1];
  ASSERT_GT(all, 10'000U);
  Restart(kMiB);
  const CacheStats small = cache_->Stats();
  EXPECT_GT(small.cold_unindexed, 0U);
  EXPECT_EQ(small.cold.objects[0] + small.cold.objects[1] + small.cold_unindexed, all);
  Restart();
  const CacheStats large = cache_->Stats();
  EXPECT_EQ(large.cold_unindexed, 0U);
  EXPECT_EQ(large.cold.objects[0] + large.cold.objects[1], all);
}

// A durable commit whose path somebody else is still writing: readable, not durable, and said so
// item by item.
TEST_F(ColdTest, ADurableCommitBehindAnUnfinishedBlockIsRefusedByItem) {
  OpenCold();
  const auto tokens = Tokens(64);
  MatchOf(tokens);
  const SessionId slow = cache_->BeginSession();
  const ReserveItem first{.kind = ObjectKind::kKv,
                          .key = KeyAt(tokens, 16),
                          .parent = seed_,
                          .position = 16,
                          .bytes = 16 * kKvPerToken};
  const auto reserved = cache_->Reserve(slow, 1, space_, {&first, 1});
  ASSERT_TRUE(reserved.has_value());
  ASSERT_EQ((*reserved)[0].code, ErrorCode::kOk);
  EXPECT_EQ(StoreAt(tokens, ObjectKind::kKv, 32, true), ErrorCode::kOverloaded);
  cache_->EndSession(slow);
  EXPECT_EQ(StoreAt(tokens, ObjectKind::kKv, 16, true), ErrorCode::kOk);
  EXPECT_EQ(StoreAt(tokens, ObjectKind::kCheckpoint, 32, true), ErrorCode::kOk);
}

TEST_F(ColdTest, APinBringsABoundaryToHostMemoryAndKeepsItThere) {
  OpenCold();
  const auto tokens = Tokens(100);
  StoreBoundary(tokens, 96, true);
  Restart();
  const std::string key = KeyAt(tokens, 96).Hex();
  ASSERT_TRUE(cache_->PinPrefix(key).has_value());
  const auto on_host = [&] {
    // The path comes from SSD in any order.
    for (std::uint32_t at = kBlock; at <= 96; at += kBlock) {
      const auto node = cache_->Lookup(KeyAt(tokens, at).Hex());
      if (!node || !node->on_host[0] || (at == 96 && !node->on_host[1])) {
        return false;
      }
    }
    return true;
  };
  for (int i = 0; i < 2000 && !on_host(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(on_host());
  EXPECT_EQ(cache_->Clear().objects, 0U);
  EXPECT_EQ(MatchOf(tokens).state, MatchState::kReady);
  EXPECT_TRUE(cache_->UnpinPrefix(key).has_value());
  EXPECT_EQ(cache_->Clear().objects, 6U + 1U);
}

TEST_F(ColdTest, ARestartServesFromSsdWithTheSameBytes) {
  OpenCold();
  const auto tokens = Tokens(200);
  StoreBoundary(tokens, 64);
  StoreBoundary(tokens, 150, true);
  Restart();
  const MatchResult match = MatchOf(tokens, false);
  ASSERT_EQ(match.boundaries.size(), 2U);
  EXPECT_EQ(match.state, MatchState::kPending);
  EXPECT_EQ(match.boundaries[1].tier, TierKind::kSsd);
  EXPECT_EQ(match.boundaries[1].bytes, 150 * kKvPerToken + kState);
  EXPECT_TRUE(FetchAndCheck(tokens, match, 150));
  EXPECT_TRUE(FetchAndCheck(tokens, match, 64));
  ASSERT_TRUE(cache_->Release(session_, match.lease).has_value());
  EXPECT_EQ(cache_->Stats().hit_tokens[2], 214U);
  const MatchResult again = MatchOf(tokens);
  EXPECT_EQ(again.boundaries[1].tier, TierKind::kHost) << "it was promoted";
}

TEST_F(ColdTest, ACodecChangesWhatIsOnSsdAndNothingElse) {
  const auto tokens = Tokens(200);
  OpenCold();
  StoreBoundary(tokens, 64, true);
  codecs_ = "lossless";
  Restart();
  StoreBoundary(tokens, 150, true);
  codecs_ = "none";  // Reading needs no setting.
  Restart();
  const MatchResult match = MatchOf(tokens, false);
  ASSERT_EQ(match.boundaries.size(), 2U);
  EXPECT_EQ(match.boundaries[1].bytes, 150 * kKvPerToken + kState);
  EXPECT_TRUE(FetchAndCheck(tokens, match, 150));
  EXPECT_TRUE(FetchAndCheck(tokens, match, 64));
  ASSERT_TRUE(cache_->Release(session_, match.lease).has_value());
  EXPECT_EQ(cache_->Stats().checksum_failures, 0U);
}

TEST_F(ColdTest, ACleanShutdownKeepsWhatWasNotDurableToo) {
  OpenCold();
  for (std::uint32_t i = 0; i < 30; ++i) {
    StoreBoundary(Tokens(64, i * 1000), 64);
  }
  Restart();
  for (std::uint32_t i = 0; i < 30; ++i) {
    EXPECT_EQ(MatchOf(Tokens(65, i * 1000)).boundaries.size(), 1U) << i;
  }
}

TEST_F(ColdTest, WhatLeavesMemoryIsStillServed) {
  OpenCold(2 * kMiB);
  constexpr std::uint32_t kPrompts = 600;  // Four times the arena.
  for (std::uint32_t i = 0; i < kPrompts; ++i) {
    StoreBoundary(Tokens(128, i * 1000), 128);
    if (i % 20 ==
        19) {  // What outruns the SSD is dropped, not waited for; here all must get there.
      ASSERT_TRUE(cache_->FlushCold(SteadyClock::Instance().Now() + std::chrono::seconds(30)));
    }
  }
  ASSERT_TRUE(cache_->FlushCold(SteadyClock::Instance().Now() + std::chrono::seconds(30)));
  std::uint32_t from_ssd = 0;
  for (std::uint32_t i = 0; i < kPrompts; i += 7) {
    const auto tokens = Tokens(129, i * 1000);
    const MatchResult match = MatchOf(tokens, false);
    ASSERT_EQ(match.boundaries.size(), 1U) << i;
    from_ssd += match.boundaries[0].tier == TierKind::kSsd ? 1 : 0;
    ASSERT_TRUE(FetchAndCheck(tokens, match, 128)) << i;
    ASSERT_TRUE(cache_->Release(session_, match.lease).has_value());
  }
  EXPECT_GT(from_ssd, 0U);
  EXPECT_LE(cache_->Stats().arena_used_bytes, 2 * kMiB);
}

// Stores that outrun the SSD: none fails, the queue's bound holds, what was dropped is counted.
TEST_F(ColdTest, AFullQueueDropsAndCountsInsteadOfRefusing) {
  OpenCold(2 * kMiB);
  for (std::uint32_t i = 0; i < 600; ++i) {
    StoreBoundary(Tokens(128, i * 1000), 128);
    ASSERT_LE(cache_->Stats().cold_queue_bytes, 2 * kMiB / 4);
  }
  ASSERT_TRUE(cache_->FlushCold(SteadyClock::Instance().Now() + std::chrono::seconds(30)));
  const CacheStats stats = cache_->Stats();
  EXPECT_EQ(stats.cold.objects[0] + stats.cold.objects[1] + stats.cold_queue_dropped, 600U * 9U);
}

// A lease that is waited for by nobody must not keep its promotion from ending.
TEST_F(ColdTest, ReleasingDuringPromotionIsHarmless) {
  OpenCold();
  for (std::uint32_t i = 0; i < 50; ++i) {
    StoreBoundary(Tokens(160, i * 1000), 160);
  }
  Restart();
  for (std::uint32_t i = 0; i < 50; ++i) {
    static_cast<void>(MatchOf(Tokens(161, i * 1000)));  // Leases, starts reading, releases.
  }
  for (std::uint32_t i = 0; i < 50; ++i) {
    const auto tokens = Tokens(161, i * 1000);
    const MatchResult match = MatchOf(tokens, false);
    ASSERT_TRUE(FetchAndCheck(tokens, match, 160));
    ASSERT_TRUE(cache_->Release(session_, match.lease).has_value());
  }
}

TEST_F(ColdTest, ClearForgetsTheSsdToo) {
  OpenCold();
  StoreBoundary(Tokens(64), 64, true);
  EXPECT_GT(cache_->Clear().objects, 0U);
  EXPECT_TRUE(MatchOf(Tokens(65)).boundaries.empty());
  Restart();
  EXPECT_TRUE(MatchOf(Tokens(65)).boundaries.empty());
}

TEST_F(ColdTest, DamagedObjectsAreMissesAndNeverWrong) {
  OpenCold();
  for (std::uint32_t i = 0; i < 20; ++i) {
    StoreBoundary(Tokens(128, i * 1000), 128, true);
  }
  cache_->EndSession(session_);
  cache_.reset();
  // Flip a bit in the middle of every blob file.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_)) {
    if (entry.path().extension() == ".blob") {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(static_cast<std::streamoff>(entry.file_size() / 2));
      const char byte = static_cast<char>(file.get() ^ 0x10);
      file.seekp(static_cast<std::streamoff>(entry.file_size() / 2));
      file.put(byte);
    }
  }
  OpenCold();
  std::uint32_t misses = 0;
  for (std::uint32_t i = 0; i < 20; ++i) {
    const auto tokens = Tokens(129, i * 1000);
    const MatchResult match = MatchOf(tokens, false);
    ASSERT_EQ(match.boundaries.size(), 1U);
    misses += FetchAndCheck(tokens, match, 128) ? 0 : 1;  // Checks the bytes of what is served.
    ASSERT_TRUE(cache_->Release(session_, match.lease).has_value());
  }
  EXPECT_GT(misses, 0U);
  EXPECT_GT(cache_->Stats().checksum_failures, 0U);
}

}  // namespace
}  // namespace cairn
