#pragma once

#include <memory>
#include <string>

#include "libcache/base/result.h"
#include "libcache/tier/device_memory.h"

namespace cairn {

struct CudaDeviceOptions {
  int device = 0;  ///< As the driver numbers them, CUDA_VISIBLE_DEVICES considered.
  std::unique_ptr<SmallCopier> small = nullptr;  ///< Null: small pieces go by the copy engine too.
  std::string without_small = "none was given";  ///< Why that is so, for people.
};

/// The memory of an NVIDIA GPU, by the CUDA driver, which is looked for when this is called: the
/// program links nothing of CUDA. Regions are made by cuMemCreate and exported as descriptors,
/// which another process imports by cuMemImportFromShareableHandle
/// (libcache/connector/cuda_device_port.h).
///
/// Errors: kUnsupported (built without CUDA's headers), kNotFound (no driver, or no such device),
/// kUnavailable (the driver refused; it says why).
Result<std::unique_ptr<DeviceMemory>> OpenCudaDevice(CudaDeviceOptions options);

}  // namespace cairn
