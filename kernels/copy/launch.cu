#include <cuda_runtime.h>

#include "kernels/copy/check.h"
#include "kernels/copy/kernel.h"
#include "kernels/launch/cuda.h"

namespace cairn::kernels {
namespace {

__global__ void __launch_bounds__(kCopyThreads, 4)
    Copy(const __grid_constant__ cairn_kernels_copy args) {
  CopyBlock(args);
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_copy_cuda(const cairn_kernels_copy* args,
                                                        void* stream) {
  using namespace cairn::kernels;
  if (const auto status = CheckCopy(args)) {
    return status;
  }
  if (args->count == 0) {
    return CAIRN_KERNELS_OK;
  }
  Copy<<<static_cast<unsigned>(CopyBlocks(*args)), kCopyThreads, 0,
         static_cast<cudaStream_t>(stream)>>>(*args);
  return LaunchStatus();
}
