#include "libcache/sim/price_history.h"

#include <gtest/gtest.h>

namespace cairn::sim {
namespace {

TEST(PriceHistoryTest, KeepsAFewHundredOverAnyLength) {
  PriceHistory history;
  for (int i = 0; i < 1'000'000; ++i) {
    history.Add(0.01 * i, i);
  }
  const auto& points = history.points();
  EXPECT_LT(points.size(), PriceHistory::kMost);
  EXPECT_GT(points.size(), PriceHistory::kMost / 4);
  EXPECT_EQ(points.front().at_s, 0);
  EXPECT_GT(points.back().at_s, 9'900);
  for (std::size_t i = 1; i < points.size(); ++i) {
    EXPECT_GT(points[i].at_s, points[i - 1].at_s);
    EXPECT_LT(points[i].at_s - points[i - 1].at_s, 200) << "no hole";
  }
}

TEST(PriceHistoryTest, OneMomentIsOnePoint) {
  PriceHistory history;
  for (int i = 0; i < 10'000; ++i) {
    history.Add(5, i);
  }
  ASSERT_EQ(history.points().size(), 1U);
  EXPECT_EQ(history.points()[0].price, 0);
}

}  // namespace
}  // namespace cairn::sim
