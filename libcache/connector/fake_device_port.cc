#include "libcache/connector/fake_device_port.h"

#include <sys/mman.h>

#include <utility>

#include "libcache/base/digest.h"

namespace cairn {

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
                            TimePoint) {
  const std::span<std::byte> target = target_(object);
  if (target.size() != object.bytes) {
    return Fail(ErrorCode::kInvalidArgument, "the target has another size than the object");
  }
  const auto source = mappings_.at(mapping).memory().subspan(offset, object.bytes);
  if (!(CopyAndDigest(target, source) == object.digest)) {
    return Fail(ErrorCode::kCorrupt, "the object in device memory does not have its digest");
  }
  return {};
}

}  // namespace cairn
