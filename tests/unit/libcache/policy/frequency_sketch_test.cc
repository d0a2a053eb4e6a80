#include "libcache/policy/frequency_sketch.h"

#include <gtest/gtest.h>

#include <random>

namespace cairn {
namespace {

TEST(FrequencySketchTest, CountsUpToItsLimit) {
  FrequencySketch sketch;
  EXPECT_EQ(sketch.Estimate(7), 0U);
  for (std::uint32_t uses = 1; uses <= 20; ++uses) {
    sketch.Add(7);
    EXPECT_EQ(sketch.Estimate(7), std::min(uses, FrequencySketch::kMaxCount));
  }
  EXPECT_EQ(sketch.Estimate(8), 0U);
}

TEST(FrequencySketchTest, HalvesEveryPeriod) {
  FrequencySketch sketch;
  for (int i = 0; i < 12; ++i) {
    sketch.Add(7);
  }
  for (std::uint64_t i = 12; i < sketch.sample_period() - 1; ++i) {
    sketch.Add(1'000'000);  // Saturates and then changes nothing.
  }
  EXPECT_EQ(sketch.Estimate(7), 12U);
  sketch.Add(1'000'000);
  EXPECT_EQ(sketch.Estimate(7), 6U);
  for (std::uint64_t i = 0; i < sketch.sample_period() - sketch.sample_period() / 2; ++i) {
    sketch.Add(1'000'000);
  }
  EXPECT_EQ(sketch.Estimate(7), 3U) << "what was halved counts as half a period";
}

// Growing must not forget: units arrive one by one while the cache fills.
TEST(FrequencySketchTest, GrowingKeepsEveryEstimate) {
  FrequencySketch sketch;
  std::mt19937_64 random(3);
  for (int i = 0; i < 3000; ++i) {
    sketch.Add(random() % 500);
  }
  std::vector<std::uint32_t> before;
  for (std::uint64_t key = 0; key < 600; ++key) {
    before.push_back(sketch.Estimate(key));
  }
  const auto period = sketch.sample_period();
  sketch.EnsureCapacity(50'000);
  EXPECT_GE(sketch.sample_period(), 500'000U);
  EXPECT_GT(sketch.sample_period(), period);
  for (std::uint64_t key = 0; key < 600; ++key) {
    EXPECT_EQ(sketch.Estimate(key), before[key]) << key;
  }
}

// Ten thousand units resident, as many again gone: few may look more used than they were.
TEST(FrequencySketchTest, CollisionsAreRare) {
  FrequencySketch sketch;
  sketch.EnsureCapacity(10'000);
  for (std::uint64_t key = 0; key < 20'000; ++key) {
    sketch.Add(key);
  }
  int wrong = 0;
  for (std::uint64_t key = 0; key < 20'000; ++key) {
    EXPECT_GE(sketch.Estimate(key), 1U);
    wrong += sketch.Estimate(key) > 1 ? 1 : 0;
  }
  EXPECT_LT(wrong, 200) << "1 %";
}

}  // namespace
}  // namespace cairn
