#include "libcache/placement/distance_model.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>

namespace cairn {
namespace {

RC_GTEST_PROP(DistanceModelProperty, SharesAreProbabilitiesThatGrowWithTheDistance, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  std::mt19937_64 random(seed);
  const auto any = [&random] { return static_cast<std::uint32_t>(random() >> (random() % 64)); };
  DistanceModel model;
  const std::uint32_t favourite = any();
  for (auto events = random() % 3000; events > 0; --events) {
    model.Observe(static_cast<SiteKind>(random() % kSiteKinds),
                  static_cast<std::uint8_t>(random() % 70), random() % 2 == 0 ? favourite : any());
  }
  for (int i = 0; i < 20; ++i) {
    const auto kind = static_cast<SiteKind>(random() % kSiteKinds);
    const auto tenant = static_cast<std::uint8_t>(random());
    const std::uint32_t edge = any();
    const std::uint32_t grain = 1 + any() % 5000;
    std::vector<std::uint32_t> distances = {0, edge, edge == 0 ? 0 : edge - 1};
    for (int j = 0; j < 30; ++j) {
      distances.push_back(random() % 2 == 0 || edge == 0 ? any() : any() % edge);
    }
    std::sort(distances.begin(), distances.end());
    double last = 0;
    for (const std::uint32_t distance : distances) {
      const double share = model.ShareWithin(kind, tenant, distance, edge, grain);
      RC_ASSERT(share >= last && share <= 1.0);
      RC_ASSERT(distance < edge || share == 1.0);
      last = share;
    }
  }
  DistanceModel copy;
  RC_ASSERT(copy.Restore(model.Snapshot()).has_value());
  RC_ASSERT(copy.Snapshot() == model.Snapshot());
}

}  // namespace
}  // namespace cairn
