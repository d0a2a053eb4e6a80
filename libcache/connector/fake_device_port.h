#pragma once

#include <functional>
#include <map>
#include <span>

#include "libcache/connector/device_port.h"
#include "libcache/transport/mapping.h"

namespace cairn {

/// Reads a daemon's fake device, which is host memory, for tests: copies to memory of the engine's
/// and checks the digest on the way.
class FakeDevicePort final : public DevicePort {
 public:
  using Target = std::function<std::span<std::byte>(const ObjectView& object)>;
  explicit FakeDevicePort(Target target) : target_(std::move(target)) {}

  [[nodiscard]] std::string_view Kind() const override { return "fake"; }
  Result<std::uint64_t> Map(int fd, std::uint64_t bytes) override;
  void Unmap(std::uint64_t mapping) override;
  Status Copy(std::uint64_t mapping, std::uint64_t offset, const ObjectView& object,
              TimePoint deadline) override;

 private:
  const Target target_;
  std::map<std::uint64_t, Mapping> mappings_;
  std::uint64_t next_ = 1;
};

}  // namespace cairn
