#include "libcache/tier/copy_switch.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/base/bytes.h"

namespace cairn {
namespace {

// From 64 KiB on it is the copy engine in any case.
constexpr std::array<std::uint64_t, 5> kSizes = {28 * kKiB, 32 * kKiB, 40 * kKiB, 48 * kKiB,
                                                 56 * kKiB};
constexpr int kRounds = 5;

/// Copies on a device that nobody else uses yet.
class DeviceTrial final : public CopyTrial {
 public:
  explicit DeviceTrial(DeviceMemory& device) : device_(device) {}
  ~DeviceTrial() override {
    if (busy_) {
      return;  // What a copy may still write to must stay as it is.
    }
    if (!staging_.empty()) {
      device_.ReleaseStaging(staging_);
    }
    if (region_.bytes > 0) {
      device_.Release(region_.id);
    }
  }
  DeviceTrial(const DeviceTrial&) = delete;
  DeviceTrial& operator=(const DeviceTrial&) = delete;

  Status Open() {
    const std::uint64_t bytes = kPieces * kSizes.back();
    auto region = device_.Allocate(RoundUp(bytes, device_.granularity_bytes()));
    if (!region) {
      return Fail(region.error());
    }
    region_ = *region;
    auto staging = device_.AllocateStaging(bytes);
    if (!staging) {
      return Fail(staging.error());
    }
    staging_ = *staging;
    return {};
  }

  /// Waits for what a failed Time left under way; past the deadline the device is lost.
  Status End(TimePoint deadline) {
    if (!busy_) {
      return {};
    }
    const auto mark = device_.SetMark(0);
    Status ended = mark ? device_.Wait(*mark, deadline) : Fail(mark.error());
    busy_ = !ended.has_value();
    return ended;
  }

  Result<std::chrono::nanoseconds> Time(CopyWay way, std::uint64_t piece_bytes,
                                        TimePoint deadline) override {
    device_.SetSwitch(way == CopyWay::kKernel ? CopyChoice::kEngineFrom : CopyChoice::kKernelBelow);
    std::vector<DeviceMemory::Piece> pieces;
    pieces.reserve(kPieces);
    for (std::uint64_t i = 0; i < kPieces; ++i) {
      pieces.push_back(
          {.host = staging_.subspan(i * piece_bytes, piece_bytes), .offset = i * piece_bytes});
    }
    const TimePoint begin = SteadyClock::Instance().Now();
    busy_ = true;
    Status asked = device_.CopyToDevice(0, region_.id, pieces);
    asked = asked ? device_.CopyToHost(0, region_.id, pieces) : asked;
    if (!asked) {
      return Fail(asked.error());
    }
    const auto mark = device_.SetMark(0);
    if (!mark) {
      return Fail(mark.error());
    }
    for (;;) {  // Not Wait, which looks too seldom to measure by, and loses what does not end.
      const auto reached = device_.Reached(*mark);
      if (!reached) {
        return Fail(reached.error());
      }
      const TimePoint now = SteadyClock::Instance().Now();
      if (*reached) {
        busy_ = false;
        break;
      }
      if (now >= deadline) {
        return Fail(ErrorCode::kDeadlineExceeded, "a copy took too long");
      }
      std::this_thread::yield();
    }
    const auto took = SteadyClock::Instance().Now() - begin;
    if (!device_.SmallPieces().by_kernel) {
      return Fail(ErrorCode::kUnsupported, device_.SmallPieces().why_not);
    }
    return std::chrono::duration_cast<std::chrono::nanoseconds>(took);
  }

 private:
  static constexpr std::uint64_t kPieces = 32;

  DeviceMemory& device_;
  DeviceMemory::Region region_;
  std::span<std::byte> staging_;
  bool busy_ = false;
};

CopySwitch Unmeasured(const std::string& why) {
  return {.bytes = CopyChoice::kKernelBelow,
          .measured = false,
          .text = "kernel below " + FormatBytes(CopyChoice::kKernelBelow) +
                  " (not measured: " + why + ")"};
}

/// The best of a few, since what disturbs a copy only makes it slower.
struct Best {
  std::chrono::nanoseconds kernel = std::chrono::nanoseconds::max();
  std::chrono::nanoseconds engine = std::chrono::nanoseconds::max();
};

Status TimeBoth(CopyTrial& trial, std::uint64_t piece_bytes, TimePoint deadline, Best& best) {
  for (const auto& [way, least] :
       {std::pair{CopyWay::kKernel, &best.kernel}, std::pair{CopyWay::kCopyEngine, &best.engine}}) {
    const auto time = trial.Time(way, piece_bytes, deadline);
    if (!time) {
      return Fail(time.error());
    }
    *least = std::min(*least, *time);
  }
  return {};
}

}  // namespace

CopySwitch NoCopyKernel(const std::string& why) {
  return {.bytes = 0, .measured = false, .text = "copy engine only: " + why};
}

CopySwitch FindCopySwitch(CopyTrial& trial, const Clock& clock, std::chrono::milliseconds limit) {
  const TimePoint deadline = clock.Now() + limit;
  std::array<Best, kSizes.size()> best;
  Best warm_up;
  Status timed = TimeBoth(trial, kSizes.front(), deadline, warm_up);
  // Round by round, so that what disturbs for a while disturbs all sizes.
  for (int round = 0; round < kRounds && timed; ++round) {
    for (std::size_t i = 0; i < kSizes.size() && timed; ++i) {
      timed = clock.Now() < deadline
                  ? TimeBoth(trial, kSizes[i], deadline, best[i])
                  : Fail(ErrorCode::kDeadlineExceeded,
                         "copies took longer than " + std::to_string(limit.count()) + " ms");
    }
  }
  if (!timed) {
    return timed.error().code == ErrorCode::kUnsupported ? NoCopyKernel(timed.error().message)
                                                         : Unmeasured(timed.error().message);
  }
  std::uint64_t bytes = CopyChoice::kEngineFrom;
  for (std::size_t i = kSizes.size(); i > 0 && best[i - 1].engine <= best[i - 1].kernel; --i) {
    bytes = kSizes[i - 1];
  }
  return {.bytes = bytes,
          .measured = true,
          .text = "kernel below " + FormatBytes(bytes) + " (measured)"};
}

Result<CopySwitch> MeasureCopySwitch(DeviceMemory& device, const CopyMeasureLimits& limits) {
  const DeviceMemory::SmallPiecesWay before = device.SmallPieces();
  if (!before.by_kernel) {
    return NoCopyKernel(before.why_not);
  }
  DeviceTrial trial(device);
  const Status opened = trial.Open();
  const Clock& clock = SteadyClock::Instance();
  CopySwitch found =
      opened ? FindCopySwitch(trial, clock, limits.measuring) : Unmeasured(opened.error().message);
  if (const Status ended = trial.End(clock.Now() + limits.last_copy); !ended) {
    return Fail(ErrorCode::kUnavailable,
                "its first copies do not end well: " + ended.error().message);
  }
  device.SetSwitch(found.bytes == 0 ? CopyChoice::kKernelBelow : found.bytes);
  return found;
}

}  // namespace cairn
