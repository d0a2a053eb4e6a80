#include "libcache/codec/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

#include "libcache/codec/rans.h"

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
    if (codec->fidelity() != Fidelity::kLossless) {
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
