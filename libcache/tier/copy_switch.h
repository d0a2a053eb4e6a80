#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "libcache/base/clock.h"
#include "libcache/base/result.h"
#include "libcache/tier/device_memory.h"

namespace cairn {

/// Times copies of many pieces of one size, there and back.
class CopyTrial {
 public:
  virtual ~CopyTrial() = default;
  /// Errors: kDeadlineExceeded, kUnsupported (that way is not to be had), kUnavailable.
  virtual Result<std::chrono::nanoseconds> Time(CopyWay way, std::uint64_t piece_bytes,
                                                TimePoint deadline) = 0;
};

/// From which size on the copy engine is the better way, and how that is known.
struct CopySwitch {
  std::uint64_t bytes = 0;  ///< 28 to 64 KiB; 0: there is no kernel, the copy engine does it all.
  bool measured = false;
  std::string text;  ///< For people: "kernel below 40.00 KiB (measured)".
};

/// What there is to say where there is no kernel.
CopySwitch NoCopyKernel(const std::string& why);

/// Looks for the size between 28 and 64 KiB from which on the copy engine is as fast as a kernel.
/// Where copies cannot be timed, or not within `limit`, it is 28 KiB, unmeasured, and the text says
/// why.
CopySwitch FindCopySwitch(CopyTrial& trial, const Clock& clock, std::chrono::milliseconds limit);

struct CopyMeasureLimits {
  std::chrono::milliseconds measuring{180};
  std::chrono::milliseconds last_copy{1'000};  ///< Then, for the end of one that is under way.
};

/// The same on a device, before it is in use: 2 MiB of its memory and as much staging are taken and
/// given back (but kept where a copy does not end). Sets the switch of the device. Takes
/// milliseconds usually; nothing at all where there is no kernel. Errors: kUnavailable: copies do
/// not end within the limits, or fail; the device is of no use.
Result<CopySwitch> MeasureCopySwitch(DeviceMemory& device, const CopyMeasureLimits& limits = {});

}  // namespace cairn
