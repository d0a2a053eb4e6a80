// Which segment goes: the one whose bytes served least, the oldest of equals, never the open one.
#include "libcache/tier/ssd_segments.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

/// Opens segment `number` and puts `count` objects of `bytes` into it; cookie = number * 100 + i.
void Fill(SsdSegments& segments, std::uint32_t number, std::uint32_t count, std::uint64_t bytes) {
  segments.Open(number, count * bytes);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto location = segments.Reserve(bytes);
    ASSERT_TRUE(location.has_value());
    segments.Add(*location, bytes, number * 100 + i);
  }
}

std::vector<std::uint32_t> CookiesOf(const std::vector<ColdGone>& gone) {
  std::vector<std::uint32_t> cookies;
  cookies.reserve(gone.size());
  for (const ColdGone& one : gone) {
    cookies.push_back(one.cookie);
  }
  return cookies;
}

TEST(SsdSegmentsTest, ASegmentTakesWhatFitsItsRoom) {
  SsdSegments segments;
  EXPECT_FALSE(segments.Reserve(1).has_value()) << "none is open";
  segments.Open(1, 100);
  EXPECT_EQ(segments.Reserve(60), (ColdLocation{.segment = 1, .ordinal = 0}));
  EXPECT_FALSE(segments.Reserve(41).has_value());
  EXPECT_EQ(segments.Reserve(30), (ColdLocation{.segment = 1, .ordinal = 1}));
  segments.Charge(20);
  EXPECT_FALSE(segments.HasRoom(1)) << "flushes use room too";
  segments.Close();
  EXPECT_FALSE(segments.open().has_value());
}

TEST(SsdSegmentsTest, WithoutHitsTheOldestGoesFirst) {
  SsdSegments segments;
  EXPECT_FALSE(segments.Victim().has_value());
  Fill(segments, 1, 2, 10);
  EXPECT_FALSE(segments.Victim().has_value()) << "the open one never goes";
  Fill(segments, 2, 1, 10);
  Fill(segments, 3, 3, 10);
  EXPECT_EQ(segments.Victim(), 1U);
  EXPECT_EQ(CookiesOf(segments.Remove(1)), (std::vector<std::uint32_t>{100, 101}));
  EXPECT_EQ(segments.Victim(), 2U);
  EXPECT_EQ(segments.totals().objects, 4U);
  EXPECT_EQ(segments.totals().live_bytes, 40U);
}

TEST(SsdSegmentsTest, HitsPerLiveByteDecide) {
  SsdSegments segments;
  Fill(segments, 1, 1, 10);
  Fill(segments, 2, 1, 1000);
  Fill(segments, 3, 1, 10);
  segments.Hit({.segment = 1, .ordinal = 0});
  segments.Hit({.segment = 2, .ordinal = 0});
  segments.Hit({.segment = 2, .ordinal = 0});
  EXPECT_EQ(segments.Victim(), 2U) << "two hits for 1000 bytes are worth less than one for 10";
}

TEST(SsdSegmentsTest, OneWithoutLiveObjectsGoesBeforeAll) {
  SsdSegments segments;
  Fill(segments, 1, 1, 10);
  Fill(segments, 2, 2, 10);
  Fill(segments, 3, 1, 10);
  segments.Hit({.segment = 2, .ordinal = 0});
  EXPECT_TRUE(segments.Drop({.segment = 2, .ordinal = 0}));
  EXPECT_FALSE(segments.Drop({.segment = 2, .ordinal = 0}));
  EXPECT_TRUE(segments.Drop({.segment = 2, .ordinal = 1}));
  EXPECT_EQ(segments.Victim(), 2U);
  EXPECT_TRUE(segments.Remove(2).empty());
}

// A segment that was just filled had no time to be hit; it gets the credit of the average.
TEST(SsdSegmentsTest, ANewSegmentIsNotTakenForAnUnwantedOne) {
  SsdSegments segments;
  Fill(segments, 1, 1, 10);
  Fill(segments, 2, 1, 10);
  for (int i = 0; i < 6; ++i) {
    segments.Hit({.segment = 1, .ordinal = 0});
  }
  Fill(segments, 3, 1, 10);
  Fill(segments, 4, 1, 10);
  EXPECT_EQ(segments.Victim(), 2U);
}

TEST(SsdSegmentsTest, OldHitsFade) {
  SsdSegments segments;
  Fill(segments, 1, 1, 10);
  Fill(segments, 2, 1, 10);
  Fill(segments, 3, 1, 10);
  for (int i = 0; i < 8; ++i) {
    segments.Hit({.segment = 1, .ordinal = 0});
  }
  for (int i = 0; i < 12; ++i) {
    segments.Decay();
  }
  segments.Hit({.segment = 2, .ordinal = 0});
  EXPECT_EQ(segments.Victim(), 1U);
}

TEST(SsdSegmentsTest, UnknownPlacesAreNotHeld) {
  SsdSegments segments;
  Fill(segments, 1, 1, 10);
  EXPECT_TRUE(segments.Holds({.segment = 1, .ordinal = 0}));
  EXPECT_FALSE(segments.Holds({.segment = 1, .ordinal = 1}));
  EXPECT_FALSE(segments.Holds({.segment = 2, .ordinal = 0}));
  segments.Hit({.segment = 9, .ordinal = 9});
  EXPECT_FALSE(segments.Drop({.segment = 9, .ordinal = 9}));
  // Recovered objects come in any order and leave holes.
  segments.Add({.segment = 5, .ordinal = 3}, 10, 53);
  segments.Add({.segment = 5, .ordinal = 1}, 10, 51);
  EXPECT_FALSE(segments.Holds({.segment = 5, .ordinal = 2}));
  EXPECT_EQ(CookiesOf(segments.Remove(5)), (std::vector<std::uint32_t>{51, 53}));
}

}  // namespace
}  // namespace cairn
