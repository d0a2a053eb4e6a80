#pragma once

#include <immintrin.h>

namespace cairn::kernels {
namespace {

/// Transposes 8 x 8 floats; rows are `stride` floats apart. For files compiled with -mavx2 at
/// least.
[[maybe_unused]] void Transpose8(const float* from, int stride, float* to, int to_stride) {
  __m256 row[8];
  for (int i = 0; i < 4; ++i) {  // The left halves of rows i and i + 4, then the right halves.
    const float* const upper = from + i * stride;
    const float* const lower = from + (i + 4) * stride;
    row[i] =
        _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(upper)), _mm_loadu_ps(lower), 1);
    row[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(upper + 4)),
                                      _mm_loadu_ps(lower + 4), 1);
  }
  for (int half = 0; half < 8; half += 4) {
    const __m256 a = _mm256_unpacklo_ps(row[half], row[half + 1]);
    const __m256 b = _mm256_unpackhi_ps(row[half], row[half + 1]);
    const __m256 c = _mm256_unpacklo_ps(row[half + 2], row[half + 3]);
    const __m256 d = _mm256_unpackhi_ps(row[half + 2], row[half + 3]);
    float* const out = to + half * to_stride;
    _mm256_storeu_ps(out, _mm256_shuffle_ps(a, c, 0x44));
    _mm256_storeu_ps(out + to_stride, _mm256_shuffle_ps(a, c, 0xEE));
    _mm256_storeu_ps(out + 2 * to_stride, _mm256_shuffle_ps(b, d, 0x44));
    _mm256_storeu_ps(out + 3 * to_stride, _mm256_shuffle_ps(b, d, 0xEE));
  }
}

}  // namespace
}  // namespace cairn::kernels
