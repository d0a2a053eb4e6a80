#include <cmath>
#include <cstdint>
#include <initializer_list>

#include "kernels/cairn_kernels.h"

namespace {

struct CosSin {
  double cos;
  double sin;
};

/// Of an angle below 2^31 or so, within 2e-16, in operations that every machine rounds alike;
/// libm's differ from one to the next. First the nearest multiple of pi / 2 is taken off (Cody and
/// Waite, in two steps: the first is exact), then the Taylor series up to x^16 and x^17 are used:
/// their next terms are below 1e-17 for the pi / 4 that can remain.
CosSin CosSinOf(double angle) {
  const double n = std::nearbyint(angle * 0x1.45f306dc9c883p-1);  // 2 / pi
  const double high = std::fma(-n, 0x1.921fb54442d18p+0, angle);  // pi / 2, its first 53 bits
  const double x = std::fma(-n, 0x1.1a62633145c07p-54, high);     // and the next
  const double y = x * x;
  double sin = 1.0 / 355687428096000.0;
  for (const double factorial :
       {1307674368000.0, 6227020800.0, 39916800.0, 362880.0, 5040.0, 120.0, 6.0, 1.0}) {
    sin = std::fma(-y, sin, 1.0 / factorial);
  }
  sin *= x;
  double cos = 1.0 / 20922789888000.0;
  for (const double factorial :
       {87178291200.0, 479001600.0, 3628800.0, 40320.0, 720.0, 24.0, 2.0, 1.0}) {
    cos = std::fma(-y, cos, 1.0 / factorial);
  }
  switch (static_cast<std::int64_t>(n) & 3) {
    case 0: return {cos, sin};
    case 1: return {-sin, cos};
    case 2: return {-cos, -sin};
    default: return {sin, -cos};
  }
}

}  // namespace

extern "C" cairn_kernels_status cairn_kernels_rope_row(const double* inverse_frequencies,
                                                       int32_t pairs, int64_t delta, float* row) {
  if (inverse_frequencies == nullptr || row == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (pairs <= 0) {
    return CAIRN_KERNELS_SHAPE;
  }
  constexpr double kMost = 4294967296.0;
  for (int i = 0; i < pairs; ++i) {
    if (!(std::fabs(static_cast<double>(delta) * inverse_frequencies[i]) < kMost)) {
      return CAIRN_KERNELS_SHAPE;
    }
  }
  for (int i = 0; i < pairs; ++i) {
    const CosSin turn = CosSinOf(static_cast<double>(delta) * inverse_frequencies[i]);
    row[2 * i] = static_cast<float>(turn.cos);
    row[2 * i + 1] = static_cast<float>(turn.sin);
  }
  return CAIRN_KERNELS_OK;
}
