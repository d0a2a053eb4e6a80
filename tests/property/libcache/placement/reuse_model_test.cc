#include "libcache/placement/reuse_model.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <random>

namespace cairn {
namespace {

/// Few distinct values, some beyond what is told apart.
SiteTraits AnyTraits(std::mt19937_64& random) {
  const auto any = [&random] {
    constexpr std::uint8_t kValues[] = {0, 1, 2, 30, 63, 255};
    return kValues[random() % 6];
  };
  return {.kind = static_cast<SiteKind>(random() % kSiteKinds),
          .uses = any(),
          .turns = any(),
          .children = any(),
          .segment = any(),
          .depth = any(),
          .siblings = any(),
          .continued = any(),
          .gap_bin = random() % 2 == 0 ? SiteTraits::kNoGap
                                       : static_cast<std::uint8_t>(random() % AgeBins::kCount),
          .tenant = any(),
          .answer = any()};
}

/// Long silences and bursts of uses, for the same traits over and over or for new ones.
void AnyHistory(ReuseModel& model, std::mt19937_64& random) {
  const auto episodes = random() % 6;
  for (std::size_t i = 0; i < episodes; ++i) {
    const SiteTraits traits = AnyTraits(random);
    const bool fixed_bin = random() % 2 == 0;
    const std::size_t bin = random() % AgeBins::kCount;
    const auto used_of_8 = random() % 3 == 0 ? random() % 9 : (random() % 2) * 8;
    for (auto event = random() % 2000; event > 0; --event) {
      const std::size_t at = fixed_bin ? bin : random() % AgeBins::kCount;
      const SiteTraits who = used_of_8 == 8 && random() % 2 == 0 ? AnyTraits(random) : traits;
      if (random() % 8 < used_of_8) {
        model.Used(who, at);
      } else {
        model.Survived(who, at);
      }
    }
  }
}

RC_GTEST_PROP(ReuseModelProperty, FiguresStayInRangeAndSnapshotsComeBack, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  std::mt19937_64 random(seed);
  ReuseModel model;
  AnyHistory(model, random);
  if (random() % 3 == 0) {
    ReuseModel other;
    AnyHistory(other, random);
    model.Merge(other);
  }
  for (int i = 0; i < 20; ++i) {
    const SiteTraits traits = AnyTraits(random);
    double last = 1;
    for (std::size_t bin = 0; bin < AgeBins::kCount; ++bin) {
      const double probability = model.ReturnProbability(traits, bin);
      RC_ASSERT(probability >= 0.0 && probability <= last);
      last = probability;
      const double density = model.Density(traits, bin);
      RC_ASSERT(std::isfinite(density) && density > 0);
    }
  }
  ReuseModel copy;
  const auto snapshot = model.Snapshot();
  RC_ASSERT(copy.Restore(snapshot).has_value());
  RC_ASSERT(copy.Snapshot() == snapshot);
}

// A history that drove a base rate to nothing: what was expected without it came out beyond all
// bounds, and the snapshot could not be restored.
TEST(ReuseModelProperty, ATermNextToNothingDoesNotRunAway) {
  std::mt19937_64 random(1541);
  ReuseModel model;
  AnyHistory(model, random);
  if (random() % 3 == 0) {
    ReuseModel other;
    AnyHistory(other, random);
    model.Merge(other);
  }
  ReuseModel copy;
  EXPECT_TRUE(copy.Restore(model.Snapshot()).has_value());
}

RC_GTEST_PROP(ReuseModelProperty, SameHistorySameModel, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  ReuseModel models[2];
  for (ReuseModel& model : models) {
    std::mt19937_64 random(seed);
    AnyHistory(model, random);
    // Asking must not change anything.
    if (&model == &models[0]) {
      static_cast<void>(model.Density(AnyTraits(random), 3));
    }
    std::mt19937_64 more(seed + 1);
    AnyHistory(model, more);
  }
  RC_ASSERT(models[0].Snapshot() == models[1].Snapshot());
}

}  // namespace
}  // namespace cairn
