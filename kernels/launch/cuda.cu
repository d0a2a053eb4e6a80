#include "kernels/launch/cuda.h"

#include <cuda_runtime.h>

namespace cairn::kernels {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

cairn_kernels_status LaunchStatus() {
  const cudaError_t error = cudaGetLastError();
  switch (error) {
    case cudaSuccess: return CAIRN_KERNELS_OK;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInitializationError: last_error = error; return CAIRN_KERNELS_NO_DEVICE;
    default: last_error = error; return CAIRN_KERNELS_LAUNCH;
  }
}

}  // namespace cairn::kernels

extern "C" int32_t cairn_kernels_last_cuda_error() {
  return static_cast<int32_t>(cairn::kernels::last_error);
}
