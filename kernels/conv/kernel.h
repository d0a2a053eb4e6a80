#pragma once

#include "kernels/conv/window.h"
#include "kernels/simt/device.h"

// Conv windows as device code: a thread for each channel of each sequence, neighbours side by side,
// so that a warp reads whole lines of rows. A window of 8,192 channels is 49 kB (W 4, bf16) read
// and 49 kB written, next to 2 MB of state: the launch takes longer than its bytes. 64 threads a
// block, so that one sequence's 8,192 channels are 128 blocks.
namespace cairn::kernels {

constexpr int kConvThreads = 64;

CAIRN_BOTH int ConvBlocks(const cairn_kernels_conv& args) {  // For one sequence.
  return (args.dim - 1) / kConvThreads + 1;
}

template <class T>
CAIRN_DEVICE void ConvBlock(const cairn_kernels_conv& args) {
  const int blocks = ConvBlocks(args);
  SequenceLists sequence;
  if (const int error = ReadLists(args, args.window.slots, BlockX() / blocks, sequence)) {
    if (args.device_error != nullptr && ThreadIndex() == 0) {
      *args.device_error = error;
    }
    return;
  }
  const int c = BlockX() % blocks * kConvThreads + ThreadIndex();
  if (c < args.dim) {
    ConvChannel<T>(args, sequence, c).Run();
  }
}

}  // namespace cairn::kernels
