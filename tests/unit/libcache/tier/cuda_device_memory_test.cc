// CUDA's device memory against a stand-in for the driver: what is asked of it, in which order, and
// what becomes of each thing that it may refuse. Says nothing about a real GPU.
#include "libcache/tier/cuda_device_memory.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/tier/device_uploader.h"
#include "tests/unit/libcache/tier/fake_libcuda.h"

namespace cairn {
namespace {

#ifndef CAIRN_WITH_CUDA

TEST(CudaDeviceMemory, ABuildWithoutHeadersSaysSo) {
  const auto opened = OpenCudaDevice(0);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
}

#else

// Of cuda.h, whose other names a test does not need.
constexpr int kOutOfMemory = 2;
constexpr int kNoDevice = 100;
constexpr int kBadEcc = 214;

class CudaDeviceMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    void* const library = dlopen("libcuda.so.1", RTLD_NOW);
    ASSERT_NE(library, nullptr) << dlerror();
    cuda_ = static_cast<FakeCuda*>(dlsym(library, "fake_cuda"));
    if (cuda_ == nullptr) {
      GTEST_SKIP() << "a real driver was found";
    }
    *cuda_ = FakeCuda();
  }
  std::unique_ptr<DeviceMemory> Open() {
    auto opened = OpenCudaDevice(0);
    EXPECT_TRUE(opened.has_value()) << ToString(opened.error());
    return std::move(*opened);
  }
  void FailIn(const char* call, int with, int after = 0) {
    cuda_->fail_call = call;
    cuda_->fail_with = with;
    cuda_->fail_after = after;
  }
  void ExpectNothingLeft() const {
    EXPECT_EQ(cuda_->allocations, 0);
    EXPECT_EQ(cuda_->reservations, 0);
    EXPECT_EQ(cuda_->mappings, 0);
    EXPECT_EQ(cuda_->events, 0);
    EXPECT_EQ(cuda_->streams, 0);
    EXPECT_EQ(cuda_->contexts, 0);
    EXPECT_EQ(cuda_->staging, 0);
  }

  FakeCuda* cuda_ = nullptr;
};

TEST_F(CudaDeviceMemoryTest, ObjectsGoThereAndComeBackAndNothingIsLeft) {
  {
    const auto device = Open();
    EXPECT_EQ(device->Kind(), "cuda");
    EXPECT_EQ(device->Name(), "Stand-in (device 0)");
    EXPECT_EQ(device->granularity_bytes(), 2 * kMiB);
    EXPECT_EQ(device->SpaceNow()->total_bytes, 4 * kMiB);
    EXPECT_TRUE(device->Health());
    const auto region = device->Allocate(4 * kMiB);
    ASSERT_TRUE(region.has_value()) << ToString(region.error());
    auto uploader = DeviceUploader::Open(device.get(), {.buffer_bytes = 64 * kKiB});
    ASSERT_TRUE(uploader.has_value());
    std::vector<std::byte> object(kMiB + 77);
    for (std::size_t i = 0; i < object.size(); ++i) {
      object[i] = static_cast<std::byte>(i * 13 + i / 251);
    }
    const DeviceUploader::Transfer transfer{
        .source = object, .digest = DigestOf(object), .region = region->id, .offset = kMiB};
    ASSERT_TRUE((*uploader)->Upload({&transfer, 1}).status.has_value());
    // What another process sees that imports the descriptor.
    void* const seen = mmap(nullptr, 4 * kMiB, PROT_READ, MAP_SHARED, region->handle, 0);
    ASSERT_NE(seen, MAP_FAILED);
    const auto* const bytes = static_cast<const std::byte*>(seen);
    EXPECT_TRUE(std::equal(object.begin(), object.end(), bytes + kMiB));
    EXPECT_TRUE(std::all_of(bytes, bytes + kMiB, [](std::byte b) { return b == std::byte{0}; }))
        << "new memory is set to zero: it may have been another tenant's";
    munmap(seen, 4 * kMiB);
    EXPECT_EQ(cuda_->events, 0) << "events that were reached are gone";
    device->Release(region->id);
    EXPECT_EQ(cuda_->allocations, 0);
    EXPECT_TRUE(device->Allocate(2 * kMiB));
  }
  ExpectNothingLeft();
}

