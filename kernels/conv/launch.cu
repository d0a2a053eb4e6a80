#include <cuda_runtime.h>

#include "kernels/conv/check.h"
#include "kernels/conv/kernel.h"
#include "kernels/launch/cuda.h"

namespace cairn::kernels {
namespace {

template <class T>
__global__ void __launch_bounds__(kConvThreads)
    Conv(const __grid_constant__ cairn_kernels_conv args) {
  ConvBlock<T>(args);
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_conv_cuda(const cairn_kernels_conv* args,
                                                        void* stream) {
  using namespace cairn::kernels;
  if (const auto status = CheckConv(args)) {
    return status;
  }
  const std::int64_t blocks = std::int64_t{args->sequences} * ConvBlocks(*args);
  if (blocks > INT32_MAX) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (blocks == 0) {
    return CAIRN_KERNELS_OK;
  }
  const auto on = static_cast<cudaStream_t>(stream);
  const auto count = static_cast<unsigned>(blocks);
  if (args->rows.dtype == CAIRN_KERNELS_F32) {
    Conv<std::uint32_t><<<count, kConvThreads, 0, on>>>(*args);
  } else {
    Conv<std::uint16_t><<<count, kConvThreads, 0, on>>>(*args);
  }
  return LaunchStatus();
}
