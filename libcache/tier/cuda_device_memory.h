#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "libcache/base/result.h"
#include "libcache/tier/device_memory.h"

namespace cairn {

struct CudaDeviceOptions {
  int device = 0;  ///< As the driver numbers them, CUDA_VISIBLE_DEVICES considered.
  std::unique_ptr<SmallCopier> small = nullptr;  ///< Null: small pieces go by the copy engine too.
  std::string without_small = "none was given";  ///< Why that is so, for people.
  /// What takes longer is a device that hangs. To set an extent to zero takes milliseconds.
  std::chrono::milliseconds limit{10'000};
};

/// The memory of an NVIDIA GPU, by the CUDA driver, which is looked for when this is called: no
/// library of CUDA is needed to start. (The kernels, where they are built, bring its runtime,
/// statically.) No call waits for the device without a limit. Regions are made by cuMemCreate and
/// exported as descriptors, which another process imports by cuMemImportFromShareableHandle
/// (libcache/connector/cuda_device_port.h).
///
/// Errors: kUnsupported (built without CUDA's headers), kNotFound (no driver, or no such device),
/// kUnavailable (the driver refused; it says why).
Result<std::unique_ptr<DeviceMemory>> OpenCudaDevice(CudaDeviceOptions options);

}  // namespace cairn
