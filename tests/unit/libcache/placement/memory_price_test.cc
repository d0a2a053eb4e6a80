#include "libcache/placement/memory_price.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(MemoryPriceTest, FollowsWhatIsEvicted) {
  MemoryPrice price(1000);
  EXPECT_EQ(price.value(), 0);
  for (int i = 0; i < 100; ++i) {
    price.Evicted(3, 10);  // A fifth of what the mean is taken over.
  }
  EXPECT_NEAR(price.value(), 3, 1e-6);
  price.Evicted(7, 1e9);
  EXPECT_EQ(price.value(), 7) << "more than that at once is all that counts";
}

// A price that nothing is worth admits nothing, so nothing is evicted that could bring it down.
TEST(MemoryPriceTest, FallsWhileNothingIsEvicted) {
  MemoryPrice price(1000);
  price.Evicted(100, 1000);
  price.Asked(2, 500);
  EXPECT_DOUBLE_EQ(price.value(), 51) << "half the capacity was asked for";
  for (int i = 0; i < 100; ++i) {
    price.Asked(2, 500);
  }
  EXPECT_NEAR(price.value(), 2, 1e-6);
  price.Asked(50, 500);
  EXPECT_NEAR(price.value(), 2, 1e-6) << "what is there may be worth more than what goes next";
}

}  // namespace
}  // namespace cairn
