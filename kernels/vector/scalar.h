#pragma once

#include <cmath>

namespace cairn::kernels {

/// A vector of one: what every other gives the bits of.
struct ScalarVec {
  static constexpr int kWidth = 1;
  float x;

  static ScalarVec Load(const float* from) { return {*from}; }
  void Store(float* to) const { *to = x; }
  static ScalarVec Set(float value) { return {value}; }
  static ScalarVec Mul(ScalarVec a, ScalarVec b) { return {a.x * b.x}; }
  static ScalarVec Add(ScalarVec a, ScalarVec b) { return {a.x + b.x}; }
  static ScalarVec Fma(ScalarVec a, ScalarVec b, ScalarVec c) { return {std::fmaf(a.x, b.x, c.x)}; }

  /// Transposes kBlock x kBlock floats.
  static constexpr int kBlock = 1;
  static void Transpose(const float* from, int /*stride*/, float* to, int /*to_stride*/) {
    *to = *from;
  }
};

}  // namespace cairn::kernels
