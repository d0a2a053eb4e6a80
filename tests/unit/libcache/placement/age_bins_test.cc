#include "libcache/placement/age_bins.h"

#include <gtest/gtest.h>

#include <limits>

namespace cairn {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(AgeBinsTest, BinsMeetAndGrow) {
  EXPECT_EQ(AgeBins::BeginSeconds(0), 0.0);
  EXPECT_EQ(AgeBins::EndSeconds(0), AgeBins::kFirstEndSeconds);
  for (std::size_t bin = 1; bin < AgeBins::kCount; ++bin) {
    EXPECT_EQ(AgeBins::BeginSeconds(bin), AgeBins::EndSeconds(bin - 1));
    EXPECT_NEAR(AgeBins::EndSeconds(bin) / AgeBins::BeginSeconds(bin), 1.41421356, 1e-6);
  }
  EXPECT_GT(AgeBins::BeginSeconds(AgeBins::kCount - 1), 12 * 3600.0);
}

TEST(AgeBinsTest, EveryAgeLiesInItsBin) {
  std::size_t last = 0;
  for (double age_s = 0.01; age_s < 1e7; age_s *= 1.013) {
    const std::size_t bin = AgeBins::Of(age_s);
    ASSERT_LT(bin, AgeBins::kCount);
    EXPECT_GE(bin, last) << age_s;
    last = bin;
    EXPECT_GE(age_s, AgeBins::BeginSeconds(bin) * (1 - 1e-9));
    if (bin + 1 < AgeBins::kCount) {
      EXPECT_LE(age_s, AgeBins::EndSeconds(bin) * (1 + 1e-9));
    }
  }
  EXPECT_EQ(last, AgeBins::kCount - 1);
}

TEST(AgeBinsTest, OddAgesHaveABinToo) {
  EXPECT_EQ(AgeBins::Of(0), 0U);
  EXPECT_EQ(AgeBins::Of(-5), 0U);
  EXPECT_EQ(AgeBins::Of(-kInfinity), 0U);
  EXPECT_EQ(AgeBins::Of(std::numeric_limits<double>::quiet_NaN()), 0U);
  EXPECT_EQ(AgeBins::Of(1e300), AgeBins::kCount - 1);
  EXPECT_EQ(AgeBins::Of(kInfinity), AgeBins::kCount - 1);
}

}  // namespace
}  // namespace cairn
