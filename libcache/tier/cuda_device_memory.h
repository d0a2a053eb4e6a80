#pragma once

#include <memory>

#include "libcache/base/result.h"
#include "libcache/tier/device_memory.h"

namespace cairn {

/// The memory of an NVIDIA GPU, by the CUDA driver, which is looked for when this is called: the
/// program links nothing of CUDA. Regions are made by cuMemCreate and exported as descriptors,
/// which another process imports by cuMemImportFromShareableHandle.
///
/// `device`: as the driver numbers them, CUDA_VISIBLE_DEVICES considered. `small` may be null: then
/// small pieces go by the copy engine too; it must outlive the device.
///
/// Errors: kUnsupported (built without CUDA's headers), kNotFound (no driver, or no such device),
/// kUnavailable (the driver refused; it says why).
Result<std::unique_ptr<DeviceMemory>> OpenCudaDevice(int device, SmallCopier* small = nullptr);

}  // namespace cairn
