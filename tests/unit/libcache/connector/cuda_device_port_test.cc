// An engine's GPU against a stand-in for the driver: it reads what the daemon's device memory
// wrote, and whatever the driver refuses costs the port and nothing else. Says nothing about a real
// GPU.
#include "libcache/connector/cuda_device_port.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/base/digest.h"
#include "libcache/tier/cuda_device_memory.h"
#include "libcache/tier/device_uploader.h"
#include "tests/unit/libcache/tier/fake_libcuda.h"

namespace cairn {
namespace {

TimePoint InMs(int ms) { return SteadyClock::Instance().Now() + std::chrono::milliseconds(ms); }

#ifndef CAIRN_WITH_CUDA

TEST(CudaDevicePort, ABuildWithoutHeadersSaysSo) {
  const auto opened = OpenCudaPort({});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_GT(InMs(1), TimePoint());
}

#else

// Of cuda.h, whose other names a test does not need.
constexpr int kOutOfMemory = 2;
constexpr int kNoDevice = 100;
constexpr int kBadEcc = 214;
constexpr int kCaptureUnsupported = 900;
constexpr const char* kId = "GPU-11111111-1111-1111-1111-111111111111";

std::vector<std::byte> Bytes(std::size_t count, unsigned seed) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>(i * 13 + i / 251 + seed);
  }
  return bytes;
}

class CudaDevicePortTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kRegion = 2 * kMiB;

  void SetUp() override {
    void* const library = dlopen("libcuda.so.1", RTLD_NOW);
    ASSERT_NE(library, nullptr) << dlerror();
    cuda_ = static_cast<FakeCuda*>(dlsym(library, "fake_cuda"));
    if (cuda_ == nullptr) {
      GTEST_SKIP() << "a real driver was found";
    }
    library_ = library;
    *cuda_ = FakeCuda();
    target_.assign(kRegion, std::byte{0});
    cuda_->engine_memory = target_.data();
    cuda_->engine_bytes = target_.size();
  }
  void TearDown() override {
    if (library_ != nullptr) {
      Driver<void()>("fake_cuda_forget")();
    }
  }
  /// A function of the driver's, for what an engine does beside us.
  template <class Function>
  Function* Driver(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(library_, name));
  }
  std::unique_ptr<DevicePort> Open(const CudaPortOptions& options = {}) {
    auto opened = OpenCudaPort(options);
    EXPECT_TRUE(opened.has_value()) << ToString(opened.error());
    return std::move(*opened);
  }
  /// What the daemon does: an object in exported memory, at `offset`.
  void StartDaemon(const std::vector<std::byte>& object, std::uint64_t offset) {
    daemon_ = std::move(*OpenCudaDevice({}));
    region_ = *daemon_->Allocate(kRegion);
    auto uploader = DeviceUploader::Open(daemon_.get(), {.buffer_bytes = 64 * kKiB});
    ASSERT_TRUE(uploader.has_value());
    const DeviceUploader::Transfer transfer{
        .source = object, .digest = DigestOf(object), .region = region_.id, .offset = offset};
    ASSERT_TRUE((*uploader)->Upload({&transfer, 1}).status.has_value());
  }
  void FailIn(const char* call, int with) {
    cuda_->fail_call = call;
    cuda_->fail_with = with;
    cuda_->fail_after = 0;
  }
  [[nodiscard]] std::uint64_t Target() const {
    return reinterpret_cast<std::uint64_t>(target_.data());
  }
  static ObjectView Object(std::uint64_t bytes) {
    ObjectView object;
    object.bytes = bytes;
    return object;
  }
  [[nodiscard]] bool Arrived(const std::vector<std::byte>& object) const {
    return std::equal(object.begin(), object.end(), target_.begin());
  }

  void* library_ = nullptr;
  FakeCuda* cuda_ = nullptr;
  std::vector<std::byte> target_;  // The engine's device memory.
  std::unique_ptr<DeviceMemory> daemon_;
  DeviceMemory::Region region_;
};

