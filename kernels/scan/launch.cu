#include <cuda_runtime.h>

#include "kernels/launch/cuda.h"
#include "kernels/scan/check.h"
#include "kernels/scan/scan.h"

namespace cairn::kernels {
namespace {

template <bool kDelta>
__global__ void __launch_bounds__(kPrepareThreads, 2)
    ScanPrepare(const __grid_constant__ cairn_kernels_scan args) {
  PrepareBlock<kDelta>(args);
}
template <bool kDelta, bool kOutputs>
__global__ void __launch_bounds__(kScanThreads, 1)
    ScanAdvance(const __grid_constant__ cairn_kernels_scan args) {
  ScanBlock<kDelta, kOutputs>(args);
}

/// More shared memory than 48 KiB has to be asked for; by each device, so every time: it costs less
/// than a microsecond and may be done while a graph is captured.
template <class Kernel>
cairn_kernels_status Launch(Kernel kernel, dim3 grid, int threads, std::size_t shared,
                            const cairn_kernels_scan& args, cudaStream_t stream) {
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                       static_cast<int>(shared));
  kernel<<<grid, threads, shared, stream>>>(args);
  return LaunchStatus();
}

template <bool kDelta>
cairn_kernels_status LaunchBoth(const cairn_kernels_scan& args, cudaStream_t stream) {
  const auto heads = static_cast<unsigned>(args.of.value_heads);
  const dim3 chunks(static_cast<unsigned>(SlotCount(args.of.sequences, args.of.tokens)), heads);
  if (const auto status = Launch(ScanPrepare<kDelta>, chunks, kPrepareThreads,
                                 sizeof(PrepareShared), args, stream)) {
    return status;
  }
  const dim3 grid(static_cast<unsigned>(args.of.sequences) *
                      static_cast<unsigned>(args.of.value_dim / kScanColumns),
                  heads);
  return args.of.output.data != nullptr
             ? Launch(ScanAdvance<kDelta, true>, grid, kScanThreads,
                      kScanStages * sizeof(ScanStage<kDelta, true>), args, stream)
             : Launch(ScanAdvance<kDelta, false>, grid, kScanThreads,
                      kScanStages * sizeof(ScanStage<kDelta, false>), args, stream);
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_scan_cuda(const cairn_kernels_scan* args,
                                                        void* stream) {
  using namespace cairn::kernels;
  if (const auto status = CheckScanShapes(args, true)) {
    return status;
  }
  if (args->of.sequences == 0) {
    return CAIRN_KERNELS_OK;
  }
  const auto on = static_cast<cudaStream_t>(stream);
  return TraitsOf(args->of.rule).delta ? LaunchBoth<true>(*args, on) : LaunchBoth<false>(*args, on);
}
