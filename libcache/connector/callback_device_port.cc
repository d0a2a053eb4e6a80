#include "libcache/connector/callback_device_port.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace cairn {
namespace {

Status FromCode(cairn_code code, const char* function) {
  if (code == CAIRN_OK) {
    return {};
  }
  return Fail(static_cast<ErrorCode>(code),
              std::string("the device port's ") + function + " failed: " + cairn_error_name(code));
}

/// Calls a function of the engine's, which may be C++ all the same.
template <class Call>
Status Calling(const char* function, const Call& call) {
  try {
    return FromCode(call(), function);
  } catch (...) {
    return Fail(ErrorCode::kInternal, std::string("the device port's ") + function + " threw");
  }
}

std::uint32_t MsLeft(TimePoint deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::Instance().Now());
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(left.count(), 1, std::numeric_limits<std::uint32_t>::max()));
}

class CallbackDevicePort final : public DevicePort {
 public:
  explicit CallbackDevicePort(const cairn_device_port& functions)
      : f_(functions),
        // NOLINTNEXTLINE(clang-analyzer-cplusplus.StringChecker): its maker asked.
        kind_(functions.kind) {}

  Status Accepts(const DeviceIdentity& device) override {
    if (device.kind != kind_) {
      return Fail(ErrorCode::kUnsupported, "the daemon's device is of kind '" + device.kind +
                                               "', the port of kind '" + kind_ + "'");
    }
    if (f_.accepts == nullptr) {
      return {};
    }
    return Calling("accepts",
                   [&] { return f_.accepts(f_.context, device.id.c_str(), device.name.c_str()); });
  }

  Result<std::uint64_t> Map(int fd, std::uint64_t bytes) override {
    std::uint64_t mapping = 0;
    const Status mapped =
        Noted(Calling("map", [&] { return f_.map(f_.context, fd, bytes, &mapping); }));
    if (!mapped) {
      return Fail(mapped.error());
    }
    return mapping;
  }

  void Unmap(std::uint64_t mapping) override {
    static_cast<void>(Calling("unmap", [&]() -> cairn_code {
      f_.unmap(f_.context, mapping);
      return CAIRN_OK;
    }));
  }

  Status Copy(std::uint64_t mapping, std::uint64_t offset, const ObjectView& object,
              std::uint64_t target, TimePoint deadline) override {
    cairn_device_copy copy = CopyOf(object, target, deadline);
    copy.mapping = mapping;
    copy.offset = offset;
    return Noted(Calling("copy", [&] { return f_.copy(f_.context, &copy); }));
  }

  Status CopyFromHost(std::span<const std::byte> bytes, const ObjectView& object,
                      std::uint64_t target, TimePoint deadline) override {
    cairn_device_copy copy = CopyOf(object, target, deadline);
    copy.source = bytes.data();
    return Calling("copy", [&] { return f_.copy(f_.context, &copy); });
  }

  Result<std::span<std::byte>> Staging(std::uint64_t bytes, TimePoint) override {
    if (staging_.size() < bytes) {
      staging_.resize(bytes);
    }
    return std::span(staging_);
  }

  /// The engine's functions leave nothing under way.
  Status Settle(TimePoint) override { return {}; }

  [[nodiscard]] Status Health() const override {
    return lost_.empty() ? Status() : Fail(ErrorCode::kUnavailable, lost_);
  }

 private:
  static cairn_device_copy CopyOf(const ObjectView& object, std::uint64_t target,
                                  TimePoint deadline) {
    cairn_device_copy copy{};
    copy.struct_size = sizeof(copy);
    copy.target = target;
    copy.bytes = object.bytes;
    copy.digest_low = object.digest.low;
    copy.digest_high = object.digest.high;
    copy.kind = static_cast<std::int32_t>(object.kind);
    copy.position = object.position;
    copy.tokens = object.tokens;
    copy.deadline_ms = MsLeft(deadline);
    return copy;
  }

  Status Noted(Status status) {
    if (!status && status.error().code == ErrorCode::kUnavailable) {
      lost_ = status.error().message;
    }
    return status;
  }

  const cairn_device_port f_;
  const std::string kind_;
  std::string lost_;
  std::vector<std::byte> staging_;
};

}  // namespace

Result<std::unique_ptr<DevicePort>> MakeCallbackPort(const cairn_device_port& functions) {
  for (const auto& [given, name] :
       {std::pair{functions.kind != nullptr, "kind"}, std::pair{functions.map != nullptr, "map"},
        std::pair{functions.unmap != nullptr, "unmap"},
        std::pair{functions.copy != nullptr, "copy"}}) {
    if (!given) {
      return Fail(ErrorCode::kInvalidArgument, std::string("port.") + name + ": must not be NULL");
    }
  }
  return std::make_unique<CallbackDevicePort>(functions);
}

}  // namespace cairn
