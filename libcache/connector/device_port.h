#pragma once

#include <cstdint>

#include "libcache/base/clock.h"
#include "libcache/base/result.h"
#include "libcache/cache/types.h"
#include "libcache/transport/device_plane.h"

namespace cairn {

/// What an engine gives its Client so that objects in the daemon's GPU memory are read there: it
/// imports memory, and copies objects to where the engine wants them, on the device, say.
///
/// Calls come from whoever calls the Client, one at a time, and must not throw.
class DevicePort : public DeviceMapper {
 public:
  /// Copies [offset, offset + object.bytes) of `mapping`. Returns once the device has read it all
  /// (a stream is waited for): the slot may be another's soon after. What was copied counts only
  /// when Client::Load has returned without error; the object's digest is there for those who can
  /// check it. After an error the object is read from host memory; after kCorrupt the daemon is
  /// told.
  virtual Status Copy(std::uint64_t mapping, std::uint64_t offset, const ObjectView& object,
                      TimePoint deadline) = 0;
};

}  // namespace cairn
