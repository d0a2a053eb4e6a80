#include "libcache/base/timed_copy.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace cairn {
namespace {

constexpr std::size_t kMiB = 1U << 20U;

std::vector<std::byte> Numbered(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(i * 2654435761U >> 24U);
  }
  return bytes;
}

TEST(TimedCopy, CopiesAndDigestsAsWithoutADeadline) {
  const TimePoint ample = SteadyClock::Instance().Now() + std::chrono::minutes(5);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, 2 * kMiB, 2 * kMiB + 1, 4 * kMiB, 9 * kMiB + 77}) {
    const std::vector<std::byte> source = Numbered(size);
    // Whole, and in pieces that end anywhere.
    for (const std::size_t step : {size, size / 3 + 1, std::size_t{300'001}}) {
      std::vector<std::byte> target(size);
      std::vector<std::span<std::byte>> pieces;
      for (std::size_t at = 0; at < size || pieces.empty(); at += step) {
        pieces.push_back(std::span(target).subspan(at, std::min(step, size - at)));
        if (step == 0) {
          break;
        }
      }
      const auto digest = CopyAndDigestUntil(pieces, source, ample);
      ASSERT_TRUE(digest.has_value());
      EXPECT_EQ(*digest, DigestOf(source)) << size << " in steps of " << step;
      EXPECT_EQ(target, source) << size << " in steps of " << step;
    }
  }
}

TEST(TimedCopy, IsGivenUpWhenTimeIsOver) {
  const std::vector<std::byte> source = Numbered(64 * kMiB);
  std::vector<std::byte> target(source.size());
  const std::span<std::byte> piece(target);
  EXPECT_FALSE(CopyAndDigestUntil(Pieces(&piece, 1), source, SteadyClock::Instance().Now()));
  EXPECT_EQ(target.front(), std::byte{}) << "nothing is begun";
  const TimePoint soon = SteadyClock::Instance().Now() + std::chrono::microseconds(300);
  EXPECT_FALSE(CopyAndDigestUntil(Pieces(&piece, 1), source, soon));
  EXPECT_EQ(target.back(), std::byte{}) << "nor ended";
}

}  // namespace
}  // namespace cairn
