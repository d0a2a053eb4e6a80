#include "kernels/scan/launch.cuh"

namespace cairn::kernels {

cairn_kernels_status LaunchChannels(bool delta, const cairn_kernels_scan& args,
                                    cudaStream_t stream) {
  return delta ? LaunchBoth<true, true>(args, stream) : LaunchBoth<false, true>(args, stream);
}

}  // namespace cairn::kernels
