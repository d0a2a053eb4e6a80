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
#include "libcache/tier/copy_switch.h"
#include "libcache/tier/device_uploader.h"
#include "tests/unit/libcache/tier/fake_libcuda.h"

namespace cairn {
namespace {

#ifndef CAIRN_WITH_CUDA

TEST(CudaDeviceMemory, ABuildWithoutHeadersSaysSo) {
  const auto opened = OpenCudaDevice({});
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
    forget_ = reinterpret_cast<void (*)()>(dlsym(library, "fake_cuda_forget"));
  }
  void TearDown() override {
    if (forget_ != nullptr) {
      forget_();
    }
  }
  std::unique_ptr<DeviceMemory> Open() {
    auto opened = OpenCudaDevice({});
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
  void (*forget_)() = nullptr;
};

TEST_F(CudaDeviceMemoryTest, ObjectsGoThereAndComeBackAndNothingIsLeft) {
  {
    const auto device = Open();
    EXPECT_EQ(device->Kind(), "cuda");
    EXPECT_EQ(device->Name(), "Stand-in (device 0)");
    EXPECT_EQ(device->Id(), "GPU-11111111-1111-1111-1111-111111111111");
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
  for (const char* const call :
       {"cuInit", "cuDeviceGet", "cuDeviceGetUuid", "cuDeviceGetName", "cuDeviceGetAttribute",
        "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuMemGetAllocationGranularity",
        "cuStreamCreate"}) {
    FailIn(call, kNoDevice);
    const auto opened = OpenCudaDevice({});
    ASSERT_FALSE(opened) << call;
    EXPECT_EQ(opened.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(opened.error().message.find(call), std::string::npos) << opened.error().message;
    EXPECT_NE(opened.error().message.find("100"), std::string::npos) << opened.error().message;
  }
  *cuda_ = FakeCuda();
  EXPECT_FALSE(OpenCudaDevice({.device = 1})) << "there is one device";
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

TEST_F(CudaDeviceMemoryTest, MemoryThatDoesNotBecomeZeroLosesIt) {
  auto opened = OpenCudaDevice({.limit = std::chrono::milliseconds(20)});
  ASSERT_TRUE(opened.has_value());
  cuda_->hang = true;
  const auto begin = SteadyClock::Instance().Now();
  const auto region = (*opened)->Allocate(2 * kMiB);
  ASSERT_FALSE(region.has_value()) << "it may hold another tenant's bytes";
  EXPECT_LT(SteadyClock::Instance().Now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(region.error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE((*opened)->Health());
  EXPECT_EQ(cuda_->mappings, 1) << "the device may be writing to it";
}

TEST_F(CudaDeviceMemoryTest, ItEndsWithACopyThatDoesNot) {
  auto device = Open();
  const auto region = device->Allocate(2 * kMiB);
  ASSERT_TRUE(region.has_value());
  const auto staging = device->AllocateStaging(4096);
  ASSERT_TRUE(staging.has_value());
  const DeviceMemory::Piece piece{.host = *staging, .offset = 0};
  cuda_->hang = true;
  ASSERT_TRUE(device->CopyToDevice(1, region->id, {&piece, 1}));
  const auto begin = SteadyClock::Instance().Now();
  device.reset();
  EXPECT_LT(SteadyClock::Instance().Now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(cuda_->mappings, 1);
  EXPECT_EQ(cuda_->staging, 1);
}

struct Copied {
  int launches = 0;
  std::uint64_t largest = 0;
  bool fail = false;
};

/// Counts what it is given, and copies: staging and the stand-in's memory have one address space.
class CountingCopier final : public SmallCopier {
 public:
  explicit CountingCopier(Copied& copied) : copied_(copied) {}
  Status Copy(void*, std::span<const Move> moves) override {
    if (copied_.fail) {
      return Fail(ErrorCode::kUnavailable, "no kernel today");
    }
    copied_.launches += 1;
    for (const Move& move : moves) {
      std::memcpy(reinterpret_cast<void*>(move.target), reinterpret_cast<void*>(move.source),
                  move.bytes);
      copied_.largest = std::max(copied_.largest, move.bytes);
    }
    return {};
  }

 private:
  Copied& copied_;
};

class SmallPiecesTest : public CudaDeviceMemoryTest {
 protected:
  void SetUp() override {
    CudaDeviceMemoryTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) {
      return;
    }
    CudaDeviceOptions options;
    options.small = std::make_unique<CountingCopier>(copied_);
    auto opened = OpenCudaDevice(std::move(options));
    ASSERT_TRUE(opened.has_value());
    device_ = std::move(*opened);
    region_ = device_->Allocate(4 * kMiB)->id;
    staging_ = *device_->AllocateStaging(4 * kMiB);
    for (std::size_t i = 0; i < staging_.size(); ++i) {
      staging_[i] = static_cast<std::byte>(i * 31 + i / 4096);
    }
  }
  /// Pieces of staging that lie twice as far apart in the region.
  [[nodiscard]] std::vector<DeviceMemory::Piece> Pieces(std::size_t count,
                                                        std::uint64_t bytes) const {
    std::vector<DeviceMemory::Piece> pieces;
    for (std::uint64_t i = 0; i < count; ++i) {
      pieces.push_back({.host = staging_.subspan(i * bytes, bytes), .offset = i * 2 * bytes});
    }
    return pieces;
  }

  Copied copied_;
  std::unique_ptr<DeviceMemory> device_;
  std::uint32_t region_ = 0;
  std::span<std::byte> staging_;
};

TEST_F(SmallPiecesTest, ManyGoByKernelWhereThereIsOne) {
  EXPECT_TRUE(device_->SmallPieces().by_kernel);
  auto pieces = Pieces(20, 4096);
  pieces.push_back({.host = staging_.subspan(512 * kKiB, 64 * kKiB), .offset = kMiB});
  ASSERT_TRUE(device_->CopyToDevice(0, region_, pieces));
  EXPECT_EQ(copied_.launches, 1);
  EXPECT_EQ(copied_.largest, 4096U);
  EXPECT_EQ(cuda_->copies, 1) << "the large one";
  ASSERT_TRUE(device_->CopyToHost(0, region_, std::span(pieces).first(3)));
  EXPECT_EQ(copied_.launches, 1) << "three are not worth a launch";
  EXPECT_EQ(cuda_->copies, 4);
}

TEST_F(SmallPiecesTest, TheSwitchMovesWhatLiesBetween) {
  const auto pieces = Pieces(20, 40 * kKiB);
  ASSERT_TRUE(device_->CopyToDevice(0, region_, pieces));
  EXPECT_EQ(copied_.launches, 0);
  device_->SetSwitch(48 * kKiB);
  ASSERT_TRUE(device_->CopyToDevice(0, region_, pieces));
  EXPECT_EQ(copied_.launches, 1);
  EXPECT_EQ(cuda_->copies, 20);
}

TEST_F(SmallPiecesTest, ListsInUseAreLeftAlone) {
  const auto pieces = Pieces(20, 4096);
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(device_->CopyToDevice(0, region_, pieces));
  }
  EXPECT_EQ(copied_.launches, 4) << "one for each list";
  EXPECT_EQ(cuda_->copies, 40) << "the copy engine does the rest";
  const auto mark = device_->SetMark(0);
  ASSERT_TRUE(mark.has_value());
  ASSERT_TRUE(*device_->Reached(*mark));
  ASSERT_TRUE(device_->CopyToDevice(0, region_, pieces));
  EXPECT_EQ(copied_.launches, 5) << "the device is past them";
}

TEST_F(SmallPiecesTest, MoreThanAListHoldsTakesTwo) {
  const auto pieces = Pieces(5000, 64);
  ASSERT_TRUE(device_->CopyToDevice(1, region_, pieces));
  EXPECT_EQ(copied_.launches, 2);
  std::vector<DeviceMemory::Piece> back;
  for (const DeviceMemory::Piece& piece : pieces) {
    back.push_back(
        {.host = staging_.subspan(2 * kMiB + piece.offset / 2, 64), .offset = piece.offset});
  }
  ASSERT_TRUE(device_->CopyToHost(1, region_, back));
  EXPECT_EQ(copied_.launches, 4);
  EXPECT_EQ(std::memcmp(staging_.data(), staging_.data() + 2 * kMiB, 5000 * 64), 0);
}

TEST_F(SmallPiecesTest, AKernelThatDoesNotStartIsNoLoss) {
  copied_.fail = true;
  const auto pieces = Pieces(20, 4096);
  ASSERT_TRUE(device_->CopyToDevice(0, region_, pieces));
  EXPECT_EQ(cuda_->copies, 20);
  EXPECT_TRUE(device_->Health());
  EXPECT_FALSE(device_->SmallPieces().by_kernel);
  EXPECT_EQ(device_->SmallPieces().why_not, "no kernel today");
  copied_.fail = false;
  ASSERT_TRUE(device_->CopyToDevice(0, region_, pieces));
  EXPECT_EQ(copied_.launches, 0) << "it is not tried again";
}

TEST_F(SmallPiecesTest, WhereTheEngineCatchesUpIsMeasured) {
  const int allocations = cuda_->allocations;
  const int staging = cuda_->staging;
  // Whatever this machine does meanwhile: what is looked at is the way, not the time.
  const auto found = MeasureCopySwitch(*device_, {.measuring = std::chrono::minutes(2)});
  ASSERT_TRUE(found.has_value()) << ToString(found.error());
  EXPECT_TRUE(found->measured) << found->text;
  EXPECT_GE(found->bytes, 28 * kKiB);
  EXPECT_LE(found->bytes, 64 * kKiB);
  EXPECT_GT(copied_.launches, 20);
  EXPECT_GT(cuda_->copies, 20);
  EXPECT_EQ(cuda_->allocations, allocations) << "what it took is given back";
  EXPECT_EQ(cuda_->staging, staging);
}

TEST_F(SmallPiecesTest, WithoutAKernelNothingIsMeasured) {
  copied_.fail = true;
  const auto failed = MeasureCopySwitch(*device_);
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->bytes, 0U);
  EXPECT_EQ(failed->text, "copy engine only: no kernel today");
  const int copies = cuda_->copies;
  EXPECT_EQ(MeasureCopySwitch(*device_)->bytes, 0U);
  EXPECT_EQ(MeasureCopySwitch(*Open())->text, "copy engine only: none was given");
  EXPECT_EQ(cuda_->copies, copies);
}

TEST_F(SmallPiecesTest, ADeviceThatIsSlowAtTheStartIsTaken) {
  const int allocations = cuda_->allocations;
  cuda_->hang_at_copy = true;
  cuda_->hang_ms = 200;
  const auto found = MeasureCopySwitch(
      *device_, {.measuring = std::chrono::milliseconds(20), .last_copy = std::chrono::minutes(2)});
  ASSERT_TRUE(found.has_value()) << ToString(found.error());
  EXPECT_FALSE(found->measured);
  EXPECT_EQ(found->bytes, 28 * kKiB);
  EXPECT_NE(found->text.find("not measured"), std::string::npos) << found->text;
  EXPECT_TRUE(device_->Health()) << "slow is not lost";
  EXPECT_EQ(cuda_->allocations, allocations) << "what it took is given back";
}

TEST_F(SmallPiecesTest, ADeviceThatHangsAtTheStartIsNot) {
  const int allocations = cuda_->allocations;
  cuda_->hang_at_copy = true;
  const auto found = MeasureCopySwitch(*device_, {.measuring = std::chrono::milliseconds(20),
                                                  .last_copy = std::chrono::milliseconds(50)});
  ASSERT_FALSE(found.has_value()) << found->text;
  EXPECT_EQ(found.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(found.error().message.find("does not end"), std::string::npos) << found.error().message;
  EXPECT_FALSE(device_->Health());
  EXPECT_EQ(cuda_->allocations, allocations + 1) << "copies may still write to it";
}

#endif

}  // namespace
}  // namespace cairn
