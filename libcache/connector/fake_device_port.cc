#include "libcache/connector/fake_device_port.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>

#include "libcache/base/digest.h"

namespace cairn {

Status FakeDevicePort::Accepts(const DeviceIdentity& device) {
  return device.kind == "fake"
             ? Status()
             : Fail(ErrorCode::kUnsupported, "the daemon's device is another: " + device.kind);
}

Result<std::uint64_t> FakeDevicePort::Map(int fd, std::uint64_t bytes) {
  auto mapping = Mapping::Map(fd, bytes, PROT_READ);
  if (!mapping) {
    return Fail(mapping.error());
  }
  mappings_.emplace(next_, std::move(*mapping));
  return next_++;
}

void FakeDevicePort::Unmap(std::uint64_t mapping) { mappings_.erase(mapping); }

Status FakeDevicePort::Copy(std::uint64_t mapping, std::uint64_t offset, const ObjectView& object,
                            std::uint64_t target, TimePoint) {
  // Addresses of a device are numbers, and its memory ours.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  const std::span to(reinterpret_cast<std::byte*>(target), object.bytes);
  const auto source = mappings_.at(mapping).memory().subspan(offset, object.bytes);
  if (!(CopyAndDigest(to, source) == object.digest)) {
    return Fail(ErrorCode::kCorrupt, "the object in device memory does not have its digest");
  }
  return {};
}

Status FakeDevicePort::CopyFromHost(std::span<const std::byte> bytes, const ObjectView&,
                                    std::uint64_t target, TimePoint) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): see above.
  std::memcpy(reinterpret_cast<void*>(target), bytes.data(), bytes.size());
  return {};
}

Result<std::span<std::byte>> FakeDevicePort::Staging(std::uint64_t bytes, TimePoint) {
  staging_.resize(bytes);
  return std::span(staging_);
}

}  // namespace cairn
