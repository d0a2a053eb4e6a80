#pragma once

#include <immintrin.h>

#include "kernels/vector/transpose8.h"

namespace cairn::kernels {

/// For files compiled with -mavx512f only.
struct Avx512Vec {
  static constexpr int kWidth = 16;
  __m512 x;

  static Avx512Vec Load(const float* from) { return {_mm512_load_ps(from)}; }
  void Store(float* to) const { _mm512_store_ps(to, x); }
  static Avx512Vec Set(float value) { return {_mm512_set1_ps(value)}; }
  static Avx512Vec Mul(Avx512Vec a, Avx512Vec b) { return {_mm512_mul_ps(a.x, b.x)}; }
  static Avx512Vec Add(Avx512Vec a, Avx512Vec b) { return {_mm512_add_ps(a.x, b.x)}; }
  static Avx512Vec Fma(Avx512Vec a, Avx512Vec b, Avx512Vec c) {
    return {_mm512_fmadd_ps(a.x, b.x, c.x)};
  }

  static constexpr int kBlock = 8;
  static void Transpose(const float* from, int stride, float* to, int to_stride) {
    Transpose8(from, stride, to, to_stride);
  }
};

}  // namespace cairn::kernels
