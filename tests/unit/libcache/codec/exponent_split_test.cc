#include "libcache/codec/exponent_split.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <vector>

#include "libcache/base/digest.h"
#include "libcache/codec/planes.h"
#include "tests/unit/libcache/codec/gdn_states.h"

namespace cairn {
namespace {

using testing::AsBf16;
using testing::BytesOf;

const Codec& codec = ExponentSplitCodec();

std::vector<std::byte> Frame(std::span<const std::byte> raw, Element element = Element::kBytes) {
  const CodecShape shape{.element = element};
  std::vector<std::byte> frame(MaxEncodedBytes(codec, shape, raw.size()).value());
  frame.resize(Encode(codec, shape, raw, frame).value());
  return frame;
}

/// Size of the frame in parts of the raw bytes, after checking that these come back.
double Ratio(std::span<const std::byte> raw, Element element = Element::kBytes) {
  const auto frame = Frame(raw, element);
  std::vector<std::byte> back(raw.size());
  EXPECT_TRUE(Decode(frame, back));
  EXPECT_TRUE(std::equal(raw.begin(), raw.end(), back.begin()));
  return static_cast<double>(frame.size()) / static_cast<double>(raw.size());
}

TEST(ExponentSplitTest, StatesTakeWhatTheTargetSays) {
  const auto states = testing::GdnStates(4, 300, 1);
  EXPECT_LE(Ratio(BytesOf(states), Element::kF32), 0.85);
  EXPECT_LE(Ratio(AsBf16(states), Element::kBF16), 0.69);
}

TEST(ExponentSplitTest, FindsOutWhatTheElementsAre) {
  const auto states = testing::GdnStates(8, 300, 1);
  const auto wide = BytesOf(states);
  const auto narrow = AsBf16(states);
  EXPECT_LE(Ratio(wide), 0.85);
  EXPECT_LE(Ratio(narrow), 0.69);
  // A checkpoint: fp32 states, then a bf16 window. Each chunk finds out for itself.
  auto both = wide;
  both.insert(both.end(), narrow.begin(), narrow.end());
  EXPECT_LE(Ratio(both), (0.85 * 2 + 0.69) / 3);
  EXPECT_LE(Ratio(AsBf16(testing::KvValues(4, 128, 256, 3))), 0.69);
  // Values of a bf16 model held as fp32: half of each element is zero.
  std::vector<float> rounded;
  for (const float state : states) {
    rounded.push_back(std::bit_cast<float>(std::uint32_t{testing::ToBf16(state)} << 16U));
  }
  EXPECT_LE(Ratio(BytesOf(rounded)), 0.37);
  EXPECT_LE(Ratio(std::vector<std::byte>(1 << 20)), 0.001);
}

TEST(ExponentSplitTest, NoiseGrowsByLessThanAThousandth) {
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> noise(1 << 16);
  for (auto& word : noise) {
    word = random();
  }
  for (const auto element : {Element::kBytes, Element::kF32, Element::kF16, Element::kBF16}) {
    EXPECT_LE(Ratio(BytesOf(noise), element), 1.001);
  }
}

TEST(ExponentSplitTest, AnyBitsAndAnyLengthComeBack) {
  std::vector<std::uint32_t> odd = {0x7F800000, 0xFF800000, 0x7FC00001, 0x7F800001, 0x80000000, 1,
                                    0x807FFFFF, 0x00800000, 0,          0xFFFFFFFF, 0x3F800000};
  for (std::uint32_t i = 0; i < 3000; ++i) {
    odd.push_back(odd[i % 11] ^ i);
  }
  const auto bytes = BytesOf(odd);
  for (const auto element : {Element::kBytes, Element::kF32, Element::kF16, Element::kBF16}) {
    for (std::size_t size = 0; size < 200; ++size) {
      Ratio(std::span(bytes).subspan(1, size), element);
    }
    Ratio(bytes, element);
  }
  const auto states = BytesOf(testing::GdnStates(5, 100, 2));
  for (const std::size_t size : {131071U, 131072U, 131073U, 131075U, 262145U, 300003U}) {
    for (const auto element : {Element::kBytes, Element::kF32, Element::kBF16}) {
      Ratio(std::span(states).first(size), element);
    }
  }
}

TEST(ExponentSplitTest, PlanesAreTheSameFromEveryPath) {
  const internal::PlaneKernels* const avx2 = internal::Avx2PlaneKernels();
  if (avx2 == nullptr) {
    GTEST_SKIP() << "this processor has no AVX2";
  }
  const auto bytes = BytesOf(testing::GdnStates(1, 50, 2));
  for (std::size_t k = 0; k < internal::kPlaneKinds; ++k) {
    const auto kind = static_cast<internal::PlaneKind>(k);
    for (const std::size_t count : {1U, 15U, 33U, 1000U}) {
      std::vector<std::uint8_t> plain(count * 4);
      std::vector<std::uint8_t> fast(count * 4);
      internal::PlainPlaneKernels().split(kind, bytes.data() + 1, count, plain.data(), count);
      avx2->split(kind, bytes.data() + 1, count, fast.data(), count);
      EXPECT_EQ(plain, fast);
      const std::array<const std::uint8_t*, 4> planes = {
          fast.data(), fast.data() + count, fast.data() + 2 * count, fast.data() + 3 * count};
      std::vector<std::byte> back(count * internal::PlanesOf(kind));
      avx2->merge(kind, planes.data(), count, back.data());
      EXPECT_TRUE(std::equal(back.begin(), back.end(), bytes.begin() + 1));
      std::fill(back.begin(), back.end(), std::byte{0});
      internal::PlainPlaneKernels().merge(kind, planes.data(), count, back.data());
      EXPECT_TRUE(std::equal(back.begin(), back.end(), bytes.begin() + 1));
    }
  }
}

}  // namespace
}  // namespace cairn
