// Objects on their way to a device: nothing wrong gets there unnoticed, and copies overlap.
#include "libcache/tier/device_uploader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/tier/host_device_memory.h"

namespace cairn {
namespace {

class DeviceUploaderTest : public ::testing::Test {
 protected:
  void Open(std::uint64_t buffer_bytes, int streams = 2,
            std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    device_ = std::make_unique<HostDeviceMemory>(HostDeviceMemory::Config{
        .total_bytes = 16 * kMiB, .streams = streams, .lost_when_exists = {}});
    auto uploader =
        DeviceUploader::Open(device_.get(), {.buffer_bytes = buffer_bytes, .limit = limit});
    ASSERT_TRUE(uploader.has_value());
    uploader_ = std::move(*uploader);
    for (auto& region : regions_) {
      auto allocated = device_->Allocate(4 * kMiB);
      ASSERT_TRUE(allocated.has_value());
      region = allocated->id;
    }
  }
  /// An object of its own bytes, to go to `offset`.
  void Add(std::uint64_t bytes, std::uint64_t offset, std::size_t region = 0) {
    std::vector<std::byte> content(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
      content[i] = static_cast<std::byte>(i * 31 + objects_.size() * 7 + i / 257);
    }
    objects_.push_back(std::move(content));
    transfers_.push_back({.source = objects_.back(),
                          .digest = DigestOf(objects_.back()),
                          .region = regions_[region],
                          .offset = offset});
  }
  [[nodiscard]] bool Arrived(std::size_t i) const {
    const auto there = device_->Content(transfers_[i].region);
    return std::equal(objects_[i].begin(), objects_[i].end(),
                      there.begin() + static_cast<std::ptrdiff_t>(transfers_[i].offset));
  }

  std::unique_ptr<HostDeviceMemory> device_;
  std::unique_ptr<DeviceUploader> uploader_;
  std::array<std::uint32_t, 2> regions_{};
  std::vector<std::vector<std::byte>> objects_;
  std::vector<DeviceUploader::Transfer> transfers_;
};

TEST_F(DeviceUploaderTest, ObjectsOfAllSizesArriveInAllRegions) {
  for (const int streams : {1, 2, 3}) {
    objects_.clear();
    objects_.reserve(100);
    transfers_.clear();
    Open(4096, streams);
    std::uint64_t offset = 0;
    std::size_t i = 0;
    constexpr std::uint64_t kSizes[] = {1, 63, 64, 65, 4095, 4096, 4097, 8192, 100'000, 5, 6, 7};
    for (const std::uint64_t size : kSizes) {
      Add(size, offset, i++ % 5 == 4 ? 1 : 0);
      offset += RoundUp(size, 256);
    }
    const auto outcome = uploader_->Upload(transfers_);
    ASSERT_TRUE(outcome.status.has_value()) << ToString(outcome.status.error());
    for (i = 0; i < objects_.size(); ++i) {
      EXPECT_TRUE(Arrived(i)) << "object " << i << " with " << streams << " streams";
    }
    const auto again = uploader_->Upload(transfers_);
    EXPECT_TRUE(again.status.has_value());
  }
  EXPECT_TRUE(uploader_->Upload({}).status.has_value());
}

TEST_F(DeviceUploaderTest, StreamsWorkAtTheSameTime) {
  Open(64 * kKiB);
  device_->SetCopyTime(std::chrono::milliseconds(3));
  objects_.reserve(1);
  Add(kMiB, 0);
  ASSERT_TRUE(uploader_->Upload(transfers_).status.has_value());
  EXPECT_EQ(device_->most_at_once(), 2) << "16 buffers of 6 ms each, on two streams";
  EXPECT_TRUE(Arrived(0));
}

TEST_F(DeviceUploaderTest, DamageInHostMemoryIsNoticedAndNamed) {
  Open(4096);
  objects_.reserve(3);
  Add(10'000, 0);
  Add(20'000, 64 * kKiB);
  Add(10'000, 128 * kKiB);
  objects_[1][19'999] ^= std::byte{1};
  const auto outcome = uploader_->Upload(transfers_);
  ASSERT_FALSE(outcome.status.has_value());
  EXPECT_EQ(outcome.status.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(outcome.failed, 1U);
  objects_[1][19'999] ^= std::byte{1};
  EXPECT_TRUE(uploader_->Upload(transfers_).status.has_value()) << "it can be used further";
  EXPECT_TRUE(Arrived(0) && Arrived(1) && Arrived(2));
}

TEST_F(DeviceUploaderTest, ADeviceThatGivesBackOtherBytesIsNoticed) {
  Open(4096, 1);  // One stream: the first copy is the first object's.
  objects_.reserve(2);
  Add(100, 0);
  Add(50'000, 4096);
  device_->SpoilNext();
  const auto outcome = uploader_->Upload(transfers_);
  ASSERT_FALSE(outcome.status.has_value());
  EXPECT_EQ(outcome.status.error().code, ErrorCode::kIo);
  EXPECT_EQ(outcome.failed, 0U);
  EXPECT_TRUE(uploader_->Upload(transfers_).status.has_value());
}

TEST_F(DeviceUploaderTest, LossAtEveryPointIsAnErrorAndNothingHangs) {
  for (int after = 0; after < 20; ++after) {
    objects_.clear();
    objects_.reserve(1);
    transfers_.clear();
    Open(4096);
    Add(9 * 4096, 0);  // Nine buffers, there and back: 18 batches.
    device_->LoseAfter(after);
    const auto outcome = uploader_->Upload(transfers_);
    EXPECT_EQ(outcome.status.has_value(), after >= 18) << after;
    if (!outcome.status) {
      EXPECT_EQ(outcome.status.error().code, ErrorCode::kUnavailable);
    }
  }
}

TEST_F(DeviceUploaderTest, ADeviceThatDoesNotAnswerIsGivenUp) {
  Open(4096, 2, std::chrono::milliseconds(20));
  objects_.reserve(1);
  Add(9 * 4096, 0);
  device_->Hang(true);
  const auto outcome = uploader_->Upload(transfers_);
  ASSERT_FALSE(outcome.status.has_value());
  EXPECT_EQ(outcome.status.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace cairn