TEST_F(CudaDevicePortTest, ReadsWhatTheDaemonsDeviceWrote) {
  const auto object = Bytes(300'001, 1);
  StartDaemon(object, 4096);
  const FakeCuda before = *cuda_;
  {
    const auto port = Open();
    EXPECT_TRUE(port->Accepts({.kind = "cuda", .id = daemon_->Id(), .name = daemon_->Name()}));
    const auto mapping = port->Map(region_.handle, kRegion);
    ASSERT_TRUE(mapping.has_value()) << ToString(mapping.error());
    EXPECT_EQ(cuda_->imports, 1);
    ASSERT_TRUE(port->Copy(*mapping, 4096, Object(object.size()), Target(), InMs(5000)));
    EXPECT_TRUE(Arrived(object));
    port->Unmap(*mapping);
    EXPECT_EQ(cuda_->mappings, before.mappings + 1) << "that takes a while: not without a deadline";
    ASSERT_TRUE(port->Settle(InMs(5000)));
    EXPECT_EQ(cuda_->mappings, before.mappings) << "unmapped by the next call that has one";
    EXPECT_EQ(cuda_->reservations, before.reservations);
    EXPECT_EQ(cuda_->allocations, before.allocations);
    ASSERT_TRUE(port->Map(region_.handle, kRegion).has_value());
    port->Unmap(*port->Map(region_.handle, kRegion));
    ASSERT_TRUE(port->Staging(100, InMs(5000)).has_value());
    port->Unmap(*port->Map(region_.handle, kRegion));
  }
  EXPECT_EQ(cuda_->mappings, before.mappings) << "and with the port";
  EXPECT_EQ(cuda_->allocations, before.allocations);
  EXPECT_EQ(cuda_->events, before.events);
  EXPECT_EQ(cuda_->streams, before.streams);
  EXPECT_EQ(cuda_->contexts, before.contexts);
  EXPECT_EQ(cuda_->staging, before.staging);
}

TEST_F(CudaDevicePortTest, ADriverWithoutAccessForReadingAloneWillDo) {
  const auto object = Bytes(100, 11);
  StartDaemon(object, 0);
  cuda_->read_only = false;
  const auto port = Open();
  const auto mapping = port->Map(region_.handle, kRegion);
  ASSERT_TRUE(mapping.has_value()) << ToString(mapping.error());
  ASSERT_TRUE(port->Copy(*mapping, 0, Object(100), Target(), InMs(5000)));
  EXPECT_TRUE(Arrived(object));
}

TEST_F(CudaDevicePortTest, AnotherProcessReadsIt) {
  const auto object = Bytes(5000, 2);
  StartDaemon(object, 0);
  const pid_t child = fork();
  if (child == 0) {
    auto port = OpenCudaPort({});
    const auto mapping = port ? (*port)->Map(region_.handle, kRegion) : Fail(port.error());
    const bool copied = mapping.has_value() &&
                        (*port)->Copy(*mapping, 0, Object(object.size()), Target(), InMs(5000));
    _exit(copied && Arrived(object) ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(CudaDevicePortTest, HostMemoryComesTheSameWay) {
  const auto port = Open();
  const auto object = Bytes(5 * kMiB / 4, 3);
  const auto staging = port->Staging(object.size(), InMs(5000));
  ASSERT_TRUE(staging.has_value());
  ASSERT_GE(staging->size(), object.size());
  std::copy(object.begin(), object.end(), staging->begin());
  ASSERT_TRUE(port->CopyFromHost(staging->first(object.size()), Object(object.size()), Target(),
                                 InMs(5000)));
  EXPECT_TRUE(Arrived(object));
  EXPECT_EQ(port->Staging(100, InMs(5000))->data(), staging->data()) << "kept";
  FailIn("cuMemHostAlloc", kOutOfMemory);
  EXPECT_EQ(port->Staging(9 * kMiB, InMs(5000)).error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(port->Staging(100, InMs(5000))->data(), staging->data()) << "still";
  cuda_->fail_call = nullptr;
  EXPECT_GE(port->Staging(9 * kMiB, InMs(5000))->size(), 9 * kMiB);
  EXPECT_EQ(cuda_->staging, 1);
}

TEST_F(CudaDevicePortTest, GivingMemoryBackEndsWithTheDeadline) {
  StartDaemon(Bytes(100, 12), 0);
  const auto port = Open();
  const int mappings = cuda_->mappings;
  for (int i = 0; i < 3; ++i) {
    const auto mapping = port->Map(region_.handle, kRegion);
    ASSERT_TRUE(mapping.has_value());
    port->Unmap(*mapping);
  }
  cuda_->slow_call = "cuMemUnmap";
  cuda_->slow_ms = 30;
  const Status late = port->Settle(InMs(40));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_GT(cuda_->mappings, mappings) << "one call over the deadline, and no more";
  cuda_->slow_call = nullptr;
  ASSERT_TRUE(port->Settle(InMs(5000)));
  EXPECT_EQ(cuda_->mappings, mappings);
}

TEST_F(CudaDevicePortTest, UsesTheEnginesStream) {
  const auto linked = reinterpret_cast<int (*)(unsigned)>(dlsym(RTLD_DEFAULT, "cuInit"));
  EXPECT_EQ(linked, nullptr) << "no library of CUDA is linked";
  auto own = Open();
  const auto object = Bytes(100, 4);
  ASSERT_TRUE(own->CopyFromHost(object, Object(100), Target(), InMs(5000)));
  void* const stream = cuda_->last_stream;
  ASSERT_NE(stream, nullptr);
  const int streams = cuda_->streams;
  auto port = Open({.device = 0, .stream = stream});
  EXPECT_EQ(cuda_->streams, streams) << "it makes none of its own";
  ASSERT_TRUE(port->CopyFromHost(object, Object(100), Target(), InMs(5000)));
  EXPECT_EQ(cuda_->last_stream, stream);
  port.reset();
  EXPECT_EQ(cuda_->streams, streams) << "nor ends the engine's";
}

TEST_F(CudaDevicePortTest, AStreamOfAnotherContextIsRefused) {
  cuda_->devices = 2;
  const auto other = Open({.device = 1, .stream = nullptr});
  const auto object = Bytes(100, 4);
  ASSERT_TRUE(other->CopyFromHost(object, Object(100), Target(), InMs(5000)));
  const int contexts = cuda_->contexts;
  int no_stream = 0;
  for (void* const stream : {cuda_->last_stream, static_cast<void*>(&no_stream)}) {
    const auto wrong = OpenCudaPort({.device = 0, .stream = stream});
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(wrong.error().message.find("stream: is not one of GPU 0's"), std::string::npos)
        << wrong.error().message;
    EXPECT_EQ(cuda_->contexts, contexts);
  }
  EXPECT_TRUE(OpenCudaPort({.device = 1, .stream = cuda_->last_stream})) << "that is its own";
}

TEST_F(CudaDevicePortTest, LeavesTheThreadsContextAsItIs) {
  StartDaemon(Bytes(100, 13), 0);
  cuda_->devices = 2;
  const auto depth = Driver<int()>("fake_cuda_context_depth");
  const auto get_current = Driver<int(void**)>("cuCtxGetCurrent");
  const auto set_current = Driver<int(void*)>("cuCtxSetCurrent");
  void* mine = nullptr;
  ASSERT_EQ(Driver<int(void**, int)>("cuDevicePrimaryCtxRetain")(&mine, 1), 0);
  ASSERT_EQ(set_current(mine), 0);
  const int depth_before = depth();
  const auto expect_mine = [&](const char* after) {
    void* now = nullptr;
    EXPECT_EQ(get_current(&now), 0);
    EXPECT_EQ(now, mine) << after;
    EXPECT_EQ(depth(), depth_before) << after;
  };
  auto port = Open();
  expect_mine("opening");
  const auto mapping = port->Map(region_.handle, kRegion);
  expect_mine("mapping");
  ASSERT_TRUE(port->Copy(*mapping, 0, Object(100), Target(), InMs(5000)));
  expect_mine("copying");
  ASSERT_TRUE(port->Staging(100, InMs(5000)));
  expect_mine("staging");
  FailIn("cuMemcpyDtoDAsync", kOutOfMemory);
  EXPECT_FALSE(port->Copy(*mapping, 0, Object(100), Target(), InMs(5000)));
  expect_mine("a copy that failed");
  cuda_->fail_call = nullptr;
  port->Unmap(*mapping);
  ASSERT_TRUE(port->Settle(InMs(5000)));
  expect_mine("unmapping");
  port.reset();
  expect_mine("the end");
  FailIn("cuStreamCreate", kNoDevice);
  EXPECT_FALSE(OpenCudaPort({}));
  expect_mine("opening in vain");
  cuda_->fail_call = nullptr;
  set_current(nullptr);
  EXPECT_EQ(Driver<int(int)>("cuDevicePrimaryCtxRelease_v2")(1), 0);
}

TEST_F(CudaDevicePortTest, LeavesACaptureOfAnotherThreadAlone) {
  StartDaemon(Bytes(100, 14), 0);
  const auto port = Open();
  cuda_->capture_elsewhere = true;
  const auto mapping = port->Map(region_.handle, kRegion);
  ASSERT_TRUE(mapping.has_value()) << ToString(mapping.error());
  EXPECT_TRUE(port->Copy(*mapping, 0, Object(100), Target(), InMs(5000)));
  EXPECT_TRUE(port->Staging(100, InMs(5000)).has_value());
  EXPECT_TRUE(port->CopyFromHost(Bytes(100, 15), Object(100), Target(), InMs(5000)));
  port->Unmap(*mapping);
  EXPECT_TRUE(port->Settle(InMs(5000)));
  EXPECT_EQ(cuda_->captures_broken, 0);
  EXPECT_TRUE(port->Health());
  cuda_->capture_elsewhere = false;
  int mode = 2;
  Driver<int(int*)>("cuThreadExchangeStreamCaptureMode")(&mode);
  EXPECT_EQ(mode, 0) << "the thread has its own mode again";
  Driver<int(int*)>("cuThreadExchangeStreamCaptureMode")(&mode);
}

TEST_F(CudaDevicePortTest, AStreamThatIsBeingCapturedIsLeftAlone) {
  const auto own = Open();
  const auto object = Bytes(100, 16);
  ASSERT_TRUE(own->CopyFromHost(object, Object(100), Target(), InMs(5000)));
  const CudaPortOptions options{.device = 0, .stream = cuda_->last_stream};
  const auto port = Open(options);
  cuda_->capturing = options.stream;
  const int copies = cuda_->copies;
  const Status copied = port->CopyFromHost(object, Object(100), Target(), InMs(5000));
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(copied.error().message.find("captured"), std::string::npos) << copied.error().message;
  EXPECT_EQ(OpenCudaPort(options).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(cuda_->captured, 0) << "a copy in the graph is not one that was made";
  EXPECT_EQ(cuda_->copies, copies);
  cuda_->capturing = nullptr;
  FailIn("cuMemcpyHtoDAsync", kCaptureUnsupported);
  EXPECT_EQ(port->CopyFromHost(object, Object(100), Target(), InMs(5000)).error().code,
            ErrorCode::kInvalidArgument);
  cuda_->fail_call = nullptr;
  EXPECT_TRUE(port->Health()) << "a capture is no loss";
  EXPECT_TRUE(port->CopyFromHost(object, Object(100), Target(), InMs(5000)));
}

TEST_F(CudaDevicePortTest, AnotherGpuIsRefusedWithWhatToDo) {
  const auto port = Open();
  EXPECT_TRUE(port->Accepts({.kind = "cuda", .id = "", .name = ""})) << "an old daemon";
  const Status kind = port->Accepts({.kind = "fake", .id = "fake", .name = "fake"});
  ASSERT_FALSE(kind);
  EXPECT_EQ(kind.error().code, ErrorCode::kUnsupported);
  const DeviceIdentity unseen{.kind = "cuda", .id = "GPU-22", .name = "Other"};
  const Status other = port->Accepts(unseen);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kUnsupported);
  for (const char* const part : {"GPU-22", kId, "--gpu-device", "CUDA_VISIBLE_DEVICES"}) {
    EXPECT_NE(other.error().message.find(part), std::string::npos) << other.error().message;
  }
  EXPECT_TRUE(port->Health()) << "a wrong device is no error of the driver";
}

TEST_F(CudaDevicePortTest, APeerIsGoodEnough) {
  const auto object = Bytes(1000, 17);
  StartDaemon(object, 0);
  cuda_->devices = 2;
  const auto port = Open({.device = 1, .stream = nullptr});
  EXPECT_TRUE(port->Accepts({.kind = "cuda", .id = kId, .name = "Stand-in (device 0)"}));
  const auto mapping = port->Map(region_.handle, kRegion);
  ASSERT_TRUE(mapping.has_value()) << ToString(mapping.error());
  const Status copied = port->Copy(*mapping, 0, Object(1000), Target(), InMs(5000));
  ASSERT_TRUE(copied) << ToString(copied.error());
  EXPECT_TRUE(Arrived(object));
  cuda_->peers = false;
  const Status apart = port->Accepts({.kind = "cuda", .id = kId, .name = "Stand-in (device 0)"});
  ASSERT_FALSE(apart);
  EXPECT_EQ(apart.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(apart.error().message.find("peer"), std::string::npos) << apart.error().message;
}

TEST_F(CudaDevicePortTest, WhateverFailsAtTheStartIsAnErrorThatSaysWhat) {
  for (const char* const call :
       {"cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetUuid",
        "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent", "cuStreamCreate", "cuEventCreate"}) {
    FailIn(call, kNoDevice);
    const auto opened = OpenCudaPort({});
    ASSERT_FALSE(opened) << call;
    EXPECT_EQ(opened.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(opened.error().message.find(call), std::string::npos) << opened.error().message;
    EXPECT_EQ(cuda_->contexts + cuda_->streams + cuda_->events, 0) << call;
  }
  *cuda_ = FakeCuda();
  for (const int device : {-1, 1}) {
    const auto none = OpenCudaPort({.device = device, .stream = nullptr});
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
    EXPECT_NE(none.error().message.find("sees 1"), std::string::npos) << none.error().message;
  }
}

TEST_F(CudaDevicePortTest, AnImportThatFailsLeavesNothingAndLosesThePort) {
  StartDaemon(Bytes(100, 5), 0);
  for (const char* const call :
       {"cuMemImportFromShareableHandle", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess"}) {
    const auto port = Open();
    const FakeCuda before = *cuda_;
    FailIn(call, kOutOfMemory);
    EXPECT_EQ(port->Map(region_.handle, kRegion).error().code, ErrorCode::kNoSpace) << call;
    EXPECT_TRUE(port->Health()) << "memory that is not there is no loss";
    FailIn(call, kBadEcc);
    const auto mapping = port->Map(region_.handle, kRegion);
    ASSERT_FALSE(mapping) << call;
    EXPECT_EQ(mapping.error().code, ErrorCode::kUnavailable);
    cuda_->fail_call = nullptr;
    EXPECT_EQ(cuda_->allocations, before.allocations) << call;
    EXPECT_EQ(cuda_->reservations, before.reservations) << call;
    EXPECT_EQ(cuda_->mappings, before.mappings) << call;
    EXPECT_FALSE(port->Health());
    EXPECT_NE(port->Health().error().message.find(call), std::string::npos);
    EXPECT_FALSE(port->Map(region_.handle, kRegion)) << "for good";
    EXPECT_FALSE(port->Accepts({.kind = "cuda", .id = kId, .name = ""}));
    const auto object = Bytes(100, 6);
    EXPECT_TRUE(port->CopyFromHost(object, Object(100), Target(), InMs(5000)))
        << "the device itself still takes bytes";
  }
}

TEST_F(CudaDevicePortTest, ADriverThatFailsInACopyLosesThePort) {
  StartDaemon(Bytes(100, 7), 0);
  for (const char* const call :
       {"cuMemcpyDtoDAsync", "cuEventRecord", "cuEventQuery", "cuCtxPushCurrent"}) {
    const auto port = Open();
    const auto mapping = port->Map(region_.handle, kRegion);
    ASSERT_TRUE(mapping.has_value());
    FailIn(call, kBadEcc);
    const Status copied = port->Copy(*mapping, 0, Object(100), Target(), InMs(5000));
    ASSERT_FALSE(copied) << call;
    EXPECT_EQ(copied.error().code, ErrorCode::kUnavailable) << call;
    EXPECT_NE(copied.error().message.find("uncorrectable ECC error"), std::string::npos);
    cuda_->fail_call = nullptr;
    const int copies = cuda_->copies;
    EXPECT_EQ(port->Copy(*mapping, 0, Object(100), Target(), InMs(5000)).error().code,
              ErrorCode::kUnavailable);
    EXPECT_EQ(cuda_->copies, copies) << "a lost port is not asked again";
  }
}

TEST_F(CudaDevicePortTest, ACopyThatIsNotDoneInTimeIsWaitedForLater) {
  const auto object = Bytes(1000, 8);
  StartDaemon(object, 0);
  const auto port = Open();
  const auto mapping = port->Map(region_.handle, kRegion);
  ASSERT_TRUE(mapping.has_value());
  cuda_->hang = true;
  const auto begin = SteadyClock::Instance().Now();
  const Status late = port->Copy(*mapping, 0, Object(1000), Target(), InMs(20));
  const auto took = SteadyClock::Instance().Now() - begin;
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_GE(took, std::chrono::milliseconds(19));
  EXPECT_LT(took, std::chrono::seconds(5));
  EXPECT_TRUE(port->Health()) << "slow is not lost";
  // What it reads stays mapped, and nothing else is queued, until it is over.
  const int mappings = cuda_->mappings;
  const int copies = cuda_->copies;
  port->Unmap(*mapping);
  EXPECT_EQ(cuda_->mappings, mappings);
  EXPECT_EQ(port->CopyFromHost(object, Object(1000), Target(), InMs(5)).error().code,
            ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(port->Staging(100, InMs(5)).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(port->Settle(InMs(5)).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(cuda_->copies, copies);
  EXPECT_FALSE(Arrived(object));
  cuda_->hang = false;
  const auto newer = Bytes(1000, 18);
  ASSERT_TRUE(port->CopyFromHost(newer, Object(1000), Target(), InMs(5000)));
  EXPECT_EQ(cuda_->mappings, mappings - 1);
  EXPECT_TRUE(Arrived(newer)) << "what was late came before";
  EXPECT_EQ(cuda_->faults, 0);
}

TEST_F(CudaDevicePortTest, ACopyWithoutAMarkIsWaitedForToo) {
  const auto object = Bytes(1000, 19);
  StartDaemon(object, 0);
  const auto port = Open();
  const auto mapping = port->Map(region_.handle, kRegion);
  ASSERT_TRUE(mapping.has_value());
  ASSERT_TRUE(port->Copy(*mapping, 0, Object(1), Target(), InMs(5000))) << "this one has a mark";
  cuda_->hang = true;
  FailIn("cuEventRecord", kOutOfMemory);
  EXPECT_EQ(port->Copy(*mapping, 0, Object(1000), Target(), InMs(5000)).error().code,
            ErrorCode::kNoSpace);
  cuda_->fail_call = nullptr;
  const int mappings = cuda_->mappings;
  port->Unmap(*mapping);
  EXPECT_EQ(port->Settle(InMs(10)).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(cuda_->mappings, mappings) << "it is still read";
  cuda_->hang = false;
  ASSERT_TRUE(port->Settle(InMs(5000)));
  EXPECT_EQ(cuda_->mappings, mappings - 1);
  EXPECT_EQ(cuda_->faults, 0);
  EXPECT_TRUE(Arrived(object));
}

TEST_F(CudaDevicePortTest, APortEndsWithACopyUnderWay) {
  StartDaemon(Bytes(100, 9), 0);
  auto port = Open();
  const auto mapping = port->Map(region_.handle, kRegion);
  ASSERT_TRUE(mapping.has_value());
  const int mappings = cuda_->mappings;
  cuda_->hang = true;
  EXPECT_FALSE(port->Copy(*mapping, 0, Object(100), Target(), InMs(5)));
  port.reset();
  EXPECT_EQ(cuda_->mappings, mappings) << "the device may still read it";
}

TEST_F(CudaDevicePortTest, WhatLiesOutsideAMappingIsNotCopied) {
  StartDaemon(Bytes(100, 10), 0);
  const auto port = Open();
  const auto mapping = port->Map(region_.handle, kRegion);
  ASSERT_TRUE(mapping.has_value());
  for (const auto& [number, offset, bytes] :
       std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>>{
           {*mapping + 1, 0, 1},
           {*mapping, kRegion, 1},
           {*mapping, 1, kRegion},
           {*mapping, UINT64_MAX, 2},
           {*mapping, 2, UINT64_MAX}}) {
    EXPECT_EQ(port->Copy(number, offset, Object(bytes), Target(), InMs(5000)).error().code,
              ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(port->Health());
  port->Unmap(*mapping + 1);  // Nothing.
}

#endif

}  // namespace
}  // namespace cairn
