#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "libcache/base/clock.h"
#include "libcache/base/result.h"
#include "libcache/transport/channel.h"
#include "libcache/transport/mapping.h"

namespace cairn {

/// Which device a daemon's GPU tier is on.
struct DeviceIdentity {
  std::string kind;  ///< "cuda", or "fake".
  std::string id;    ///< The same for all processes of the machine; "" from old daemons.
  std::string name;  ///< For people.
};

/// Makes device memory of the daemon usable in this process. Called from one thread at a time.
class DeviceMapper {
 public:
  virtual ~DeviceMapper() = default;
  /// Whether memory of that device can be mapped here. Errors: kUnsupported, with what to do about
  /// it; kUnavailable.
  virtual Status Accepts(const DeviceIdentity& device) = 0;
  /// `fd` stays the caller's. Returns a number for the mapping, of the mapper's choice.
  virtual Result<std::uint64_t> Map(int fd, std::uint64_t bytes) = 0;
  virtual void Unmap(std::uint64_t mapping) = 0;
};

/// An object in device memory, as the daemon names it.
struct DeviceObject {
  std::uint64_t lease = 0;
  std::uint32_t extent = 0;
  std::uint32_t slot = 0;
  std::uint64_t offset = 0;
  std::uint64_t generation = 0;
  std::uint64_t bytes = 0;
};

/// Reads objects in the daemon's device memory: maps extents as they come up, and looks at a slot's
/// generation before and after each copy. Belongs to one connection and uses its control channel.
/// Not thread-safe.
class DevicePlane {
 public:
  /// Copies the object out of `mapping`; returns once the device has read it.
  using Copy = std::function<Status(std::uint64_t mapping)>;

  /// Both must outlive the plane. Errors: kUnsupported (not over this connection); those of
  /// DeviceMapper::Accepts.
  static Result<std::unique_ptr<DevicePlane>> Open(Channel& channel, DeviceMapper& mapper);
  ~DevicePlane();
  DevicePlane(const DevicePlane&) = delete;
  DevicePlane& operator=(const DevicePlane&) = delete;

  /// Errors: kExpired (the slot changed hands: what was copied is worth nothing), kCorrupt (the
  /// daemon's answer), those of the mapper and of `copy`, those of Channel. Bytes are in host
  /// memory as well, so there is another way after each of them.
  Status Get(const DeviceObject& object, const Copy& copy, TimePoint deadline);

 private:
  struct Extent {
    std::uint64_t mapping = 0;
    std::uint64_t bytes = 0;
    Mapping ledger;
  };
  DevicePlane(Channel& channel, DeviceMapper& mapper, DeviceIdentity device)
      : channel_(channel), mapper_(mapper), device_(std::move(device)) {}
  Result<const Extent*> Find(const DeviceObject& object, TimePoint deadline);

  Channel& channel_;
  DeviceMapper& mapper_;
  const DeviceIdentity device_;  // Its kind is empty if the daemon did not say.
  std::map<std::uint32_t, Extent> extents_;
};

}  // namespace cairn
