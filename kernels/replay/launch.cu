#include <cuda_runtime.h>

#include "kernels/launch/cuda.h"
#include "kernels/recurrent/rule.h"
#include "kernels/replay/check.h"
#include "kernels/replay/kernel.h"

namespace cairn::kernels {
namespace {

template <int K, bool kChannel, bool kFolded>
__global__ void __launch_bounds__(K, (kFolded ? 640 : 512) / K)
    Replay(const __grid_constant__ cairn_kernels_replay args) {
  ReplayBlock<K, kChannel, kFolded>(args);
}

template <int K, bool kChannel>
void Launch(const cairn_kernels_replay& args, unsigned blocks, cudaStream_t stream) {
  constexpr std::size_t kBytes = sizeof(ReplayShared<K, kChannel>);
  if (args.mode == CAIRN_KERNELS_REPLAY_FOLDED) {
    Replay<K, kChannel, true><<<blocks, K, kBytes, stream>>>(args);
  } else {
    Replay<K, kChannel, false><<<blocks, K, kBytes, stream>>>(args);
  }
}
template <int K>
void LaunchRule(const cairn_kernels_replay& args, unsigned blocks, cudaStream_t stream) {
  TraitsOf(args.rule).channel ? Launch<K, true>(args, blocks, stream)
                              : Launch<K, false>(args, blocks, stream);
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_replay_cuda(const cairn_kernels_replay* args,
                                                          void* stream) {
  using namespace cairn::kernels;
  if (const auto status = CheckReplay(args)) {
    return status;
  }
  const double blocks =
      static_cast<double>(ReplayTiles(*args)) * args->value_heads * args->layers * args->restores;
  if (blocks > INT32_MAX) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args->restores == 0) {
    return CAIRN_KERNELS_OK;
  }
  const auto on = static_cast<cudaStream_t>(stream);
  const auto count = static_cast<unsigned>(blocks);
  switch (args->key_dim) {
    case 64: LaunchRule<64>(*args, count, on); break;
    case 128: LaunchRule<128>(*args, count, on); break;
    default: LaunchRule<256>(*args, count, on); break;
  }
  return LaunchStatus();
}
