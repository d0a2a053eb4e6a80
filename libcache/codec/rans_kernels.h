#pragma once

#include <cstddef>
#include <cstdint>

#include "libcache/codec/rans.h"

namespace cairn::internal {

/// The inner loops, once in plain C++ and once for AVX2. Both see whole steps of kRansLanes symbols
/// only; rans.cc does the rest of a stream.
struct RansKernels {
  /// Encodes steps from the last to the first and writes words below `end`, downwards; up to 16
  /// bytes below the words may be overwritten. Returns where the words begin.
  std::byte* (*encode)(const RansEncoder::Table& table, const std::uint8_t* symbols,
                       std::size_t steps, std::uint32_t* states, std::byte* end);
  /// Decodes until `steps` are done or fewer than kRansLanes words are left; returns the steps done
  /// and moves `words` forward.
  std::size_t (*decode)(const RansDecoder::Table& table, std::uint8_t* symbols, std::size_t steps,
                        std::uint32_t* states, const std::byte** words, const std::byte* end);
};

const RansKernels& PlainRansKernels();
/// Null where the compiler or the processor has no AVX2.
const RansKernels* Avx2RansKernels();

/// With the kernels named, for tests that compare them.
std::size_t RansEncodeWith(const RansKernels& kernels, const RansEncoder::Table& table,
                           const std::uint8_t* symbols, std::size_t count, std::byte* out);
bool RansDecodeWith(const RansKernels& kernels, const RansDecoder::Table& table,
                    const std::byte* stream, std::size_t bytes, std::uint8_t* symbols,
                    std::size_t count);

// Static: the linker must not give the plain path what was compiled for AVX2.

/// One symbol into one state; `words` moves down if the state gave up a word. Shared by all paths.
[[maybe_unused]] static inline std::uint32_t RansPut(RansEncoder::Entry entry, std::uint32_t state,
                                                     std::byte** words) {
  const std::uint32_t frequency = entry.packed & 0xFFFU;
  const std::uint32_t start = (entry.packed >> 12U) & 0xFFFU;
  if (state >= frequency << 19U) {  // Else the result would not fit 31 bits.
    *words -= 2;
    (*words)[0] = static_cast<std::byte>(state & 0xFFU);
    (*words)[1] = static_cast<std::byte>((state >> 8U) & 0xFFU);
    state >>= 16U;
  }
  const auto quotient = static_cast<std::uint32_t>(
      (static_cast<std::uint64_t>(state) * entry.reciprocal) >> (31U + (entry.packed >> 24U)));
  return state + start + quotient * (kRansTotal - frequency);
}

[[maybe_unused]] static inline std::uint32_t RansWord(const std::byte* words) {
  return std::to_integer<std::uint32_t>(words[0]) | std::to_integer<std::uint32_t>(words[1]) << 8U;
}

/// The state after its symbol was taken, before a word may be needed.
[[maybe_unused]] static inline std::uint32_t RansAdvance(std::uint32_t entry, std::uint32_t state) {
  return ((entry >> 8U) & 0xFFFU) * (state >> kRansBits) + (entry >> 20U);
}

}  // namespace cairn::internal
