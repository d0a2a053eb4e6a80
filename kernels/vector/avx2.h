#pragma once

#include <immintrin.h>

#include "kernels/vector/transpose8.h"

namespace cairn::kernels {

/// For files compiled with -mavx2 -mfma only.
struct Avx2Vec {
  static constexpr int kWidth = 8;
  __m256 x;

  static Avx2Vec Load(const float* from) { return {_mm256_load_ps(from)}; }
  void Store(float* to) const { _mm256_store_ps(to, x); }
  static Avx2Vec Set(float value) { return {_mm256_set1_ps(value)}; }
  static Avx2Vec Mul(Avx2Vec a, Avx2Vec b) { return {_mm256_mul_ps(a.x, b.x)}; }
  static Avx2Vec Add(Avx2Vec a, Avx2Vec b) { return {_mm256_add_ps(a.x, b.x)}; }
  static Avx2Vec Fma(Avx2Vec a, Avx2Vec b, Avx2Vec c) { return {_mm256_fmadd_ps(a.x, b.x, c.x)}; }

  static constexpr int kBlock = 8;
  static void Transpose(const float* from, int stride, float* to, int to_stride) {
    Transpose8(from, stride, to, to_stride);
  }
};

}  // namespace cairn::kernels
