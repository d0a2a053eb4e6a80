#include "kernels/scan/launch.cuh"

#include "kernels/scan/check.h"

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
  const RuleTraits traits = TraitsOf(args->of.rule);
  if (traits.channel) {
    return LaunchChannels(traits.delta, *args, on);
  }
  return traits.delta ? LaunchBoth<true, false>(*args, on) : LaunchBoth<false, false>(*args, on);
}
