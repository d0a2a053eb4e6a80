// What goes when the cap is reached, and what other limits do.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "libcache/tier/ssd_tier.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

TEST(SsdCapacityTest, SegmentsThatAreReadOutliveThoseThatAreNot) {
  const ScratchDirectory scratch;
  const auto opened = MustOpen({.path = scratch.path(),
                                .capacity_bytes = 32 * kMiB,
                                .segment_bytes = 4 * kMiB,
                                .write_buffer_bytes = 4 * kMiB});
  const auto favourite = MakeObject(0, kMiB);
  const auto location = opened.tier->Write(favourite.record, favourite.bytes, 0).value();
  for (std::uint32_t id = 1; id < 100; ++id) {
    const auto object = MakeObject(id, kMiB);
    ASSERT_TRUE(opened.tier->Write(object.record, object.bytes, id).has_value());
    ASSERT_TRUE(ReadsBack(*opened.tier, location, favourite)) << "evicted by object " << id;
  }
}

// A write can only be refused before it harms: the floor leaves what is stored alone.
TEST(SsdCapacityTest, TheFloorOfFreeSpaceRefusesWritesOnly) {
  const ScratchDirectory scratch;
  const auto object = MakeObject(1, 100'000);
  ColdLocation location;
  {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    location = opened.tier->Write(object.record, object.bytes, 1).value();
  }
  auto config = SmallConfig(scratch.path());
  config.min_free_bytes = std::uint64_t{1} << 60U;
  const auto opened = MustOpen(config);
  RecoverAll(*opened.tier);
  const auto refused = opened.tier->Write(object.record, object.bytes, 1);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(opened.tier->Stats().write_failures, 1U);
  EXPECT_TRUE(ReadsBack(*opened.tier, location, object));
}

TEST(SsdCapacityTest, ASmallerCapAfterARestartIsKeptToo) {
  const ScratchDirectory scratch;
  {
    const auto opened = MustOpen(SmallConfig(scratch.path()));
    for (std::uint32_t id = 0; id < 50; ++id) {
      const auto object = MakeObject(id, kMiB);
      ASSERT_TRUE(opened.tier->Write(object.record, object.bytes, id).has_value());
    }
  }
  auto config = SmallConfig(scratch.path());
  config.capacity_bytes = 24 * kMiB;
  const auto opened = MustOpen(config);
  EXPECT_EQ(RecoverAll(*opened.tier).size(), 50U);
  const auto object = MakeObject(100, kMiB);
  const auto location = opened.tier->Write(object.record, object.bytes, 100);
  ASSERT_TRUE(location.has_value()) << ToString(location.error());
  EXPECT_LE(DiskUse(scratch.path()), config.capacity_bytes);
  EXPECT_TRUE(ReadsBack(*opened.tier, *location, object));
}

std::string Contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Compaction that meets a damaged table would stop all writes. The tables of payload are damaged
// behind the back of a running tier; it must read no wrong bytes and go on evicting.
TEST(SsdCapacityTest, DamagedTablesDoNotStopEviction) {
  const ScratchDirectory scratch;
  const auto opened = MustOpen({.path = scratch.path(),
                                .capacity_bytes = 32 * kMiB,
                                .segment_bytes = 4 * kMiB,
                                .write_buffer_bytes = kMiB});
  std::vector<ColdLocation> locations;
  const auto write = [&](std::uint32_t id) {
    const auto object = MakeObject(id, 500'000);
    const auto location = opened.tier->Write(object.record, object.bytes, id);
    ASSERT_TRUE(location.has_value()) << ToString(location.error());
    locations.push_back(*location);
  };
  for (std::uint32_t id = 0; id < 40; ++id) {
    write(id);
  }
  int damaged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path() + "/db")) {
    std::string contents = entry.path().extension() == ".sst" ? Contents(entry.path()) : "";
    if (contents.find("cairn.blobs") != std::string::npos) {
      contents[10] = static_cast<char>(contents[10] ^ 0x10);
      std::ofstream(entry.path(), std::ios::binary) << contents;
      ++damaged;
    }
  }
  ASSERT_GT(damaged, 4);
  for (std::uint32_t id = 40; id < 200; ++id) {
    write(id);
    ASSERT_LE(DiskUse(scratch.path()), 32 * kMiB);
  }
  int found = 0;
  for (std::uint32_t id = 0; id < 200; ++id) {
    found += ReadsBack(*opened.tier, locations[id], MakeObject(id, 500'000)) ? 1 : 0;
  }
  EXPECT_GT(found, 20);
  EXPECT_EQ(opened.tier->Stats().state, "ok");
}

}  // namespace
}  // namespace cairn
