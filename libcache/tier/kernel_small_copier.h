#pragma once

#include <memory>

#include "libcache/base/result.h"
#include "libcache/tier/device_memory.h"

namespace cairn {

/// Small pieces by a kernel of this project's own, on a few of the GPU's multiprocessors. It is
/// CUDA's: to be given to OpenCudaDevice.
///
/// Errors: kUnsupported where the kernels were built without CUDA.
Result<std::unique_ptr<SmallCopier>> OpenKernelSmallCopier();

}  // namespace cairn
