#pragma once

#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/simt/device.h"

#ifndef __CUDACC__
#include <cstring>
#endif

// What goes beyond simt/device.h: accesses of 16 bytes, and exchanges of 64 bits within a warp.
namespace cairn::kernels {

/// Read and written in one access where it is aligned.
struct alignas(16) Float4 {
  float x, y, z, w;
};
struct alignas(16) Words4 {
  std::uint32_t w[4];
};

#ifdef __CUDACC__

/// Before a loop that must not be unrolled, for its registers' sake.
#define CAIRN_ROLLED _Pragma("unroll 1")

/// CopyAsync of four bytes; part of the same groups.
CAIRN_DEVICE void CopyWordAsync(void* shared, const void* global) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(at), "l"(global) : "memory");
}
CAIRN_DEVICE std::uint64_t ShuffleXor(std::uint64_t value, int mask) {
  return __shfl_xor_sync(0xFFFFFFFFU, static_cast<unsigned long long>(value), mask);
}
/// These are for memory that is touched once and need not stay in the caches.
CAIRN_DEVICE Words4 LoadOnce(const void* from) {
  const uint4 x = __ldcs(static_cast<const uint4*>(from));
  return {{x.x, x.y, x.z, x.w}};
}
CAIRN_DEVICE std::uint32_t LoadWordOnce(const void* from) {
  return __ldcs(static_cast<const unsigned*>(from));
}
/// Likewise, and never moved before what comes before it: what waits in registers stays little.
CAIRN_DEVICE void LoadInOrder(std::uint32_t (&r)[4], const void* from) {
  asm volatile("ld.global.cs.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "l"(from)
               : "memory");
}
CAIRN_DEVICE void StoreOnce(void* to, const Words4& x) {
  __stcs(static_cast<uint4*>(to), make_uint4(x.w[0], x.w[1], x.w[2], x.w[3]));
}
CAIRN_DEVICE void StoreWordOnce(void* to, std::uint32_t word) {
  __stcs(static_cast<unsigned*>(to), word);
}

#else

#define CAIRN_ROLLED

/// At once, since the emulator's groups have pieces of 16 bytes only.
inline void CopyWordAsync(void* shared, const void* global) { std::memcpy(shared, global, 4); }
/// In two halves. A float's bits pass unchanged where floats are moved by SSE or NEON.
inline std::uint64_t ShuffleXor(std::uint64_t value, int mask) {
  const float low = ShuffleXor(FloatOf(static_cast<std::uint32_t>(value)), mask);
  const float high = ShuffleXor(FloatOf(static_cast<std::uint32_t>(value >> 32U)), mask);
  return std::uint64_t{BitsOf(high)} << 32U | BitsOf(low);
}
inline Words4 LoadOnce(const void* from) {
  Words4 words;
  std::memcpy(&words, __builtin_assume_aligned(from, 16), sizeof(words));
  return words;
}
inline std::uint32_t LoadWordOnce(const void* from) {
  return *static_cast<const std::uint32_t*>(from);
}
inline void LoadInOrder(std::uint32_t (&r)[4], const void* from) {
  std::memcpy(r, __builtin_assume_aligned(from, 16), sizeof(r));
}
inline void StoreOnce(void* to, const Words4& words) { *static_cast<Words4*>(to) = words; }
inline void StoreWordOnce(void* to, std::uint32_t word) { *static_cast<std::uint32_t*>(to) = word; }

#endif

}  // namespace cairn::kernels
