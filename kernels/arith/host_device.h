#pragma once

// What code shared by the CPU and the GPU is declared with. Internal linkage on the CPU, since the
// same header is compiled for several instruction sets: one copy must never stand in for another.
#ifdef __CUDACC__
#define CAIRN_BOTH static __host__ __device__ __forceinline__
#define CAIRN_BOTH_MEMBER __host__ __device__ __forceinline__
#else
#define CAIRN_BOTH [[maybe_unused]] static inline
#define CAIRN_BOTH_MEMBER inline
#endif
