#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "libcache/base/clock.h"
#include "libcache/base/result.h"
#include "libcache/cache/types.h"
#include "libcache/transport/device_plane.h"

namespace cairn {

/// What an engine gives its Client to load objects to its device (Client::LoadToDevice): it maps
/// the daemon's GPU memory, and copies from there and from host memory to addresses of the engine.
///
/// Calls come from whoever calls the Client, one at a time, and must not throw. Copies return when
/// they are done (a stream is waited for): the source may be another's right after. One that failed
/// may still write to its target, but not later than what is copied there next.
class DevicePort : public DeviceMapper {
 public:
  /// Copies [offset, offset + object.bytes) of `mapping` to `target`. What was copied counts only
  /// when the load has returned without error; the object's digest is there for those who can check
  /// it. Errors: kUnavailable (no copy of a mapping will work again), kDeadlineExceeded, kNoSpace,
  /// kInvalidArgument (the engine's stream cannot take a copy now); kCorrupt, of which the daemon
  /// is told. The object is then read from host memory.
  virtual Status Copy(std::uint64_t mapping, std::uint64_t offset, const ObjectView& object,
                      std::uint64_t target, TimePoint deadline) = 0;
  /// Copies `object`, which lies in `bytes`, to `target`. Errors: kUnavailable, kDeadlineExceeded,
  /// kInvalidArgument as above.
  virtual Status CopyFromHost(std::span<const std::byte> bytes, const ObjectView& object,
                              std::uint64_t target, TimePoint deadline) = 0;
  /// Host memory of at least `bytes` that CopyFromHost is fast from, until the next call of this.
  /// Errors: kNoSpace, kUnavailable, kDeadlineExceeded.
  virtual Result<std::span<std::byte>> Staging(std::uint64_t bytes, TimePoint deadline) = 0;
  /// Waits for copies that failed and may still write to their targets; after it none does. Errors:
  /// kDeadlineExceeded: one still may; kUnavailable: the device failed, and nobody can tell.
  virtual Status Settle(TimePoint deadline) = 0;
  /// kUnavailable, with the reason, once no copy of a mapping will work again. Asks nobody.
  [[nodiscard]] virtual Status Health() const = 0;
};

}  // namespace cairn
