// Slots of device memory and the words that tell readers of other processes whether theirs holds.
#include "libcache/tier/device_arena.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "libcache/base/bytes.h"

namespace cairn {
namespace {

std::unique_ptr<DeviceArena> Make(std::uint64_t bytes) {
  auto arena = DeviceArena::Create(bytes);
  EXPECT_TRUE(arena.has_value());
  return std::move(*arena);
}

TEST(DeviceArena, SlotsAreAlignedAndDoNotOverlap) {
  const auto arena = Make(kMiB);
  const auto first = arena->Allocate(1);
  const auto second = arena->Allocate(300);
  const auto large = arena->Allocate(512 * kKiB);
  ASSERT_TRUE(first && second && large);
  EXPECT_EQ(first->offset, 0U);
  EXPECT_EQ(second->offset, 256U);
  EXPECT_EQ(large->offset, kMiB - 512 * kKiB) << "large ones come from the top";
  EXPECT_EQ(arena->used_bytes(), 256 + 512 + 512 * kKiB);
  EXPECT_EQ(arena->slots(), 3U);
}

TEST(DeviceArena, TheCapIsHard) {
  const auto arena = Make(kMiB);
  ASSERT_TRUE(arena->Allocate(kMiB));
  const auto more = arena->Allocate(1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::kNoSpace);
  EXPECT_FALSE(Make(kMiB)->Allocate(kMiB + 1));
  EXPECT_FALSE(Make(kMiB)->Allocate(UINT64_MAX));
  EXPECT_FALSE(Make(kMiB)->Allocate(0));
}

TEST(DeviceArena, AGenerationIsEvenOnlyWhileItMayBeReadAndNeverComesBack) {
  const auto arena = Make(kMiB);
  std::uint64_t highest = 0;
  std::uint32_t number = 0;
  for (int i = 0; i < 100; ++i) {
    const auto slot = arena->Allocate(kMiB);
    ASSERT_TRUE(slot);
    number = slot->number;
    EXPECT_EQ(number, 0U) << "numbers are used again";
    EXPECT_EQ(arena->Generation(number), slot->generation);
    EXPECT_EQ(slot->generation % 2, 1U);
    EXPECT_GT(slot->generation, highest);
    const std::uint64_t readable = arena->Publish(number);
    EXPECT_EQ(readable % 2, 0U);
    EXPECT_EQ(arena->Generation(number), readable);
    if (i % 2 == 0) {
      arena->Retire(number);
      EXPECT_EQ(arena->Generation(number) % 2, 1U);
      EXPECT_EQ(arena->used_bytes(), kMiB) << "retired memory is not used again yet";
      arena->Retire(number);
    }
    arena->Free(number);
    highest = arena->Generation(number);
    EXPECT_GT(highest, readable);
    EXPECT_EQ(highest % 2, 1U);
  }
  EXPECT_EQ(arena->used_bytes(), 0U);
}

TEST(DeviceArena, RetiringAllRefusesEveryReader) {
  const auto arena = Make(kMiB);
  for (int i = 0; i < 4; ++i) {
    const auto slot = arena->Allocate(1000);
    ASSERT_TRUE(slot);
    if (i != 2) {
      arena->Publish(slot->number);
    }
  }
  arena->RetireAll();
  for (std::uint32_t number = 0; number < 4; ++number) {
    EXPECT_EQ(arena->Generation(number) % 2, 1U);
  }
}

TEST(DeviceArena, ReadersSeeTheLedgerAndCannotWriteIt) {
  const auto arena = Make(kMiB);
  const std::size_t bytes = DeviceArena::kMaxSlots * sizeof(std::uint64_t);
  void* const seen = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, arena->ledger_fd(), 0);
  ASSERT_NE(seen, MAP_FAILED);
  const auto slot = arena->Allocate(10);
  ASSERT_TRUE(slot);
  const std::uint64_t readable = arena->Publish(slot->number);
  EXPECT_EQ(static_cast<const volatile std::uint64_t*>(seen)[slot->number], readable);
  munmap(seen, bytes);
  void* const writable =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena->ledger_fd(), 0);
  EXPECT_EQ(writable, MAP_FAILED) << "sealed (Linux 5.1)";
  const int seals = fcntl(arena->ledger_fd(), F_GET_SEALS);
  EXPECT_NE(seals & F_SEAL_SHRINK, 0);
}

TEST(DeviceArena, RunsOutOfSlotsBeforeTheLedgerDoes) {
  const auto arena = Make(64 * kMiB);
  for (std::uint32_t i = 0; i < DeviceArena::kMaxSlots; ++i) {
    ASSERT_TRUE(arena->Allocate(1));
  }
  const auto more = arena->Allocate(1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::kNoSpace);
  arena->Free(77);
  EXPECT_EQ(arena->Allocate(1)->number, 77U);
}

}  // namespace
}  // namespace cairn
