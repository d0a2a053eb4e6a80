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
/// What lane `lane` has.
CAIRN_DEVICE std::uint32_t Shuffle(std::uint32_t value, int lane) {
  return __shfl_sync(0xFFFFFFFFU, value, lane);
}
/// Bit l says what lane l has.
CAIRN_DEVICE std::uint32_t Ballot(bool mine) { return __ballot_sync(0xFFFFFFFFU, mine); }
CAIRN_DEVICE int CountBits(std::uint32_t bits) { return __popc(bits); }
/// c += a * b of 16 x 16 by 16 x 8 bf16, sums in float; the registers of each as mma.m16n8k16 has
/// them: lane l has rows l / 4 and l / 4 + 8, and columns (or k) 2 (l % 4) and the next.
CAIRN_DEVICE void Mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                      std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/// Four 8 x 8 matrices of 16-bit elements from shared memory: lanes 8 i to 8 i + 7 name the rows of
/// matrix i; r[i] gets elements 2 (l % 4) and the next of row l / 4.
CAIRN_DEVICE void LoadMatrices(std::uint32_t (&r)[4], const void* row) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
}
/// The same of each matrix transposed.
CAIRN_DEVICE void LoadMatricesTransposed(std::uint32_t (&r)[4], const void* row) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
}
/// Sixteen bytes from global to shared memory, behind the thread's back; both aligned.
CAIRN_DEVICE void CopyAsync(void* shared, const void* global) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(global) : "memory");
}
/// Ends a group of copies; CopyWait waits until at most kLeft groups of this thread are under way.
CAIRN_DEVICE void CopyCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kLeft>
CAIRN_DEVICE void CopyWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
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
