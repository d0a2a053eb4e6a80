#include <cuda_runtime.h>

#include "kernels/launch/cuda.h"
#include "kernels/quantise/check.h"
#include "kernels/quantise/kernel.h"

namespace cairn::kernels {
namespace {

template <class T, int kCodec, bool kDecode>
__global__ void __launch_bounds__(kQuantiseThreads, 4)
    QuantiseKernel(const __grid_constant__ cairn_kernels_quantise args) {
  QuantiseBlock<T, kCodec, kDecode>(args);
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_quantise_cuda(const cairn_kernels_quantise* args,
                                                            void* stream) {
  using namespace cairn::kernels;
  if (const auto status = CheckQuantise(args)) {
    return status;
  }
  const auto blocks = static_cast<unsigned>(QuantiseBlocks(*args));
  WithQuantiseVariant(*args, [&]<class T, int kCodec, bool kDecode>() {
    QuantiseKernel<T, kCodec, kDecode>
        <<<blocks, kQuantiseThreads, sizeof(QuantiseShared), static_cast<cudaStream_t>(stream)>>>(
            *args);
  });
  return LaunchStatus();
}
