#include <cuda_runtime.h>

#include "kernels/exponent_split/check.h"
#include "kernels/exponent_split/kernel.h"
#include "kernels/launch/cuda.h"

namespace cairn::kernels {
namespace {

__global__ void __launch_bounds__(kSplitThreads, 10)
    ExponentSplit(const __grid_constant__ cairn_kernels_exponent_split args) {
  ExponentSplitBlock(args);
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_exponent_split_cuda(
    const cairn_kernels_exponent_split* args, void* stream) {
  using namespace cairn::kernels;
  if (const auto status = CheckExponentSplit(args)) {
    return status;
  }
  ExponentSplit<<<static_cast<unsigned>(ExponentSplitBlocks(*args)), kSplitThreads,
                  sizeof(SplitShared), static_cast<cudaStream_t>(stream)>>>(*args);
  return LaunchStatus();
}
