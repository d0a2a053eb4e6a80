#include "libcache/codec/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <bit>
#include <random>
#include <vector>

#include "libcache/codec/rans.h"
#include "tests/unit/libcache/codec/bounds.h"

namespace cairn {
namespace {

std::vector<std::byte> ToBytes(const std::vector<std::uint8_t>& values) {
  std::vector<std::byte> bytes(values.size());
  std::transform(values.begin(), values.end(), bytes.begin(),
                 [](std::uint8_t value) { return static_cast<std::byte>(value); });
  return bytes;
}

// Whatever the bytes and whatever they are taken for.
RC_GTEST_PROP(Codec, LosslessOnesGiveBackTheBytes, ()) {
  const auto part = *rc::gen::arbitrary<std::vector<std::uint8_t>>();
  const auto repeats = *rc::gen::inRange(1, 40);
  std::vector<std::uint8_t> values;
  for (int i = 0; i < repeats; ++i) {  // Long enough, now and then, to be coded.
    values.insert(values.end(), part.begin(), part.end());
  }
  const auto raw = ToBytes(values);
  const auto element =
      *rc::gen::element(Element::kBytes, Element::kF32, Element::kF16, Element::kBF16);
  for (const Codec* codec : Codecs()) {
    if (codec->fidelity() != Fidelity::kExact) {
      continue;
    }
    const CodecShape shape{.element = element};
    std::vector<std::byte> frame(MaxEncodedBytes(*codec, shape, raw.size()).value());
    frame.resize(Encode(*codec, shape, raw, frame).value());
    std::vector<std::byte> back(raw.size());
    RC_ASSERT(Decode(frame, back).has_value());
    RC_ASSERT(back == raw);
  }
}

/// Values as a hostile engine might have them, a row or a column of a kind: usual ones, constants,
/// tiny and huge ones, zeros of both signs, any bits at all.
float Value(std::mt19937_64& random, std::uint32_t kind) {
  const auto bits = static_cast<std::uint32_t>(random());
  const auto with_exponent = [&](std::uint32_t low, std::uint32_t count) {
    return std::bit_cast<float>((bits & 0x807FFFFFU) | (low + bits / 8388608 % count) << 23U);
  };
  switch (kind) {
    case 0: return std::bit_cast<float>(bits);
    case 1: return 3.25F;
    case 2: return (bits & 1U) != 0 ? 0.0F : -0.0F;
    case 3: return with_exponent(0, 12);   // Denormals and little more.
    case 4: return with_exponent(246, 9);  // Up to the largest.
    case 5:
      return (bits & 15U) == 0 ? std::bit_cast<float>(0x7F800000U | (bits & 0x80000000U)) : 1.0F;
    case 6: return with_exponent(140, 3);  // The largest halves.
    default: return with_exponent(118, 12);
  }
}

// The bounds are those of the headers, on shapes of all sizes and values of all kinds.
RC_GTEST_PROP(Codec, LossyOnesStayWithinTheirBounds, ()) {
  CodecShape shape{.element = *rc::gen::element(Element::kF32, Element::kF16, Element::kBF16),
                   .matrices = *rc::gen::inRange(1U, 8U),
                   .rows = *rc::gen::inRange(1U, 80U),
                   .columns = *rc::gen::inRange(1U, 200U)};
  // A cut of a larger object: whole layers of it, or one matrix.
  shape.matrices_before = *rc::gen::inRange(0U, 8U) * (shape.matrices == 1 ? 1U : 2U);
  shape.matrices_behind = *rc::gen::inRange(0U, 16U);
  const auto by_row = *rc::gen::arbitrary<bool>();
  const auto kinds = *rc::gen::inRange(1U, 12U);
  std::mt19937_64 random(*rc::gen::arbitrary<std::uint64_t>());
  const auto first_kind = static_cast<std::uint32_t>(random() % 9);
  std::vector<float> values(shape.Bytes() / ElementBytes(shape.element));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t line = by_row ? i / shape.columns : i % shape.columns;
    values[i] = Value(random, static_cast<std::uint32_t>(first_kind + line % kinds) % 9);
  }
  const auto raw = testing::Elements(shape.element, values);
  const auto in = testing::Floats(shape.element, raw);
  for (const Codec* codec : Codecs()) {
    if (codec->id() == CodecId::kBf16Round && shape.element != Element::kF32) {
      RC_ASSERT(!codec->Check(shape, raw.size()).has_value());
      continue;
    }
    std::vector<std::byte> frame(MaxEncodedBytes(*codec, shape, raw.size()).value());
    frame.resize(Encode(*codec, shape, raw, frame).value());
    std::vector<std::byte> back(raw.size());
    RC_ASSERT(Decode(frame, back).has_value());
    if (codec->fidelity() == Fidelity::kExact) {
      RC_ASSERT(back == raw);
      continue;
    }
    const auto out = testing::Floats(shape.element, back);
    const testing::Bounds bounds(codec->id(), shape, in, out);
    const std::size_t broken = bounds.FirstBroken();
    if (broken != in.size()) {
      RC_LOG() << codec->name() << ": element " << broken << " of " << shape.matrices << "x"
               << shape.rows << "x" << shape.columns << ", type " << int(shape.element) << ": "
               << in[broken] << " became " << out[broken] << ", bound " << bounds.bound(broken)
               << std::endl;
    }
    RC_ASSERT(broken == in.size());
  }
}

RC_GTEST_PROP(Rans, AnySymbolsComeBackUnderAnyModelThatHasThem, ()) {
  const auto symbols = *rc::gen::arbitrary<std::vector<std::uint8_t>>();
  RansCounts counts = CountBytes(symbols);
  const auto others = *rc::gen::container<std::vector<std::uint32_t>>(
      256, rc::gen::oneOf(rc::gen::just(0U), rc::gen::inRange(0U, 1U << 24U)));
  for (std::size_t s = 0; s < counts.size(); ++s) {
    counts[s] += others[s];
  }
  const RansModel model = RansModel::Of(counts);
  std::vector<std::byte> stream(RansMaxBytes(symbols.size()));
  stream.resize(RansEncoder(model).Encode(symbols, stream));
  std::vector<std::uint8_t> back(symbols.size());
  RC_ASSERT(RansDecoder(model).Decode(stream, back).has_value());
  RC_ASSERT(back == symbols);
}

}  // namespace
}  // namespace cairn
