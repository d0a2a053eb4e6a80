#pragma once

// What device code may use of CUDA, by names that the CPU has too: the same source runs on a GPU
// and, thread by thread, in tests (simt/emulator.h). `Shared` is the block's shared memory, 16-byte
// aligned; all threads of a block must meet in SyncBlock, all of a warp in the others.

#ifdef __CUDACC__

#include <cstdint>

#define CAIRN_DEVICE static __device__ __forceinline__
#define CAIRN_DEVICE_MEMBER __device__ __forceinline__
#define CAIRN_UNROLL _Pragma("unroll")

namespace cairn::kernels {

CAIRN_DEVICE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
CAIRN_DEVICE int BlockX() { return static_cast<int>(blockIdx.x); }
CAIRN_DEVICE int BlockY() { return static_cast<int>(blockIdx.y); }
CAIRN_DEVICE int BlockZ() { return static_cast<int>(blockIdx.z); }
CAIRN_DEVICE int GridX() { return static_cast<int>(gridDim.x); }
CAIRN_DEVICE void SyncBlock() { __syncthreads(); }
CAIRN_DEVICE float ShuffleXor(float value, int mask) {
  return __shfl_xor_sync(0xFFFFFFFFU, value, mask);
}
CAIRN_DEVICE unsigned char* Shared() {
  extern __shared__ __align__(16) unsigned char shared[];
  return shared;
}

}  // namespace cairn::kernels

#else

#include "kernels/simt/emulator.h"

#define CAIRN_DEVICE [[maybe_unused]] static inline
#define CAIRN_DEVICE_MEMBER inline
#define CAIRN_UNROLL

#endif
