#pragma once

// Only for files that are compiled where CUDA's headers are (CAIRN_WITH_CUDA).
#include <cuda.h>

#include <string>

#include "libcache/base/result.h"

namespace cairn {

/// The functions of libcuda.so.1 that are in use here. A value; copies are as good.
struct CudaDriver {
#define CAIRN_CUDA_FUNCTIONS(F)        \
  F(cuInit)                            \
  F(cuGetErrorName)                    \
  F(cuGetErrorString)                  \
  F(cuDeviceGet)                       \
  F(cuDeviceGetCount)                  \
  F(cuDeviceGetName)                   \
  F(cuDeviceGetUuid)                   \
  F(cuDeviceGetAttribute)              \
  F(cuDeviceCanAccessPeer)             \
  F(cuDevicePrimaryCtxRetain)          \
  F(cuDevicePrimaryCtxRelease)         \
  F(cuCtxPushCurrent)                  \
  F(cuCtxPopCurrent)                   \
  F(cuCtxSetCurrent)                   \
  F(cuThreadExchangeStreamCaptureMode) \
  F(cuMemGetInfo)                      \
  F(cuMemGetAllocationGranularity)     \
  F(cuMemCreate)                       \
  F(cuMemRelease)                      \
  F(cuMemAddressReserve)               \
  F(cuMemAddressFree)                  \
  F(cuMemMap)                          \
  F(cuMemUnmap)                        \
  F(cuMemSetAccess)                    \
  F(cuMemExportToShareableHandle)      \
  F(cuMemImportFromShareableHandle)    \
  F(cuMemHostAlloc)                    \
  F(cuMemFreeHost)                     \
  F(cuMemsetD8Async)                   \
  F(cuMemcpyHtoDAsync)                 \
  F(cuMemcpyDtoHAsync)                 \
  F(cuMemcpyDtoDAsync)                 \
  F(cuStreamCreate)                    \
  F(cuStreamDestroy)                   \
  F(cuStreamQuery)                     \
  F(cuStreamGetCtx)                    \
  F(cuStreamIsCapturing)               \
  F(cuEventCreate)                     \
  F(cuEventRecord)                     \
  F(cuEventQuery)                      \
  F(cuEventDestroy)
#define CAIRN_DECLARE(name) decltype(&::name) name##_ = nullptr;
  CAIRN_CUDA_FUNCTIONS(CAIRN_DECLARE)
#undef CAIRN_DECLARE

  /// "cuInit: CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)".
  [[nodiscard]] std::string Explain(const char* call, CUresult result) const;
  /// What a device is called by all processes: "GPU-12345678-...", as nvidia-smi has it. Of a part
  /// of a device (MIG) it is that part's UUID, but after "GPU-" too, where nvidia-smi has "MIG-".
  /// "" and the error in `result` if it has none.
  [[nodiscard]] std::string IdOf(CUdevice device, CUresult& result) const;
};

/// Looks for the driver; never unloads it, since it has threads of its own. Does not initialise it.
/// Errors: kNotFound (no driver, or one that is too old; it says what is missing).
Result<CudaDriver> LoadCudaDriver();

}  // namespace cairn
