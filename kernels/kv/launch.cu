#include <cuda_runtime.h>

#include "kernels/kv/check.h"
#include "kernels/kv/kernel.h"
#include "kernels/launch/cuda.h"

namespace cairn::kernels {
namespace {

template <bool kNarrow, bool kUnpack, bool kDigest, bool kRope>
__global__ void __launch_bounds__(kKvThreads, kNarrow ? 1 : 2)
    Kv(const __grid_constant__ KvPlan plan) {
  KvBlock<kNarrow, kUnpack, kDigest, kRope>(plan);
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_kv_cuda(const cairn_kernels_kv* args, void* stream) {
  using namespace cairn::kernels;
  KvPlan plan;
  if (const auto status = CheckKv(args, plan)) {
    return status;
  }
  if (plan.word_bytes == 0) {
    return CAIRN_KERNELS_OK;
  }
  const auto blocks = static_cast<unsigned>(KvBlocks(*args));
  WithKvVariant(plan, [&]<bool kNarrow, bool kUnpack, bool kDigest, bool kRope>() {
    Kv<kNarrow, kUnpack, kDigest, kRope>
        <<<blocks, kKvThreads, sizeof(KvShared), static_cast<cudaStream_t>(stream)>>>(plan);
  });
  return LaunchStatus();
}
