// Where the copy engine catches up with a kernel, on devices whose times are made up.
#include "libcache/tier/copy_switch.h"

#include <gtest/gtest.h>

#include <functional>

#include "libcache/base/bytes.h"
#include "libcache/tier/host_device_memory.h"
#include "libcache/tier/kernel_small_copier.h"

namespace cairn {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Every copy takes as long as the test says, by a clock that it moves.
class MadeUpTrial final : public CopyTrial {
 public:
  using Times = std::function<Result<std::chrono::nanoseconds>(CopyWay, std::uint64_t bytes)>;
  MadeUpTrial(ManualClock& clock, Times times) : clock_(clock), times_(std::move(times)) {}
  Result<std::chrono::nanoseconds> Time(CopyWay way, std::uint64_t bytes, TimePoint) override {
    calls += 1;
    const auto time = times_(way, bytes);
    if (time) {
      clock_.Advance(*time);
    }
    return time;
  }
  int calls = 0;

 private:
  ManualClock& clock_;
  const Times times_;
};

CopySwitch Find(const MadeUpTrial::Times& times, milliseconds limit = milliseconds(150),
                int* calls = nullptr) {
  ManualClock clock;
  MadeUpTrial trial(clock, times);
  const CopySwitch found = FindCopySwitch(trial, clock, limit);
  if (calls != nullptr) {
    *calls = trial.calls;
  }
  return found;
}

/// The engine takes `kib` us for a piece of any size, the kernel one for each KiB.
MadeUpTrial::Times EngineCatchesUpAt(std::uint64_t kib) {
  return [kib](CopyWay way, std::uint64_t bytes) -> Result<std::chrono::nanoseconds> {
    return way == CopyWay::kCopyEngine ? microseconds(kib) : microseconds(bytes / kKiB);
  };
}

TEST(CopySwitch, IsWhereTheEngineIsAsFast) {
  for (const std::uint64_t kib : {28U, 32U, 40U, 48U, 56U}) {
    const CopySwitch found = Find(EngineCatchesUpAt(kib));
    EXPECT_TRUE(found.measured);
    EXPECT_EQ(found.bytes, kib * kKiB) << found.text;
  }
  EXPECT_EQ(Find(EngineCatchesUpAt(35)).bytes, 40 * kKiB) << "the next size that was measured";
  EXPECT_EQ(Find(EngineCatchesUpAt(40)).text,
            "kernel below " + FormatBytes(40 * kKiB) + " (measured)");
}

TEST(CopySwitch, StaysWithinItsBounds) {
  EXPECT_EQ(Find(EngineCatchesUpAt(1)).bytes, 28 * kKiB);
  EXPECT_EQ(Find(EngineCatchesUpAt(1000)).bytes, 64 * kKiB);
}

TEST(CopySwitch, ASizeThatAloneLooksGoodDoesNotCount) {
  const CopySwitch found =
      Find([](CopyWay way, std::uint64_t bytes) -> Result<std::chrono::nanoseconds> {
        const bool lucky = way == CopyWay::kCopyEngine && bytes == 32 * kKiB;
        return lucky ? microseconds(1) : EngineCatchesUpAt(50)(way, bytes);
      });
  EXPECT_EQ(found.bytes, 56 * kKiB);
}

TEST(CopySwitch, WhatDisturbsNowAndThenDoesNotMoveIt) {
  int calls = 0;
  const CopySwitch found =
      Find([&](CopyWay way, std::uint64_t bytes) -> Result<std::chrono::nanoseconds> {
        const auto time = *EngineCatchesUpAt(40)(way, bytes);
        return ++calls % 3 == 0 ? time + microseconds(500) : time;
      });
  EXPECT_EQ(found.bytes, 40 * kKiB);
}

TEST(CopySwitch, ASlowDeviceIsNotMeasuredToTheEnd) {
  int calls = 0;
  const CopySwitch found = Find(
      [](CopyWay, std::uint64_t) -> Result<std::chrono::nanoseconds> { return milliseconds(10); },
      milliseconds(150), &calls);
  EXPECT_FALSE(found.measured);
  EXPECT_EQ(found.bytes, 28 * kKiB);
  EXPECT_NE(found.text.find("not measured: copies took longer than 150 ms"), std::string::npos)
      << found.text;
  EXPECT_LE(calls, 18);
}

TEST(CopySwitch, WhatCannotBeTimedIsNotMeasured) {
  const CopySwitch broken = Find([](CopyWay, std::uint64_t) -> Result<std::chrono::nanoseconds> {
    return Fail(ErrorCode::kUnavailable, "an error of the device");
  });
  EXPECT_EQ(broken.bytes, 28 * kKiB);
  EXPECT_NE(broken.text.find("an error of the device"), std::string::npos);
  const CopySwitch without = Find([](CopyWay, std::uint64_t) -> Result<std::chrono::nanoseconds> {
    return Fail(ErrorCode::kUnsupported, "no such kernel");
  });
  EXPECT_EQ(without.bytes, 0U);
  EXPECT_EQ(without.text, "copy engine only: no such kernel");
}

TEST(CopySwitch, AFakeDeviceHasNone) {
  HostDeviceMemory device({.total_bytes = kMiB, .lost_when_exists = ""});
  const auto found = MeasureCopySwitch(device);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->bytes, 0U);
  EXPECT_NE(found->text.find("copy engine only"), std::string::npos);
}

TEST(KernelSmallCopier, IsThereWhereTheKernelsWereBuiltForGpus) {
  const auto copier = OpenKernelSmallCopier();
  if (!copier) {
    EXPECT_EQ(copier.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(copier.error().message, "the kernels were built without CUDA");
    return;
  }
  // Without a GPU too: nothing to copy starts nothing, and a list that is nowhere is refused first.
  EXPECT_TRUE((*copier)->Copy(nullptr, {}));
  const SmallCopier::Move* const nowhere = nullptr;
  const Status refused = (*copier)->Copy(nullptr, std::span(nowhere, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(refused.error().message.find("the copy kernel: "), std::string::npos);
}

}  // namespace
}  // namespace cairn
