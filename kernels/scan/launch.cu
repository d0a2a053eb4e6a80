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
template <bool kDelta, bool kOutputs, int kStages>
__global__ void __launch_bounds__(kScanThreads, 1)
    ScanAdvance(const __grid_constant__ cairn_kernels_scan args) {
  ScanBlock<kDelta, kOutputs, kStages>(args);
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

/// Two chunks in shared memory where it is large enough (not on sm_86, sm_89 and sm_120 with
/// outputs).
template <bool kDelta, bool kOutputs>
cairn_kernels_status LaunchScan(const cairn_kernels_scan& args, cudaStream_t stream) {
  constexpr std::size_t kOne = sizeof(ScanStage<kDelta, kOutputs>);
  int device = 0;
  int most = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  const dim3 grid(static_cast<unsigned>(args.of.sequences) *
                      static_cast<unsigned>(args.of.value_dim / kScanColumns),
                  static_cast<unsigned>(args.of.value_heads));
  return 2 * kOne <= static_cast<std::size_t>(most)
             ? Launch(ScanAdvance<kDelta, kOutputs, 2>, grid, kScanThreads, 2 * kOne, args, stream)
             : Launch(ScanAdvance<kDelta, kOutputs, 1>, grid, kScanThreads, kOne, args, stream);
}

template <bool kDelta>
cairn_kernels_status LaunchBoth(const cairn_kernels_scan& args, cudaStream_t stream) {
  const dim3 chunks(static_cast<unsigned>(SlotCount(args.of.sequences, args.of.tokens)),
                    static_cast<unsigned>(args.of.value_heads));
  if (const auto status = Launch(ScanPrepare<kDelta>, chunks, kPrepareThreads,
                                 sizeof(PrepareShared), args, stream)) {
    return status;
  }
  return args.of.output.data != nullptr ? LaunchScan<kDelta, true>(args, stream)
                                        : LaunchScan<kDelta, false>(args, stream);
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
