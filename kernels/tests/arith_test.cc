#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/arith/elements.h"
#include "kernels/arith/exp2.h"
#include "kernels/arith/log2.h"
#include "kernels/tests/check.h"
#include "kernels/tests/random.h"

namespace cairn::kernels::test {
namespace {

CASE(Exp2IsWithinItsBound) {
  Random random(1);
  double worst = 0;
  for (int i = 0; i < 2'000'000; ++i) {
    const auto x = static_cast<float>(random.Uniform(-126, 128));
    const double exact = std::exp2(static_cast<double>(x));
    const double ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
    worst = std::fmax(worst, std::fabs(Exp2(x) - exact) / ulp);
  }
  std::printf("Exp2: at most %.3f ulp\n", worst);
  CHECK_LE(worst, 1.01);
}

CASE(Exp2AtTheEdges) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  CHECK_EQ(Exp2(0.0F), 1.0F);
  CHECK_EQ(Exp2(-kInfinity), 0.0F);
  CHECK_EQ(Exp2(kInfinity), kInfinity);
  CHECK_EQ(Exp2(128.0F), kInfinity);
  CHECK(std::isnan(Exp2(std::numeric_limits<float>::quiet_NaN())));
  for (int n = -149; n < 128; ++n) {
    CHECK_EQ(Exp2(static_cast<float>(n)), std::ldexp(1.0F, n));
  }
  CHECK_EQ(Exp2(-150.0F), 0.0F);
  CHECK(std::fabs(Exp2(-140.5F) - std::exp2(-140.5)) <= 0x1p-149);
}

double Log2Error(float x) {
  const double exact = std::log2(static_cast<double>(x));
  if (exact == 0) {
    return Log2(x) == 0.0F ? 0 : 1e9;
  }
  return std::fabs(Log2(x) - exact) / std::ldexp(1.0, std::ilogb(exact) - 23);
}

CASE(Log2IsWithinItsBound) {
  Random random(2);
  double worst = 0;
  for (int i = 0; i < 2'000'000; ++i) {
    // Any positive float, and those around 1, whose logarithms are near 0.
    const auto any = static_cast<std::uint32_t>(random.Below(0x7F800000 - 1)) + 1U;
    worst = std::fmax(worst, Log2Error(FloatOf(any)));
    worst = std::fmax(worst, Log2Error(static_cast<float>(random.Uniform(0.4, 2.1))));
    worst = std::fmax(worst, Log2Error(FloatOf(0x3F800000U - static_cast<std::uint32_t>(i))));
    worst = std::fmax(worst, Log2Error(FloatOf(0x3F800000U + static_cast<std::uint32_t>(i))));
  }
  std::printf("Log2: at most %.3f ulp\n", worst);
  CHECK_LE(worst, 3.2);
}

CASE(Log2AtTheEdges) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  CHECK_EQ(Log2(0.0F), -kInfinity);
  CHECK_EQ(Log2(-0.0F), -kInfinity);
  CHECK_EQ(Log2(kInfinity), kInfinity);
  CHECK(std::isnan(Log2(-1.0F)));
  CHECK(std::isnan(Log2(-kInfinity)));
  CHECK(std::isnan(Log2(std::numeric_limits<float>::quiet_NaN())));
  for (int n = -149; n < 128; ++n) {
    CHECK_EQ(Log2(std::ldexp(1.0F, n)), static_cast<float>(n));
  }
  CHECK(Log2(std::numeric_limits<float>::max()) <= 128.0F);
}

// Every half and every bf16 goes to float and back; floats between round to nearest, ties to even.
CASE(SixteenBitTypes) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float f16 = ToFloat(F16{half});
    const float bf16 = ToFloat(Bf16{half});
    if (std::isnan(f16)) {
      CHECK(std::isnan(ToFloat(F16{F16Bits(f16)})));
    } else {
      CHECK_EQ(F16Bits(f16), half);
    }
    if (std::isnan(bf16)) {
      CHECK(std::isnan(ToFloat(Bf16{Bf16Bits(bf16)})));
    } else {
      CHECK_EQ(Bf16Bits(bf16), half);
    }
    const std::uint32_t exponent = bits >> 10U & 31U;
    if (exponent != 31) {
      const double value = std::ldexp((exponent == 0 ? 0 : 1024) + (bits & 1023U),
                                      (exponent == 0 ? 1 : static_cast<int>(exponent)) - 25);
      CHECK_EQ(static_cast<double>(f16), (bits & 0x8000U) != 0 ? -value : value);
    }
  }
  const auto next = [](std::uint16_t bits) { return static_cast<std::uint16_t>(bits + 1); };
  constexpr std::uint16_t kSome[] = {0x0000, 0x0001, 0x03FE, 0x03FF,
                                     0x0400, 0x3C00, 0x3C01, 0x7BFE};
  for (const std::uint16_t bits : kSome) {
    const float low = ToFloat(F16{bits});
    const float high = ToFloat(F16{next(bits)});
    const float middle = low + (high - low) / 2;
    CHECK_EQ(F16Bits(middle), bits + bits % 2);
    CHECK_EQ(F16Bits(std::nextafterf(middle, 0.0F)), bits);
    CHECK_EQ(F16Bits(std::nextafterf(middle, 1e9F)), next(bits));
  }
  CHECK_EQ(F16Bits(65519.99F), 0x7BFF);
  CHECK_EQ(F16Bits(65520.0F), 0x7C00);
  CHECK_EQ(Bf16Bits(ToFloat(Bf16{0x3F80}) + 0x1p-8F), 0x3F80);
  CHECK_EQ(Bf16Bits(ToFloat(Bf16{0x3F81}) + 0x1p-8F), 0x3F82);
}

}  // namespace
}  // namespace cairn::kernels::test
