#pragma once

#include "kernels/cairn_kernels.h"

// Device code of the calls of cairn_kernels_state.h, _kv.h, _copy.h and _codec.h in the emulator,
// threads taking turns by `seed`. Each returns what the call says or leaves in device_error.
namespace cairn::kernels::test {

cairn_kernels_status EmulateReplay(cairn_kernels_replay args, unsigned seed);
cairn_kernels_status EmulateConv(cairn_kernels_conv args, unsigned seed);
cairn_kernels_status EmulateTranspose(cairn_kernels_transpose args, unsigned seed);
cairn_kernels_status EmulateKv(const cairn_kernels_kv& args, unsigned seed);
cairn_kernels_status EmulateQuantise(cairn_kernels_quantise args, unsigned seed);
cairn_kernels_status EmulateExponentSplit(cairn_kernels_exponent_split args, unsigned seed);
cairn_kernels_status EmulateCopy(cairn_kernels_copy args, unsigned seed);

}  // namespace cairn::kernels::test
