// The fake device: its copies are real, beside each other, and fail when told to.
#include "libcache/tier/host_device_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>

#include "libcache/base/bytes.h"

namespace cairn {
namespace {

TimePoint Soon() { return SteadyClock::Instance().Now() + std::chrono::seconds(60); }

class HostDeviceMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto region = device_.Allocate(kMiB);
    ASSERT_TRUE(region.has_value());
    region_ = *region;
    auto staging = device_.AllocateStaging(kMiB);
    ASSERT_TRUE(staging.has_value());
    staging_ = *staging;
    for (std::size_t i = 0; i < staging_.size(); ++i) {
      staging_[i] = static_cast<std::byte>(i * 7 + i / 256);
    }
  }
  Status Up(int stream, std::uint64_t offset, std::uint64_t bytes) {
    const DeviceMemory::Piece piece{.host = staging_.first(bytes), .offset = offset};
    return device_.CopyToDevice(stream, region_.id, {&piece, 1});
  }
  Status Wait(int stream) {
    const auto mark = device_.SetMark(stream);
    return mark ? device_.Wait(*mark, Soon()) : Fail(mark.error());
  }

  HostDeviceMemory device_{{.total_bytes = 4 * kMiB, .streams = 2, .lost_when_exists = {}}};
  DeviceMemory::Region region_;
  std::span<std::byte> staging_;
};

TEST_F(HostDeviceMemoryTest, SaysThatItIsAFake) {
  EXPECT_EQ(device_.Kind(), "fake");
  EXPECT_NE(device_.Name().find("fake"), std::string::npos);
}

TEST_F(HostDeviceMemoryTest, CopiesThereAndBackInOrder) {
  ASSERT_TRUE(Up(1, 4096, 1000));
  std::vector<std::byte> back(1000);
  const DeviceMemory::Piece piece{.host = back, .offset = 4096};
  ASSERT_TRUE(device_.CopyToHost(1, region_.id, {&piece, 1}));
  ASSERT_TRUE(Wait(1));
  EXPECT_TRUE(std::equal(back.begin(), back.end(), staging_.begin()));
}

TEST_F(HostDeviceMemoryTest, AnotherProcessMapsTheRegionAndCannotWriteIt) {
  ASSERT_TRUE(Up(0, 0, 4096));
  ASSERT_TRUE(Wait(0));
  void* const mapped = mmap(nullptr, kMiB, PROT_READ, MAP_SHARED, region_.handle, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_TRUE(
      std::equal(staging_.begin(), staging_.begin() + 4096, static_cast<const std::byte*>(mapped)));
  munmap(mapped, kMiB);
  EXPECT_EQ(mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, region_.handle, 0), MAP_FAILED);
}

TEST_F(HostDeviceMemoryTest, CopiesRunBesideTheirCallerAndEachOther) {
  device_.Hang(true);
  ASSERT_TRUE(Up(0, 0, 10)) << "returns before the copy is done";
  const auto mark = device_.SetMark(0);
  ASSERT_TRUE(mark);
  EXPECT_FALSE(*device_.Reached(*mark));
  const Status late =
      device_.Wait(*mark, SteadyClock::Instance().Now() + std::chrono::milliseconds(5));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  device_.Hang(false);
  ASSERT_TRUE(device_.Wait(*mark, Soon()));
  EXPECT_TRUE(*device_.Reached(*mark));
  // Long enough for the two threads to meet on the busiest machine, sooner or later.
  device_.SetCopyTime(std::chrono::milliseconds(2));
  for (int i = 0; i < 500 && device_.most_at_once() < 2; ++i) {
    ASSERT_TRUE(Up(0, 0, 10) && Up(1, 64 * kKiB, 10));
    ASSERT_TRUE(Wait(0) && Wait(1));
  }
  EXPECT_EQ(device_.most_at_once(), 2);
}

TEST_F(HostDeviceMemoryTest, HasNoMoreThanItHas) {
  EXPECT_EQ(device_.SpaceNow()->free_bytes, 3 * kMiB);
  const auto too_much = device_.Allocate(4 * kMiB);
  ASSERT_FALSE(too_much);
  EXPECT_EQ(too_much.error().code, ErrorCode::kNoSpace);
  device_.SetFull(true);
  EXPECT_EQ(device_.Allocate(64 * kKiB).error().code, ErrorCode::kNoSpace);
  EXPECT_TRUE(device_.Health()) << "full is not lost";
  device_.SetFull(false);
  device_.Release(region_.id);
  EXPECT_TRUE(device_.Allocate(4 * kMiB));
}

TEST_F(HostDeviceMemoryTest, OnceLostEverythingFailsAndNobodyWaits) {
  device_.Hang(true);
  ASSERT_TRUE(Up(0, 0, 10));
  const auto mark = device_.SetMark(0);
  ASSERT_TRUE(mark);
  std::thread loser([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    device_.Lose("it fell off the bus");
  });
  const Status waited = device_.Wait(*mark, Soon());
  loser.join();
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(waited.error().message, "it fell off the bus");
  EXPECT_FALSE(Up(0, 0, 10));
  EXPECT_FALSE(device_.SetMark(1));
  EXPECT_FALSE(device_.Reached(*mark));
  EXPECT_FALSE(device_.Allocate(64 * kKiB));
  EXPECT_FALSE(device_.AllocateStaging(1));
  EXPECT_FALSE(device_.SpaceNow());
  EXPECT_FALSE(device_.Health());
}

TEST_F(HostDeviceMemoryTest, IsLostAfterSoManyCopies) {
  device_.LoseAfter(2);
  EXPECT_TRUE(Up(0, 0, 10));
  EXPECT_TRUE(Up(1, 0, 10));
  EXPECT_FALSE(Up(0, 0, 10));
}

TEST(HostDeviceMemory, IsLostOnceAFileSaysSo) {
  char path[] = "/tmp/cairn-fake-gpu-XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  close(fd);
  unlink(path);
  HostDeviceMemory device({.total_bytes = kMiB, .streams = 1, .lost_when_exists = path});
  EXPECT_TRUE(device.Health());
  std::FILE* const file = std::fopen(path, "w");
  ASSERT_NE(file, nullptr);
  std::fclose(file);
  EXPECT_FALSE(device.Health());
  unlink(path);
  EXPECT_FALSE(device.Health()) << "lost for good";
}

TEST(CopyChoice, SmallPiecesGoByKernelWhereThereAreMany) {
  const CopyChoice by_default;
  EXPECT_EQ(by_default.Of(27 * kKiB, 16), CopyWay::kKernel);
  EXPECT_EQ(by_default.Of(27 * kKiB, 15), CopyWay::kCopyEngine) << "not worth a launch";
  EXPECT_EQ(by_default.Of(28 * kKiB, 1000), CopyWay::kCopyEngine);
  const CopyChoice slow_engine{.switch_bytes = 48 * kKiB};
  EXPECT_EQ(slow_engine.Of(40 * kKiB, 16), CopyWay::kKernel);
  EXPECT_EQ(slow_engine.Of(48 * kKiB, 16), CopyWay::kCopyEngine);
  const CopyChoice absurd{.switch_bytes = kMiB};
  EXPECT_EQ(absurd.Of(64 * kKiB, 16), CopyWay::kCopyEngine) << "whatever was measured";
}

}  // namespace
}  // namespace cairn
