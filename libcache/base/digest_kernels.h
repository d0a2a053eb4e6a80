#pragma once

// Included by exactly two files, digest.cc and digest_avx2.cc, which compile the same source for
// two instruction sets. Everything here has internal linkage so that the linker cannot merge them.

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "libcache/base/digest.h"

namespace cairn::internal {

struct DigestKernels {
  Digest (*digest)(const std::byte* bytes, std::size_t size);
  void (*update)(void* state, const std::byte* bytes, std::size_t size);
  void (*copy_and_update)(void* state, std::byte* target, const std::byte* source,
                          std::size_t size);
};

/// The AVX2 variant, or null where the compiler or the processor has none.
const DigestKernels* Avx2Kernels();

/// Below this one call over the whole is faster than the streaming state.
inline constexpr std::size_t kOneShotBytes = 4 * 1024;

namespace {

// Below this the target is likely to be read again from cache, so plain stores are right.
constexpr std::size_t kStreamingBytes = 128 * 1024;
// A quarter of a 32 KiB first-level cache: the piece is still there when it is hashed and written.
constexpr std::size_t kPieceBytes = 8 * 1024;

inline Digest FromXxh(XXH128_hash_t hash) { return {.low = hash.low64, .high = hash.high64}; }

inline Digest DigestKernel(const std::byte* bytes, std::size_t size) {
  return FromXxh(XXH3_128bits(bytes, size));
}

inline void UpdateKernel(void* state, const std::byte* bytes, std::size_t size) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state), bytes, size);
}

/// Copies whole 64-byte lines with streaming stores; `target` is 64-byte aligned.
inline void StreamCopy(std::byte* target, const std::byte* source, std::size_t size) {
  std::size_t i = 0;
#if defined(__AVX2__)
  for (; i + 64 <= size; i += 64) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i + 32));
    _mm256_stream_si256(reinterpret_cast<__m256i*>(target + i), a);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(target + i + 32), b);
  }
#elif defined(__SSE2__)
  for (; i + 64 <= size; i += 64) {
    for (std::size_t j = 0; j < 64; j += 16) {
      const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i + j));
      _mm_stream_si128(reinterpret_cast<__m128i*>(target + i + j), a);
    }
  }
#endif
  std::memcpy(target + i, source + i, size - i);
}

inline void CopyAndUpdateKernel(void* state, std::byte* target, const std::byte* source,
                                std::size_t size) {
  auto* const xxh = static_cast<XXH3_state_t*>(state);
  if (size == 0) {
    return;  // An empty span may have no address, which memcpy does not allow.
  }
  // The source may be shared memory that another process changes under way: it is read once, and
  // what is hashed is the copy.
  if (size < kStreamingBytes) {
    std::memcpy(target, source, size);
    XXH3_128bits_update(xxh, target, size);
    return;
  }
  // Streaming stores want an aligned target.
  const auto misaligned = reinterpret_cast<std::uintptr_t>(target) % 64;
  std::size_t done = misaligned == 0 ? 0 : 64 - misaligned;
  std::memcpy(target, source, done);
  XXH3_128bits_update(xxh, target, done);
  // What is streamed past the caches cannot be hashed afterwards: hence a stop in the first level.
  // It is filled before it is read, piece by piece.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
  alignas(64) std::array<std::byte, kPieceBytes> piece;
  while (done < size) {
    const std::size_t bytes = std::min(kPieceBytes, size - done);
    std::memcpy(piece.data(), source + done, bytes);
    // The next piece is on its way while this one is hashed and written.
    const std::size_t ahead = std::min(kPieceBytes, size - done - bytes);
    for (std::size_t i = 0; i < ahead; i += 64) {
      __builtin_prefetch(source + done + bytes + i, 0, 2);
    }
    XXH3_128bits_update(xxh, piece.data(), bytes);
    StreamCopy(target + done, piece.data(), bytes);
    done += bytes;
  }
#if defined(__SSE2__)
  _mm_sfence();  // Streaming stores are weakly ordered; the caller may hand the bytes on.
#endif
}

constexpr DigestKernels kKernels = {
    .digest = DigestKernel, .update = UpdateKernel, .copy_and_update = CopyAndUpdateKernel};

}  // namespace
}  // namespace cairn::internal
