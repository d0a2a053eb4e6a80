#pragma once

#include <map>
#include <vector>

#include "libcache/connector/device_port.h"
#include "libcache/transport/mapping.h"

namespace cairn {

/// Reads a daemon's fake device, which is host memory, for tests: targets are addresses of this
/// process, and the digest is checked on the way.
class FakeDevicePort final : public DevicePort {
 public:
  Status Accepts(const DeviceIdentity& device) override;
  Result<std::uint64_t> Map(int fd, std::uint64_t bytes) override;
  void Unmap(std::uint64_t mapping) override;
  Status Copy(std::uint64_t mapping, std::uint64_t offset, const ObjectView& object,
              std::uint64_t target, TimePoint deadline) override;
  Status CopyFromHost(std::span<const std::byte> bytes, const ObjectView& object,
                      std::uint64_t target, TimePoint deadline) override;
  Result<std::span<std::byte>> Staging(std::uint64_t bytes, TimePoint deadline) override;
  Status Settle(TimePoint) override { return {}; }
  [[nodiscard]] Status Health() const override { return {}; }

 private:
  std::map<std::uint64_t, Mapping> mappings_;
  std::uint64_t next_ = 1;
  std::vector<std::byte> staging_;
};

}  // namespace cairn
