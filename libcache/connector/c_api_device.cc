// The engine's GPU. Loading to it: c_api_load.cc.
#include <utility>

#include "libcache/connector/c_api.h"
#include "libcache/connector/callback_device_port.h"
#include "libcache/connector/cuda_device_port.h"

namespace cairn::c_api {
namespace {

Result<std::unique_ptr<DevicePort>> OpenPort(const cairn_device_options& options) {
  if (options.port == nullptr) {
    return OpenCudaPort({.device = options.ordinal, .stream = options.stream});
  }
  const auto functions = ReadStruct(options.port, "port");
  if (!functions) {
    return Fail(functions.error());
  }
  if (options.stream != nullptr || options.ordinal != 0) {
    return Invalid("stream, ordinal: are for NVIDIA's driver, and `port` is given");
  }
  return MakeCallbackPort(*functions);
}

Status AttachDevice(cairn_client* client, const cairn_device_options* given,
                    std::uint32_t deadline_ms) {
  if (const Status handle = NotNull(client, "client"); !handle) {
    return handle;
  }
  const auto options = ReadStruct(given, "options");
  if (!options) {
    return Fail(options.error());
  }
  if (options->reserved != 0) {
    return Invalid("reserved: must be 0");
  }
  if (const auto valid = Deadline(deadline_ms); !valid) {
    return Fail(valid.error());
  }
  auto port = OpenPort(*options);
  if (!port) {
    return Fail(port.error());
  }
  const auto deadline = Deadline(deadline_ms);  // The driver's start may have taken a second.
  if (!deadline) {
    return Fail(deadline.error());
  }
  return client->client->AttachDevice(std::move(*port), *deadline);
}

Status DetachDevice(cairn_client* client, std::uint32_t deadline_ms) {
  if (const Status handle = NotNull(client, "client"); !handle) {
    return handle;
  }
  const auto deadline = Deadline(deadline_ms);
  return deadline ? client->client->AttachDevice(nullptr, *deadline) : Fail(deadline.error());
}

Status GetDevice(const cairn_client* client, cairn_device_info* info) {
  if (const Status handle = NotNull(client, "client"); !handle) {
    return handle;
  }
  if (const Status given = CheckStruct(info, "info"); !given) {
    return given;
  }
  const Client::DeviceInfo now = client->client->Device();
  cairn_device_info value{};
  value.attached = now.attached ? 1 : 0;
  value.reads_gpu_tier = now.reads_gpu_tier ? 1 : 0;
  if (!now.reads_gpu_tier) {
    const std::string& why = now.reads_gpu_tier.error().message;
    why.copy(value.why_not, sizeof(value.why_not) - 1);
  }
  WriteStruct(info, value);
  return {};
}

}  // namespace
}  // namespace cairn::c_api

namespace api = cairn::c_api;

cairn_code cairn_client_attach_device(cairn_client* client, const cairn_device_options* options,
                                      uint32_t deadline_ms) {
  return api::Guarded([&] { return api::AttachDevice(client, options, deadline_ms); });
}

cairn_code cairn_client_detach_device(cairn_client* client, uint32_t deadline_ms) {
  return api::Guarded([&] { return api::DetachDevice(client, deadline_ms); });
}

cairn_code cairn_client_get_device(const cairn_client* client, cairn_device_info* info) {
  return api::Guarded([&] { return api::GetDevice(client, info); });
}
