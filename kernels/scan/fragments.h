#pragma once

#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/simt/device.h"

// Where a thread's part of a 16 x 8 x 16 product lies, and pairs of bf16 in a word.
namespace cairn::kernels {

// Addresses for LoadMatrices: of an operand a (16 x 16, by rows), whose second matrix is below the
// first; and of two operands b side by side, each 8 columns of 16, given by columns.
CAIRN_DEVICE int RowOfA(int thread) { return thread % 16; }
CAIRN_DEVICE int ColumnOfA(int thread) { return thread % 32 / 16 * 8; }
CAIRN_DEVICE int RowOfB(int thread) { return thread % 8 + thread % 32 / 16 * 8; }
CAIRN_DEVICE int ColumnOfB(int thread) { return thread / 8 % 2 * 8; }
// The first of the elements of a sum c; its second is beside it, the other two 8 rows below.
CAIRN_DEVICE int RowOfC(int thread) { return thread % 32 / 4; }
CAIRN_DEVICE int ColumnOfC(int thread) { return thread % 4 * 2; }

CAIRN_DEVICE std::uint32_t Pack(float low, float high) {
  return std::uint32_t{Bf16Bits(low)} | std::uint32_t{Bf16Bits(high)} << 16U;
}
CAIRN_DEVICE float LowOf(std::uint32_t pair) { return FloatOf(pair << 16U); }
CAIRN_DEVICE float HighOf(std::uint32_t pair) { return FloatOf(pair & 0xFFFF0000U); }

/// An operand b of 64 x `kColumns`, kept as LoadMatricesTransposed gives it: where the 8 elements
/// begin that a thread has of 16 rows from 16 t and 16 columns from 16 j.
template <int kColumns>
CAIRN_DEVICE int OperandAt(int t, int j, int thread) {
  return ((t * (kColumns / 16) + j) * 32 + thread % 32) * 8;
}

/// Both elements lie in one word of memory.
CAIRN_DEVICE std::uint32_t LoadPair(const Bf16* from) {
#ifdef __CUDACC__
  return *reinterpret_cast<const std::uint32_t*>(from);
#else
  return std::uint32_t{from[0].bits} | std::uint32_t{from[1].bits} << 16U;
#endif
}
CAIRN_DEVICE void StorePair(Bf16* to, std::uint32_t pair) {
#ifdef __CUDACC__
  *reinterpret_cast<std::uint32_t*>(to) = pair;
#else
  to[0].bits = static_cast<std::uint16_t>(pair);
  to[1].bits = static_cast<std::uint16_t>(pair >> 16U);
#endif
}

}  // namespace cairn::kernels
