#include "libcache/published/byte_placement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cairn {
namespace {

using Positions = std::vector<std::uint32_t>;
using Points = std::vector<RealChainPoint>;

// One request in ten leaves at 1,000 tokens, the others at 4,000 or just before.
const Points kDocument = {{1000, 1000, 0.1}, {3936, 3936, 0.2}, {4000, 4000, 0.7}};
// A checkpoint is worth the KV of 800 tokens, as in a real model.
constexpr BoundaryBytes kModel = {.per_checkpoint = 1'600'000, .per_token = 2'000};

Positions Place(double price) { return PlaceForBytes(kDocument, kModel, price).value(); }

TEST(BytePlacementTest, BytesForNothingBuyEveryPlace) {
  EXPECT_EQ(Place(0), Positions({1000, 3936, 4000}));
}

TEST(BytePlacementTest, APriceKeepsWhatPays) {
  // 1000 saves 100 tokens of a request for 1.6 MB; 4000 saves 45 more than 3936 does.
  EXPECT_EQ(Place(40.0 / 1'600'000), Positions({1000, 3936, 4000}));
  EXPECT_EQ(Place(50.0 / 1'600'000), Positions({1000, 3936}));
  EXPECT_EQ(Place(110.0 / 1'600'000), Positions({3936}));
}

TEST(BytePlacementTest, ATooHighPriceLeavesTheDensestSet) {
  EXPECT_EQ(Place(1), Positions({3936}));
  EXPECT_EQ(Place(std::numeric_limits<double>::infinity()), Positions({3936}));
}

TEST(BytePlacementTest, KvBeyondTheDeepestIsNotPaidFor) {
  EXPECT_EQ(kModel.Of({}), 0);
  EXPECT_EQ(kModel.Of(Positions({1000, 3936})), 2 * 1'600'000 + 3936 * 2000.0);
  EXPECT_NEAR(ExpectedSaving(kDocument, Positions({1000, 3936})), 100 + 0.9 * 3936, 1e-9);
}

TEST(BytePlacementTest, NothingIsPlacedOnNothing) {
  EXPECT_EQ(PlaceForBytes({}, kModel, 0).value(), Positions());
  EXPECT_EQ(PlaceForBytes(Points{{64, 64, 0}}, kModel, 0).value(), Positions());
  EXPECT_EQ(PlaceForBytes(kDocument, {}, 1).value(), Positions({1000, 3936, 4000}))
      << "what takes no bytes costs nothing";
}

TEST(BytePlacementTest, RefusesWhatIsNoNumber) {
  const double none = std::nan("");
  EXPECT_FALSE(PlaceForBytes(kDocument, kModel, none).has_value());
  EXPECT_FALSE(PlaceForBytes(kDocument, kModel, -1).has_value());
  EXPECT_FALSE(PlaceForBytes(kDocument, {.per_checkpoint = none}, 1).has_value());
  EXPECT_FALSE(PlaceForBytes(kDocument, {.per_token = -1}, 1).has_value());
  EXPECT_FALSE(PlaceForBytes(Points{{1, 1, none}}, kModel, 1).has_value());
}

}  // namespace
}  // namespace cairn
