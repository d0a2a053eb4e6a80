// A disk that fills up under the tier: writes are refused, every read goes on, and when space
// returns so do writes, without a restart.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "libcache/tier/ssd_tier.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

/// A small file system of the test's own.
class SsdDiskFullTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::mount("tmpfs", scratch_.path().c_str(), "tmpfs", 0, "size=64m") != 0) {
      std::fprintf(stderr, "cannot mount a tmpfs here (%s): the full-disk tests are SKIPPED\n",
                   std::strerror(errno));
      GTEST_SKIP() << "mount: " << std::strerror(errno);
    }
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) {
      EXPECT_EQ(::umount2(scratch_.path().c_str(), MNT_DETACH), 0);
    }
  }

  [[nodiscard]] SsdConfig Config() const {
    return {.path = scratch_.path() + "/ssd",
            .capacity_bytes = 256 * kMiB,
            .segment_bytes = 4 * kMiB,
            .write_buffer_bytes = 4 * kMiB};
  }
  [[nodiscard]] std::string junk() const { return scratch_.path() + "/junk"; }

  /// Writes until the disk takes no more.
  void FillDisk() const {
    const std::string block(4096, 'j');
    const int fd = ::open(junk().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    while (::write(fd, block.data(), block.size()) > 0) {
    }
    EXPECT_EQ(errno, ENOSPC);
    ::close(fd);
  }

 private:
  ScratchDirectory scratch_;
  bool mounted_ = false;
};

TEST_F(SsdDiskFullTest, ADiskSmallerThanTheCapRefusesWritesInTime) {
  const auto opened = MustOpen(Config());
  std::vector<ColdLocation> locations;
  bool refused = false;
  for (std::uint32_t id = 0; id < 100; ++id) {
    const auto object = MakeObject(id, kMiB);
    const auto location = opened.tier->Write(object.record, object.bytes, id);
    if (!location) {
      EXPECT_EQ(location.error().code, ErrorCode::kNoSpace);
      refused = true;
      break;
    }
    locations.push_back(*location);
  }
  EXPECT_TRUE(refused);
  EXPECT_GT(locations.size(), 40U);
  EXPECT_EQ(opened.tier->Stats().state, "ok") << "refused before the store got into trouble";
  EXPECT_TRUE(opened.tier->Flush().has_value());
  for (std::uint32_t id = 0; id < locations.size(); ++id) {
    EXPECT_TRUE(ReadsBack(*opened.tier, locations[id], MakeObject(id, kMiB)));
  }
}

TEST_F(SsdDiskFullTest, AFullDiskDegradesAndRecoversWithoutARestart) {
  const auto opened = MustOpen(Config());
  std::vector<ColdLocation> locations;
  for (std::uint32_t id = 0; id < 12; ++id) {
    const auto object = MakeObject(id, kMiB / 2);
    locations.push_back(opened.tier->Write(object.record, object.bytes, id).value());
    if (id == 8) {
      ASSERT_TRUE(opened.tier->Flush().has_value());
    }
  }
  // Someone else takes the rest while the last objects are still in memory.
  FillDisk();
  const auto flushed = opened.tier->Flush();
  ASSERT_FALSE(flushed.has_value());
  EXPECT_EQ(flushed.error().code, ErrorCode::kNoSpace) << ToString(flushed.error());
  EXPECT_TRUE(opened.tier->Stats().state.starts_with("degraded: "));
  const auto object = MakeObject(50, 10'000);
  const auto refused = opened.tier->Write(object.record, object.bytes, 50);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kNoSpace);
  for (std::uint32_t id = 0; id < locations.size(); ++id) {
    EXPECT_TRUE(ReadsBack(*opened.tier, locations[id], MakeObject(id, kMiB / 2))) << id;
  }

  std::remove(junk().c_str());
  const auto start = std::chrono::steady_clock::now();
  bool written = false;
  while (!written && std::chrono::steady_clock::now() - start < std::chrono::seconds(10)) {
    const auto location = opened.tier->Write(object.record, object.bytes, 50);
    written = location.has_value() && ReadsBack(*opened.tier, *location, object);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_TRUE(written) << opened.tier->Stats().state;
  EXPECT_TRUE(opened.tier->Flush().has_value());
  EXPECT_EQ(opened.tier->Stats().state, "ok");
  std::printf("writes resumed after %lld ms\n",
              static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                         std::chrono::steady_clock::now() - start)
                                         .count()));
}

TEST_F(SsdDiskFullTest, AFullDiskAtStartIsNotTakenForABrokenStore) {
  const auto object = MakeObject(1, kMiB);
  ColdLocation location;
  {
    const auto opened = MustOpen(Config());
    location = opened.tier->Write(object.record, object.bytes, 1).value();
  }
  FillDisk();
  {
    const auto opened = OpenSsdTier(Config());
    if (!opened) {
      EXPECT_EQ(opened.error().code, ErrorCode::kNoSpace) << ToString(opened.error());
    } else {
      EXPECT_EQ(opened->quarantined_to, "");
    }
    std::printf("a full disk at start: %s\n", opened ? "opened" : ToString(opened.error()).c_str());
  }
  std::remove(junk().c_str());
  const auto opened = MustOpen(Config());
  EXPECT_EQ(opened.quarantined_to, "");
  EXPECT_EQ(RecoverAll(*opened.tier).size(), 1U);
  EXPECT_TRUE(ReadsBack(*opened.tier, location, object));
}

}  // namespace
}  // namespace cairn
