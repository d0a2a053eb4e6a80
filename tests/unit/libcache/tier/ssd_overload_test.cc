// The cap is hard: ten times as much is written, and `du` never shows more than the cap.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "libcache/tier/ssd_tier.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

struct Overload {
  const char* name;
  std::uint64_t capacity_bytes;
  std::uint64_t segment_bytes;
  std::vector<std::size_t> sizes;
  int flush_every;
};

class SsdOverloadTest : public testing::TestWithParam<Overload> {};

// Ten times the capacity goes in; after every write the directory is measured.
TEST_P(SsdOverloadTest, StaysBelowTheCapWithLittleWriteAmplification) {
  const Overload& load = GetParam();
  const ScratchDirectory scratch;
  const auto opened = MustOpen({.path = scratch.path(),
                                .capacity_bytes = load.capacity_bytes,
                                .segment_bytes = load.segment_bytes,
                                .write_buffer_bytes = 4 * kMiB});
  std::set<std::uint32_t> live;
  opened.tier->SetGoneListener([&](auto gone) {
    for (const ColdGone& one : gone) {
      EXPECT_EQ(live.erase(one.cookie), 1U) << "reported twice, or never written";
    }
  });
  std::vector<std::pair<ColdLocation, std::size_t>> written;
  std::uint64_t total = 0;
  std::uint64_t most = 0;
  for (std::uint32_t id = 0; total < 10 * load.capacity_bytes; ++id) {
    const std::size_t size = load.sizes[id % load.sizes.size()];
    const auto object = MakeObject(id, size);
    live.insert(id);
    const auto location = opened.tier->Write(object.record, object.bytes, id);
    ASSERT_TRUE(location.has_value()) << ToString(location.error());
    written.emplace_back(*location, size);
    total += size;
    if (load.flush_every > 0 && id % static_cast<std::uint32_t>(load.flush_every) == 0) {
      ASSERT_TRUE(opened.tier->Flush().has_value());
    }
    most = std::max(most, DiskUse(scratch.path()));
    ASSERT_LE(most, load.capacity_bytes) << "after object " << id;
  }
  const auto stats = opened.tier->Stats();
  EXPECT_EQ(stats.state, "ok");
  EXPECT_EQ(stats.objects, live.size());
  EXPECT_LE(stats.disk_bytes, load.capacity_bytes);
  EXPECT_GT(stats.live_bytes, load.capacity_bytes / 2) << "the cap is used";
  ASSERT_TRUE(opened.tier->Flush().has_value());
  const double amplification = static_cast<double>(opened.tier->Stats().device_written_bytes) /
                               static_cast<double>(stats.written_bytes);
  EXPECT_LE(amplification, 1.3);
  EXPECT_GE(amplification, 0.9) << "the count of device writes misses something";
  std::printf("%s: write amplification %.3f, most on disk %s of %s, live %s\n", load.name,
              amplification, FormatBytes(most).c_str(), FormatBytes(load.capacity_bytes).c_str(),
              FormatBytes(stats.live_bytes).c_str());
  for (std::uint32_t id = 0; id < written.size(); ++id) {
    EXPECT_EQ(ReadsBack(*opened.tier, written[id].first, MakeObject(id, written[id].second)),
              live.contains(id));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Loads, SsdOverloadTest,
    testing::Values(Overload{"states", 24 * kMiB, 6 * kMiB, {2 * kMiB + 100, 600'000}, 0},
                    Overload{"small", 16 * kMiB, 4 * kMiB, {20'000, 5'000, 60'000}, 0},
                    Overload{"durable", 16 * kMiB, 4 * kMiB, {500'000}, 3},
                    Overload{"larger than a segment", 28 * kMiB, 4 * kMiB, {7 * kMiB, 300'000}, 0}),
    [](const auto& tested) { return "Load" + std::to_string(tested.index); });

}  // namespace
}  // namespace cairn
