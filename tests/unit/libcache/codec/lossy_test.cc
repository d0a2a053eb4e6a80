// The lossy codecs on values whose answers are known, and what they make of usual ones.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "libcache/codec/codec.h"
#include "libcache/codec/values.h"
#include "tests/unit/libcache/codec/bounds.h"
#include "tests/unit/libcache/codec/gdn_states.h"

namespace cairn {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Outcome {
  std::vector<float> values;
  double size = 0;   ///< Of the frame, in parts of the object.
  double error = 0;  ///< Relative, by root mean squares.
};

Outcome Through(CodecId id, const CodecShape& shape, std::span<const float> values) {
  const Codec& codec = *FindCodec(id);
  const auto raw = testing::Elements(shape.element, values);
  std::vector<std::byte> frame(MaxEncodedBytes(codec, shape, raw.size()).value());
  frame.resize(Encode(codec, shape, raw, frame).value());
  std::vector<std::byte> back(raw.size());
  EXPECT_TRUE(Decode(frame, back));
  Outcome outcome{.values = testing::Floats(shape.element, back),
                  .size = static_cast<double>(frame.size()) / static_cast<double>(raw.size())};
  const auto in = testing::Floats(shape.element, raw);
  EXPECT_EQ(testing::Bounds(id, shape, in, outcome.values).FirstBroken(), in.size());
  double off = 0;
  double all = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    off += std::pow(double{in[i]} - double{outcome.values[i]}, 2);
    all += std::pow(double{in[i]}, 2);
  }
  outcome.error = std::sqrt(off / all);
  return outcome;
}

TEST(LossyTest, EveryHalfAndEveryFp8IsItsOwnRounding) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = internal::FromHalf(half);
    if (!std::isnan(value)) {
      ASSERT_EQ(kernels::F16Bits(value), half);
      // Between this one and the next: to nearest, ties to even.
      if (std::isfinite(value) && (bits & 0x7FFFU) < 0x7BFFU) {
        const float next = internal::FromHalf(static_cast<std::uint16_t>(half + 1));
        const float middle = (value + next) / 2;
        ASSERT_EQ(kernels::F16Bits(middle) & 1U, 0U);
        ASSERT_EQ(kernels::F16Bits(std::nextafterf(middle, value)), half);
        ASSERT_EQ(kernels::F16Bits(std::nextafterf(middle, next)), half + 1);
      }
    }
  }
  for (std::uint32_t code = 0; code < 0x100; ++code) {
    const float value = internal::FromFp8(static_cast<std::uint8_t>(code), 1.0F);
    ASSERT_EQ(std::isnan(value), (code & 0x7FU) == 0x7FU);
    if (!std::isnan(value)) {
      ASSERT_EQ(internal::ToFp8(value, 1.0F), code);
      if ((code & 0x7FU) < 0x7EU) {
        const float next = internal::FromFp8(static_cast<std::uint8_t>(code + 1), 1.0F);
        ASSERT_EQ(internal::ToFp8((value + next) / 2, 1.0F) & 1U, 0U) << code;
      }
    }
  }
  EXPECT_EQ(internal::FromFp8(0x7E, 1.0F), 448.0F);
  EXPECT_EQ(kernels::F16Bits(65519.0F), 0x7BFF);
  EXPECT_EQ(kernels::F16Bits(65520.0F), 0x7C00);
}

TEST(LossyTest, IntegersRoundToEven) {
  EXPECT_EQ(internal::RoundToInt(0.5F), 0);
  EXPECT_EQ(internal::RoundToInt(1.5F), 2);
  EXPECT_EQ(internal::RoundToInt(-0.5F), 0);
  EXPECT_EQ(internal::RoundToInt(-126.5F), -126);
  EXPECT_EQ(internal::RoundToInt(126.50001F), 127);
}

TEST(LossyTest, FloatsBecomeTheNearestBf16) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  const CodecShape shape{.element = Element::kF32, .matrices = 1, .rows = 2, .columns = 5};
  const std::vector<float> values = {1.0F, 1.00390625F, -3.1415927F, 1e-42F, kLargest,
                                     kNan, -kInfinity,  0.0F,        -0.0F,  -kLargest};
  const auto once = Through(CodecId::kBf16Round, shape, values).values;
  EXPECT_EQ(once[0], 1.0F);
  EXPECT_EQ(once[1], 1.0F) << "half way: to even";
  EXPECT_EQ(once[2], -3.140625F);
  EXPECT_EQ(once[4], 0x1.FEp127F) << "an infinity is not made up";
  EXPECT_TRUE(std::isnan(once[5]));
  EXPECT_EQ(once[6], -kInfinity);
  EXPECT_TRUE(std::signbit(once[8]));
  EXPECT_EQ(once[9], -0x1.FEp127F);
  const auto twice = Through(CodecId::kBf16Round, shape, once).values;
  for (std::size_t i = 0; i < once.size(); ++i) {
    EXPECT_TRUE(twice[i] == once[i] || std::isnan(once[i])) << i;
  }
}

