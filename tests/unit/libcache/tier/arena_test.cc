#include "libcache/tier/arena.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <thread>

#include "libcache/base/bytes.h"
#include "libcache/base/digest.h"

namespace cairn {
namespace {

constexpr std::uint64_t kHeaderBytes = sizeof(SlotHeader);
constexpr double kStays = std::numeric_limits<double>::infinity();

std::unique_ptr<Arena> MakeArena(std::uint64_t capacity_bytes) {
  return std::move(Arena::Create({.capacity_bytes = capacity_bytes})).value();
}

std::uint64_t Generation(const Arena& arena, std::uint64_t offset) {
  return std::atomic_ref<std::uint64_t>(arena.Header(offset).generation)
      .load(std::memory_order_acquire);
}

TEST(ArenaTest, CapacityIsRoundedDownToTwoMebibytes) {
  EXPECT_EQ(MakeArena(5 * kMiB)->capacity_bytes(), 4 * kMiB);
  for (const std::uint64_t bytes : {std::uint64_t{0}, 2 * kMiB - 1, std::uint64_t{1} << 60U}) {
    const auto arena = Arena::Create({.capacity_bytes = bytes});
    ASSERT_FALSE(arena.has_value()) << bytes;
    EXPECT_EQ(arena.error().code, ErrorCode::kInvalidArgument);
  }
}

// A client that received the descriptor must be able to trust the size (else reading is a SIGBUS)
// and must not be able to write, also not by asking for another mapping.
TEST(ArenaTest, DescriptorIsSealed) {
  const auto arena = MakeArena(4 * kMiB);
  EXPECT_NE(ftruncate(arena->fd(), static_cast<off_t>(2 * kMiB)), 0);
  EXPECT_NE(ftruncate(arena->fd(), static_cast<off_t>(8 * kMiB)), 0);
  const int seals = fcntl(arena->fd(), F_GET_SEALS);
  EXPECT_EQ(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
            F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_TRUE((fcntl(arena->fd(), F_GETFD) & FD_CLOEXEC) != 0);

  void* reader = mmap(nullptr, 4 * kMiB, PROT_READ, MAP_SHARED, arena->fd(), 0);
  ASSERT_NE(reader, MAP_FAILED);
  const auto offset = arena->Allocate(10, 1).value();
  std::memcpy(arena->Payload(offset).data(), "0123456789", 10);
  EXPECT_EQ(std::memcmp(static_cast<std::byte*>(reader) + offset, "0123456789", 10), 0);
  munmap(reader, 4 * kMiB);

  constexpr int kFutureWrite = 0x0010;  // F_SEAL_FUTURE_WRITE, Linux 5.1.
  if ((seals & kFutureWrite) != 0) {
    EXPECT_EQ(mmap(nullptr, 4 * kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd(), 0),
              MAP_FAILED);
  }
}

TEST(ArenaTest, SlotsWasteLittle) {
  for (std::uint64_t bytes = 1; bytes < 8 * kMiB; bytes += 1 + bytes / 97) {
    const std::uint64_t slot = Arena::SlotBytes(bytes);
    const std::uint64_t needed = bytes + kHeaderBytes;
    EXPECT_GE(slot, needed);
    EXPECT_EQ(slot % 64, 0U);
    EXPECT_LE(slot - needed, std::max<std::uint64_t>(63, needed / 16)) << bytes;
    EXPECT_LE(slot, Arena::SlotBytes(bytes + 1)) << bytes;
  }
  // A recurrent state of a 27B hybrid model, and a KV block of 512 tokens.
  EXPECT_LE(Arena::SlotBytes(153'944'064) - 153'944'064, 4096U);
  EXPECT_LE(Arena::SlotBytes(32 * kMiB) - 32 * kMiB, 4096U);
  EXPECT_GT(Arena::SlotBytes(std::numeric_limits<std::uint64_t>::max()), std::uint64_t{1} << 60U);
}

TEST(ArenaTest, AllocateFillsTheHeader) {
  const auto arena = MakeArena(2 * kMiB);
  const auto offset = arena->Allocate(1000, 77).value();
  EXPECT_EQ(offset % 64, 0U);
  const SlotHeader& header = arena->Header(offset);
  EXPECT_EQ(header.owner, 77U);
  EXPECT_EQ(header.payload_bytes, 1000U);
  EXPECT_EQ(header.slot_bytes, Arena::SlotBytes(1000));
  EXPECT_EQ(arena->used_bytes(), Arena::SlotBytes(1000));
  EXPECT_EQ(arena->payload_bytes(), 1000U);
  EXPECT_EQ(arena->Payload(offset).size(), 1000U);
  EXPECT_EQ(arena->Payload(offset).data(), arena->memory().data() + offset);
}

TEST(ArenaTest, RefusesWhatCanNeverFitApartFromWhatDoesNotFitNow) {
  const auto arena = MakeArena(2 * kMiB);
  for (const std::uint64_t bytes :
       {std::uint64_t{0}, 2 * kMiB, std::numeric_limits<std::uint64_t>::max()}) {
    EXPECT_EQ(arena->Allocate(bytes, 1).error().code, ErrorCode::kInvalidArgument) << bytes;
  }
  const auto all = arena->Allocate(2 * kMiB - kHeaderBytes, 1);
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(arena->used_bytes(), arena->capacity_bytes());
  EXPECT_EQ(arena->Allocate(1, 2).error().code, ErrorCode::kNoSpace);
  arena->Free(*all);
  EXPECT_EQ(arena->used_bytes(), 0U);
  EXPECT_TRUE(arena->Allocate(1, 2).has_value());
}

// Small objects and states must not interleave: a freed state is a hole for the next state.
TEST(ArenaTest, SmallSlotsFillFromTheBottomLargeOnesFromTheTop) {
  const auto arena = MakeArena(16 * kMiB);
  std::uint64_t last_small = 0;
  std::uint64_t last_large = arena->capacity_bytes();
  for (std::uint32_t i = 0; i < 10; ++i) {
    const auto small = arena->Allocate(8 * kKiB, i).value();
    const auto large = arena->Allocate(kMiB, i).value();
    EXPECT_GT(small, last_small);
    EXPECT_LT(large, last_large);
    last_small = small;
    last_large = large;
  }
  EXPECT_LT(last_small, last_large);
}

TEST(ArenaTest, SmallSlotsLeaveTheHolesOfLargeOnesAlone) {
  const auto arena = MakeArena(16 * kMiB);
  std::array<std::uint64_t, 4> large{};
  for (std::uint32_t i = 0; i < 4; ++i) {
    large[i] = arena->Allocate(kMiB, i).value();
  }
  arena->Free(large[1]);
  EXPECT_LT(arena->Allocate(8 * kKiB, 9).value(), large[3]);
  EXPECT_EQ(arena->Allocate(kMiB, 10).value(), large[1]) << "the hole fits exactly";
}

// Readers hold (offset, generation) without a lock. Whatever happens at that offset afterwards, the
// value they saw published must not come back.
TEST(ArenaTest, GenerationNeverRepeats) {
  const auto arena = MakeArena(2 * kMiB);
  std::uint64_t last = 0;
  for (std::uint32_t i = 0; i < 100; ++i) {
    const auto offset = arena->Allocate(5000, i).value();
    EXPECT_EQ(Generation(*arena, offset) % 2, 1U) << "odd until published";
    EXPECT_GT(Generation(*arena, offset), last);
    arena->Publish(offset);
    const std::uint64_t published = Generation(*arena, offset);
    EXPECT_EQ(published % 2, 0U);
    EXPECT_GT(published, last);
    SlotHeader& header = arena->Header(offset);
    arena->Free(offset);
    last = header.generation;
    EXPECT_EQ(last % 2, 1U) << "odd once freed";
    EXPECT_GT(last, published);
  }
}

// One thread reuses slots, another copies by the seqlock protocol. Bytes may be torn, but never
// under an unchanged even generation.
TEST(ArenaTest, UnchangedGenerationMeansStableBytes) {
  const auto arena = MakeArena(2 * kMiB);
  constexpr std::uint64_t kWords = 512;
  const auto offset = arena->Allocate(kWords * 8, 0).value();
  auto* const words = reinterpret_cast<std::uint64_t*>(arena->Payload(offset).data());
  auto* const generation = &arena->Header(offset).generation;
  std::atomic<bool> stop = false;

  std::thread reader([&] {
    std::array<std::uint64_t, kWords> copy{};
    while (!stop.load(std::memory_order_relaxed)) {
      const auto before = std::atomic_ref(*generation).load(std::memory_order_acquire);
      for (std::uint64_t i = 0; i < kWords; ++i) {
        copy[i] = std::atomic_ref(words[i]).load(std::memory_order_relaxed);
      }
      std::atomic_thread_fence(std::memory_order_acquire);
      const auto after = std::atomic_ref(*generation).load(std::memory_order_relaxed);
      if (before % 2 == 0 && before == after) {
        for (std::uint64_t i = 1; i < kWords; ++i) {
          ASSERT_EQ(copy[i], copy[0]);
        }
      }
    }
  });
  auto at = offset;
  for (std::uint64_t round = 1; round < 20'000; ++round) {
    for (std::uint64_t i = 0; i < kWords; ++i) {
      std::atomic_ref(words[i]).store(round, std::memory_order_relaxed);
    }
    arena->Publish(at);
    arena->Free(at);
    at = arena->Allocate(kWords * 8, 0).value();
    ASSERT_EQ(at, offset);
  }
  stop = true;
  reader.join();
}

// Ten slots of 192 KiB and a short rest at the top of the arena; two of them must stay.
TEST(ArenaTest, CheapestWindowIsTheCheapestRunOfNeighbours) {
  const auto arena = MakeArena(2 * kMiB);
  std::array<std::uint64_t, 10> offsets{};
  for (std::uint32_t i = 0; i < 10; ++i) {
    offsets[i] = arena->Allocate(196'608 - kHeaderBytes, i).value();
  }
  const std::array<double, 10> costs = {5, 4, kStays, 1, 9, 2, 3, 3, kStays, 7};
  const auto cost = [&](std::uint32_t owner) { return costs[owner]; };

  const auto one = arena->CheapestWindow(150'000, cost);
  EXPECT_EQ(one->owners, std::vector<std::uint32_t>({3}));
  const auto two = arena->CheapestWindow(300'000, cost);
  EXPECT_EQ(two->owners, std::vector<std::uint32_t>({5, 6})) << "as cheap as 6 and 7, but lower";
  EXPECT_FALSE(arena->CheapestWindow(1'200'000, cost).has_value()) << "two slots must stay";

  // Free space between counts, and a free run alone is enough.
  arena->Free(offsets[4]);
  EXPECT_EQ(arena->CheapestWindow(300'000, cost)->owners, std::vector<std::uint32_t>({3}));
  EXPECT_TRUE(arena->CheapestWindow(150'000, cost)->owners.empty());
  EXPECT_FALSE(arena->CheapestWindow(3 * kMiB, cost).has_value());
}

// Sums must not lose the small costs beside a very large one that has left the window.
TEST(ArenaTest, CheapestWindowSurvivesHugeCosts) {
  const auto arena = MakeArena(2 * kMiB);
  for (std::uint32_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(arena->Allocate(196'608 - kHeaderBytes, i).has_value());
  }
  const std::array<double, 10> costs = {1e300, 3, 3, 1e300, 2, 2, 1e300, 1, 4, 1e300};
  const auto window =
      arena->CheapestWindow(300'000, [&](std::uint32_t owner) { return costs[owner]; });
  EXPECT_EQ(window->owners, std::vector<std::uint32_t>({4, 5}));
}

TEST(ArenaDeathTest, FreeStopsTheProcessOnWhatIsNoSlot) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto arena = MakeArena(2 * kMiB);
  const auto offset = arena->Allocate(1000, 1).value();
  EXPECT_DEATH(arena->Free(offset + 64), "CAIRN_CHECK");
  EXPECT_DEATH(arena->Free(offset + 1), "CAIRN_CHECK");
  EXPECT_DEATH(arena->Free(arena->capacity_bytes()), "CAIRN_CHECK");
  EXPECT_DEATH(
      {
        arena->Free(offset);
        arena->Free(offset);
      },
      "CAIRN_CHECK");
}

}  // namespace
}  // namespace cairn
