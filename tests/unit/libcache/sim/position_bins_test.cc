#include "libcache/sim/position_bins.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace cairn::sim {
namespace {

PositionBins::Bin Sum(const PositionBins& positions) {
  PositionBins::Bin sum;
  for (const PositionBins::Bin& bin : positions.bins()) {
    sum.overlaps += bin.overlaps;
    sum.served += bin.served;
    sum.written += bin.written;
    sum.kept += bin.kept;
  }
  return sum;
}

TEST(PositionBins, AnEndBelongsToTheTokensBeforeIt) {
  PositionBins positions(64);
  ++positions.At(64).written;
  ++positions.At(65).kept;
  ASSERT_EQ(positions.bins().size(), 2U);
  EXPECT_EQ(positions.bins()[0].written, 1U);
  EXPECT_EQ(positions.bins()[1].kept, 1U);
  EXPECT_EQ(positions.bin_tokens(), 64U);
}

TEST(PositionBins, LongerPromptsWidenTheBinsAndNothingIsLost) {
  PositionBins positions(64);
  for (std::uint64_t block = 1; block <= 1000; ++block) {
    ++positions.At(64 * block).written;
    positions.AddOverlap(64 * block, block % 2 == 0 ? 64 * block : 0);
  }
  EXPECT_EQ(positions.bin_tokens(), 64U * 8);
  ASSERT_EQ(positions.bins().size(), 125U);
  for (const PositionBins::Bin& bin : positions.bins()) {
    EXPECT_EQ(bin.written, 8U);
    EXPECT_EQ(bin.overlaps, 8U);
    EXPECT_EQ(bin.served, 4U);
  }
  ++positions.At(1'000'000'000).kept;
  EXPECT_LE(positions.bins().size(), PositionBins::kMost);
  EXPECT_EQ(positions.bins().back().kept, 1U);
  EXPECT_EQ(Sum(positions).written, 1000U);
  EXPECT_EQ(Sum(positions).served, 500U);
}

TEST(PositionBins, NoOverlapIsNotCounted) {
  PositionBins positions(64);
  positions.AddOverlap(0, 0);
  EXPECT_TRUE(positions.bins().empty());
}

}  // namespace
}  // namespace cairn::sim
