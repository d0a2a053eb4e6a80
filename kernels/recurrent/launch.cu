#include <cuda_runtime.h>

#include "kernels/launch/cuda.h"
#include "kernels/recurrent/check.h"
#include "kernels/recurrent/kernel.h"

namespace cairn::kernels {
namespace {

// At least two blocks on a multiprocessor: 32 heads of 128 columns are 256 blocks at batch 1.
template <int K, bool kDelta, bool kChannel>
__global__ void __launch_bounds__(kAdvanceThreads, 2)
    RecurrentAdvance(const __grid_constant__ cairn_kernels_recurrent args) {
  AdvanceBlock<K, kDelta, kChannel>(args);
}

template <int K, bool kDelta, bool kChannel>
void Launch(const cairn_kernels_recurrent& args, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(args.sequences) *
                      static_cast<unsigned>(args.value_dim / kAdvanceColumns),
                  static_cast<unsigned>(args.value_heads));
  RecurrentAdvance<K, kDelta, kChannel>
      <<<grid, kAdvanceThreads, sizeof(AdvanceStage<K, kChannel>), stream>>>(args);
}

template <int K>
void LaunchRule(const cairn_kernels_recurrent& args, cudaStream_t stream) {
  const RuleTraits traits = TraitsOf(args.rule);
  if (traits.delta) {
    traits.channel ? Launch<K, true, true>(args, stream) : Launch<K, true, false>(args, stream);
  } else {
    traits.channel ? Launch<K, false, true>(args, stream) : Launch<K, false, false>(args, stream);
  }
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_recurrent_cuda(const cairn_kernels_recurrent* args,
                                                             void* stream) {
  using namespace cairn::kernels;
  if (const auto status = CheckShapes(args)) {
    return status;
  }
  if (args->value_heads > kMostGridY ||
      std::int64_t{args->sequences} * (args->value_dim / kAdvanceColumns) > INT32_MAX) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (args->sequences == 0) {
    return CAIRN_KERNELS_OK;
  }
  const auto on = static_cast<cudaStream_t>(stream);
  switch (args->key_dim) {
    case 64: LaunchRule<64>(*args, on); break;
    case 128: LaunchRule<128>(*args, on); break;
    default: LaunchRule<256>(*args, on); break;
  }
  return LaunchStatus();
}