TEST_F(CudaDeviceMemoryTest, WhateverFailsAtTheStartIsAnErrorThatSaysWhat) {
  for (const char* const call : {"cuInit", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute",
                                 "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent",
                                 "cuMemGetAllocationGranularity", "cuStreamCreate"}) {
    FailIn(call, kNoDevice);
    const auto opened = OpenCudaDevice(0);
    ASSERT_FALSE(opened) << call;
    EXPECT_EQ(opened.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(opened.error().message.find(call), std::string::npos) << opened.error().message;
    EXPECT_NE(opened.error().message.find("100"), std::string::npos) << opened.error().message;
  }
  *cuda_ = FakeCuda();
  EXPECT_FALSE(OpenCudaDevice(1)) << "there is one device";
}

TEST_F(CudaDeviceMemoryTest, MemoryThatIsNotThereIsNoLossAndLeavesNothing) {
  const auto device = Open();
  for (const char* const call : {"cuMemCreate", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess",
                                 "cuMemExportToShareableHandle"}) {
    FailIn(call, kOutOfMemory);
    const auto region = device->Allocate(2 * kMiB);
    ASSERT_FALSE(region) << call;
    EXPECT_EQ(region.error().code, ErrorCode::kNoSpace) << call;
    EXPECT_EQ(cuda_->allocations + cuda_->reservations + cuda_->mappings, 0) << call;
    cuda_->fail_call = nullptr;
    EXPECT_TRUE(device->Health());
  }
  FailIn("cuMemHostAlloc", kOutOfMemory);
  EXPECT_EQ(device->AllocateStaging(100).error().code, ErrorCode::kNoSpace);
  cuda_->fail_call = nullptr;
  EXPECT_TRUE(device->Allocate(2 * kMiB));
}

TEST_F(CudaDeviceMemoryTest, AnyOtherErrorLosesTheDeviceForGood) {
  for (const char* const call :
       {"cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuEventCreate", "cuEventRecord", "cuEventQuery",
        "cuEventDestroy", "cuCtxSetCurrent"}) {
    *cuda_ = FakeCuda();
    const auto device = Open();
    const auto region = device->Allocate(2 * kMiB);
    ASSERT_TRUE(region.has_value());
    auto uploader = DeviceUploader::Open(device.get(), {.buffer_bytes = 4096});
    ASSERT_TRUE(uploader.has_value());
    const std::vector<std::byte> object(10'000, std::byte{7});
    const DeviceUploader::Transfer transfer{
        .source = object, .digest = DigestOf(object), .region = region->id, .offset = 0};
    FailIn(call, kBadEcc, 1);
    const auto outcome = (*uploader)->Upload({&transfer, 1});
    ASSERT_FALSE(outcome.status.has_value()) << call;
    EXPECT_EQ(outcome.status.error().code, ErrorCode::kUnavailable);
    cuda_->fail_call = nullptr;
    const Status health = device->Health();
    ASSERT_FALSE(health) << call;
    EXPECT_NE(health.error().message.find("uncorrectable ECC error"), std::string::npos);
    EXPECT_FALSE(device->Allocate(2 * kMiB));
    EXPECT_FALSE(device->SpaceNow());
    const int copies = cuda_->copies;
    EXPECT_FALSE((*uploader)->Upload({&transfer, 1}).status.has_value());
    EXPECT_EQ(cuda_->copies, copies) << "a lost device is not asked again";
  }
}

TEST_F(CudaDeviceMemoryTest, AnErrorBetweenCopiesShowsInItsHealth) {
  const auto device = Open();
  FailIn("cuStreamQuery", kBadEcc);
  EXPECT_FALSE(device->Health());
}

TEST_F(CudaDeviceMemoryTest, ACopyThatDoesNotEndLosesIt) {
  const auto device = Open();
  const auto region = device->Allocate(2 * kMiB);
  ASSERT_TRUE(region.has_value());
  const auto staging = device->AllocateStaging(4096);
  ASSERT_TRUE(staging.has_value());
  const DeviceMemory::Piece piece{.host = *staging, .offset = 0};
  cuda_->hang = true;
  EXPECT_TRUE(device->Health()) << "busy is not lost";
  ASSERT_TRUE(device->CopyToDevice(1, region->id, {&piece, 1}));
  const auto mark = device->SetMark(1);
  ASSERT_TRUE(mark.has_value());
  EXPECT_FALSE(*device->Reached(*mark));
  const Status waited =
      device->Wait(*mark, SteadyClock::Instance().Now() + std::chrono::milliseconds(5));
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_FALSE(device->Health());
}

/// Counts what it is given, and copies: staging and the stand-in's memory have one address space.
class CountingCopier final : public SmallCopier {
 public:
  Status Copy(void*, std::span<const Move> moves) override {
    launches += 1;
    for (const Move& move : moves) {
      std::memcpy(reinterpret_cast<void*>(move.target), reinterpret_cast<void*>(move.source),
                  move.bytes);
      largest = std::max(largest, move.bytes);
    }
    return {};
  }
  int launches = 0;
  std::uint64_t largest = 0;
};

TEST_F(CudaDeviceMemoryTest, ManySmallPiecesGoByKernelWhereThereIsOne) {
  CountingCopier copier;
  auto opened = OpenCudaDevice(0, &copier);
  ASSERT_TRUE(opened.has_value());
  DeviceMemory& device = **opened;
  const auto region = device.Allocate(2 * kMiB);
  const auto staging = device.AllocateStaging(kMiB);
  ASSERT_TRUE(region.has_value() && staging.has_value());
  std::vector<DeviceMemory::Piece> pieces;
  for (std::uint64_t i = 0; i < 20; ++i) {
    pieces.push_back({.host = staging->subspan(i * 4096, 4096), .offset = i * 8192});
  }
  pieces.push_back({.host = staging->subspan(512 * kKiB, 64 * kKiB), .offset = kMiB});
  ASSERT_TRUE(device.CopyToDevice(0, region->id, pieces));
  EXPECT_EQ(copier.launches, 1);
  EXPECT_EQ(copier.largest, 4096U);
  EXPECT_EQ(cuda_->copies, 1) << "the large one";
  ASSERT_TRUE(device.CopyToHost(0, region->id, std::span(pieces).first(3)));
  EXPECT_EQ(copier.launches, 1) << "three are not worth a launch";
  EXPECT_EQ(cuda_->copies, 4);
}

#endif

}  // namespace
}  // namespace cairn