// An object is cut between layers. What becomes of one must not depend on where the cut was.
TEST(LossyTest, ACutKnowsEarlyLayersFromLate) {
  const auto values = testing::KvValues(12, 64, 64, 1);
  const CodecShape whole{.element = Element::kF32, .matrices = 12, .rows = 64, .columns = 64};
  for (const auto id : {CodecId::kKivi2, CodecId::kKivi4, CodecId::kCacheGen}) {
    const auto together = Through(id, whole, values).values;
    // CacheGen treats keys and values alike, so it may be a single matrix.
    const std::uint32_t matrices = id == CodecId::kCacheGen ? 1 : 2;
    for (std::uint32_t first = 0; first < whole.matrices; first += matrices) {
      CodecShape one = whole;
      one.matrices = matrices;
      one.matrices_before = first;
      one.matrices_behind = whole.matrices - first - matrices;
      const std::size_t each = std::size_t{64} * 64;
      const auto alone =
          Through(id, one, std::span(values).subspan(first * each, matrices * each)).values;
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                             together.begin() + static_cast<std::ptrdiff_t>(first * each)))
          << FindCodec(id)->name() << ", matrix " << first;
    }
  }
}

TEST(LossyTest, ColumnsKeepToThemselves) {
  // Columns: usual, constant, zero, tiny, one NaN among them, huge.
  const CodecShape shape{.element = Element::kF32, .matrices = 1, .rows = 3, .columns = 6};
  const std::vector<float> values = {1,     5, 0, 1e-42F,  2,    3e38F,   //
                                     -127,  5, 0, -1e-42F, kNan, -3e38F,  //
                                     50.4F, 5, 0, 0,       -4,   kInfinity};
  const auto back = Through(CodecId::kInt8Column, shape, values).values;
  EXPECT_EQ(back[0], 1.0F);
  EXPECT_EQ(back[6], -127.0F);
  EXPECT_EQ(back[12], 50.0F);
  EXPECT_EQ(back[1], 5.0F);
  EXPECT_EQ(back[2], 0.0F);
  EXPECT_EQ(back[3], 0.0F) << "too small to have a scale";
  EXPECT_TRUE(std::isnan(back[10]));
  EXPECT_EQ(back[16], -4.0F) << "a NaN does not touch the rest of its column";
  EXPECT_TRUE(std::isnan(back[17])) << "an infinity is not made up";
}

TEST(LossyTest, ConstantGroupsAreExactAndBrokenOnesAreNan) {
  const CodecShape shape{.element = Element::kF16, .matrices = 2, .rows = 35, .columns = 40};
  std::vector<float> values(2 * 35 * 40, 0.333251953125F);
  values[3 * 40 + 7] = kNan;
  for (const auto id : {CodecId::kKivi2, CodecId::kKivi4}) {
    const auto back = Through(id, shape, values).values;
    for (std::size_t i = 0; i < back.size(); ++i) {
      const bool broken = i < 32 * 40 && i % 40 == 7;  // That channel of the first group.
      EXPECT_EQ(std::isnan(back[i]), broken) << i;
      EXPECT_TRUE(broken || back[i] == 0.333251953125F) << i;
    }
  }
}

TEST(LossyTest, NewestTokensOfKiviAreKeptAsTheyAre) {
  const auto values = testing::KvValues(2, 45, 64, 1);
  const CodecShape shape{.element = Element::kF32, .matrices = 2, .rows = 45, .columns = 64};
  const auto back = Through(CodecId::kKivi2, shape, values).values;
  for (std::size_t row = 32; row < 45; ++row) {
    for (std::size_t c = 0; c < 64; ++c) {
      EXPECT_EQ(back[row * 64 + c], values[row * 64 + c]);
      EXPECT_EQ(back[(45 + row) * 64 + c], values[(45 + row) * 64 + c]);
    }
  }
}

TEST(LossyTest, SizesAndErrorsAreAsDescribed) {
  const auto states = testing::GdnStates(8, 300, 1);
  const CodecShape state{.element = Element::kF32, .matrices = 8, .rows = 128, .columns = 128};
  const auto compact = Through(CodecId::kInt8Column, state, states);
  EXPECT_LE(compact.size, 0.26);
  EXPECT_LE(compact.error, 0.01);

  const auto values = testing::KvValues(16, 256, 256, 2);
  const CodecShape kv{.element = Element::kBF16, .matrices = 16, .rows = 256, .columns = 256};
  const struct {
    CodecId id;
    double size;
    double error;
  } cases[] = {{CodecId::kInt8Kv, 0.52, 0.01},
               {CodecId::kFp8Kv, 0.52, 0.03},
               {CodecId::kKivi4, 0.314, 0.06},
               {CodecId::kKivi2, 0.19, 0.30},
               {CodecId::kCacheGen, 0.25, 0.13}};
  for (const auto& one : cases) {
    const auto outcome = Through(one.id, kv, values);
    EXPECT_LE(outcome.size, one.size) << FindCodec(one.id)->name();
    EXPECT_LE(outcome.error, one.error) << FindCodec(one.id)->name();
  }
}

}  // namespace
}  // namespace cairn
