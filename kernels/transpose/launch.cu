#include <cuda_runtime.h>

#include "kernels/launch/cuda.h"
#include "kernels/transpose/check.h"
#include "kernels/transpose/kernel.h"

namespace cairn::kernels {
namespace {

template <class T>
__global__ void __launch_bounds__(kTransposeThreads, 8)
    Transpose(const __grid_constant__ cairn_kernels_transpose args) {
  TransposeBlock<T>(args);
}

template <class T>
cairn_kernels_status Launch(const cairn_kernels_transpose& args, cudaStream_t stream) {
  const double blocks =
      static_cast<double>(TransposeTiles<T>(args)) * args.heads * args.layers * args.count;
  if (blocks > INT32_MAX) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args.count == 0) {
    return CAIRN_KERNELS_OK;
  }
  Transpose<T>
      <<<static_cast<unsigned>(blocks), kTransposeThreads, sizeof(TransposeTile<T>), stream>>>(
          args);
  return LaunchStatus();
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_transpose_cuda(const cairn_kernels_transpose* args,
                                                             void* stream) {
  using namespace cairn::kernels;
  if (const auto status = CheckTranspose(args)) {
    return status;
  }
  const auto on = static_cast<cudaStream_t>(stream);
  return args->from.dtype == CAIRN_KERNELS_F32 ? Launch<std::uint32_t>(*args, on)
                                               : Launch<std::uint16_t>(*args, on);
}
