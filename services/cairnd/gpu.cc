#include "services/cairnd/gpu.h"

#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "libcache/tier/copy_switch.h"
#include "libcache/tier/cuda_device_memory.h"
#include "libcache/tier/host_device_memory.h"
#include "libcache/tier/kernel_small_copier.h"

namespace cairn::server {
namespace {

constexpr std::string_view kFake = "fake";

/// "fake" or "fake:FILE": lost once FILE exists.
std::unique_ptr<DeviceMemory> FakeDevice(const DaemonConfig& config) {
  HostDeviceMemory::Config fake;
  fake.total_bytes = config.gpu_memory_bytes;
  if (config.gpu.size() > kFake.size()) {
    fake.lost_when_exists = config.gpu.substr(kFake.size() + 1);
  }
  return std::make_unique<HostDeviceMemory>(std::move(fake));
}

Result<std::unique_ptr<DeviceMemory>> OpenCuda(int number) {
  CudaDeviceOptions options;
  options.device = number;
  auto small = OpenKernelSmallCopier();
  if (small) {
    options.small = std::move(*small);
  } else {
    options.without_small = small.error().message;
  }
  return OpenCudaDevice(std::move(options));
}

}  // namespace

Cache::Gpu OpenGpu(const DaemonConfig& config) {
  Cache::Gpu gpu;
  if (config.gpu == "off" || config.gpu_memory_bytes == 0) {
    return gpu;
  }
  gpu.capacity_bytes = config.gpu_memory_bytes;
  if (config.gpu.starts_with(kFake)) {
    gpu.device = FakeDevice(config);
    gpu.copies = MeasureCopySwitch(*gpu.device).value_or(CopySwitch{});
    spdlog::warn("gpu_fake effect=\"host memory passes for a GPU; for tests\"");
  } else {
    auto device = OpenCuda(static_cast<int>(config.gpu_device));
    auto copies = device ? MeasureCopySwitch(**device) : Fail(device.error());
    if (copies) {
      gpu.device = std::move(*device);
      gpu.copies = std::move(*copies);
      spdlog::info("gpu device=\"{}\" id={} memory={} copies=\"{}\"", gpu.device->Name(),
                   gpu.device->Id(), FormatBytes(gpu.capacity_bytes), gpu.copies.text);
    } else {
      gpu.without = "absent: " + copies.error().message;
      spdlog::warn("gpu_absent reason=\"{}\" effect=\"host memory and SSD only\"",
                   copies.error().message);
    }
  }
  gpu.on_kernel_dropped = [](const std::string& reason) {
    spdlog::warn(
        "gpu_kernel_dropped reason=\"{}\" effect=\"small pieces go by the copy engine, slower, "
        "until a restart\"",
        reason);
  };
  gpu.on_lost = [](const std::string& reason) {
    spdlog::error("gpu_lost reason=\"{}\" effect=\"host memory and SSD only until a restart\"",
                  reason);
  };
  return gpu;
}

}  // namespace cairn::server
