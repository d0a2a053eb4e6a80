#pragma once

#include <cuda_runtime.h>

#include "kernels/launch/cuda.h"
#include "kernels/scan/scan.h"

// Queues the two kernels of a scan. A header, so that rules with one decay per head and those with
// one per channel are compiled apart: each takes minutes.
namespace cairn::kernels {

template <bool kDelta, bool kChannel>
__global__ void __launch_bounds__(kPrepareThreads, 2)
    ScanPrepare(const __grid_constant__ cairn_kernels_scan args) {
  PrepareBlock<kDelta, kChannel>(args);
}
template <bool kDelta, bool kChannel, bool kOutputs, int kStages>
__global__ void __launch_bounds__(kScanThreads, 1)
    ScanAdvance(const __grid_constant__ cairn_kernels_scan args) {
  ScanBlock<kDelta, kChannel, kOutputs, kStages>(args);
}

/// More shared memory than 48 KiB has to be asked for; by each device, so every time: it costs less
/// than a microsecond and may be done while a graph is captured.
template <class Kernel>
cairn_kernels_status Launch(Kernel kernel, dim3 grid, int threads, std::size_t shared,
                            const cairn_kernels_scan& args, cudaStream_t stream) {
  // A refusal stays as the last error, which LaunchStatus takes.
  if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(shared)) != cudaSuccess) {
    return LaunchStatus();
  }
  kernel<<<grid, threads, shared, stream>>>(args);
  return LaunchStatus();
}

/// Two chunks in shared memory where it is large enough: everywhere, but on sm_86, sm_89 and sm_120
/// not for delta rules with outputs.
template <bool kDelta, bool kChannel, bool kOutputs>
cairn_kernels_status LaunchScan(const cairn_kernels_scan& args, cudaStream_t stream) {
  constexpr std::size_t kOne = sizeof(ScanStage<kDelta, kChannel, kOutputs>);
  int device = 0;
  int most = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) !=
          cudaSuccess) {
    return LaunchStatus();
  }
  const dim3 grid(static_cast<unsigned>(args.of.sequences) *
                      static_cast<unsigned>(args.of.value_dim / kScanColumns),
                  static_cast<unsigned>(args.of.value_heads));
  return 2 * kOne <= static_cast<std::size_t>(most)
             ? Launch(ScanAdvance<kDelta, kChannel, kOutputs, 2>, grid, kScanThreads, 2 * kOne,
                      args, stream)
             : Launch(ScanAdvance<kDelta, kChannel, kOutputs, 1>, grid, kScanThreads, kOne, args,
                      stream);
}

template <bool kDelta, bool kChannel>
cairn_kernels_status LaunchBoth(const cairn_kernels_scan& args, cudaStream_t stream) {
  const dim3 chunks(static_cast<unsigned>(SlotCount(args.of.sequences, args.of.tokens)),
                    static_cast<unsigned>(args.of.value_heads));
  static_assert(kPrepareShared<kChannel> <= 99 << 10, "what sm_86, sm_89 and sm_120 have");
  if (const auto status = Launch(ScanPrepare<kDelta, kChannel>, chunks, kPrepareThreads,
                                 kPrepareShared<kChannel>, args, stream)) {
    return status;
  }
  return args.of.output.data != nullptr ? LaunchScan<kDelta, kChannel, true>(args, stream)
                                        : LaunchScan<kDelta, kChannel, false>(args, stream);
}

/// Of the rules with a decay per channel; launch_channels.cu.
cairn_kernels_status LaunchChannels(bool delta, const cairn_kernels_scan& args,
                                    cudaStream_t stream);

}  // namespace cairn::kernels
