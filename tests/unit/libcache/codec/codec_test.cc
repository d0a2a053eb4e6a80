// What all codecs promise: frames that say what they are, and damage that is seen.
#include "libcache/codec/codec.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "libcache/base/digest.h"
#include "libcache/base/endian.h"

namespace cairn {
namespace {

constexpr CodecShape kShape{.element = Element::kF32, .matrices = 4, .rows = 40, .columns = 64};

/// Floats made of integers, the same everywhere: signs, some sizes, some zeros.
std::vector<std::byte> Values(std::uint64_t bytes) {
  std::vector<std::byte> raw(bytes);
  std::uint64_t x = 0;
  for (std::size_t i = 0; i + 4 <= bytes; i += 4) {
    x += 0x9E3779B97F4A7C15;
    std::uint64_t z = (x ^ x >> 30U) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27U) * 0x94D049BB133111EB;
    z ^= z >> 31U;
    const auto exponent = 120 + static_cast<std::uint32_t>(std::countl_zero(z | 1U) % 8);
    StoreLe(std::span(raw), i, static_cast<std::uint32_t>((z & 0x807FFFFFU) | exponent << 23U));
  }
  return raw;
}

std::vector<std::byte> Frame(const Codec& codec, const CodecShape& shape,
                             std::span<const std::byte> raw) {
  std::vector<std::byte> frame(MaxEncodedBytes(codec, shape, raw.size()).value());
  frame.resize(Encode(codec, shape, raw, frame).value());
  return frame;
}

TEST(CodecTest, AreFoundByIdAndName) {
  for (const Codec* codec : Codecs()) {
    EXPECT_EQ(FindCodec(codec->id()), codec);
    EXPECT_EQ(FindCodec(codec->name()), codec);
  }
  EXPECT_EQ(FindCodec("zip"), nullptr);
  EXPECT_EQ(FindCodec(static_cast<CodecId>(999)), nullptr);
}

TEST(CodecTest, FramesSayWhatTheyAre) {
  const auto raw = Values(kShape.Bytes());
  for (const Codec* codec : Codecs()) {
    const auto frame = Frame(*codec, kShape, raw);
    EXPECT_EQ(Frame(*codec, kShape, raw), frame) << "the same bytes give the same frame";
    const auto header = ParseCodecFrame(frame);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->codec, codec);
    EXPECT_EQ(header->shape, kShape);
    EXPECT_EQ(header->raw_bytes, raw.size());
    std::vector<std::byte> back(raw.size());
    ASSERT_TRUE(Decode(frame, back)) << codec->name();
    EXPECT_EQ(back == raw, codec->fidelity() == Fidelity::kExact) << codec->name();
    EXPECT_FALSE(Decode(frame, std::span(back).first(raw.size() - 1)));
  }
}

TEST(CodecTest, EveryFlippedBitAndEveryCutIsSeen) {
  const auto raw = Values(kShape.Bytes());
  std::vector<std::byte> back(raw.size());
  for (const Codec* codec : Codecs()) {
    const auto frame = Frame(*codec, kShape, raw);
    for (std::size_t at = 0; at < frame.size(); at += at < 200 ? 1 : 53) {
      auto damaged = frame;
      damaged[at] ^= static_cast<std::byte>(1U << (at % 8));
      const auto decoded = Decode(damaged, back);
      ASSERT_FALSE(decoded) << codec->name() << ": byte " << at;
      EXPECT_TRUE(decoded.error().code == ErrorCode::kCorrupt ||
                  decoded.error().code == ErrorCode::kUnsupported);
    }
    for (std::size_t size = 0; size < frame.size(); size += size < 200 ? 1 : 53) {
      EXPECT_FALSE(Decode(std::span(frame).first(size), back)) << codec->name() << ": " << size;
    }
  }
}

TEST(CodecTest, PayloadsWithoutAChecksumNeverReachBeyondTheirRoom) {
  const auto raw = Values(kShape.Bytes());
  std::vector<std::byte> back(raw.size());
  for (const Codec* codec : Codecs()) {
    const auto frame = Frame(*codec, kShape, raw);
    const auto payload = std::span(frame).subspan(kCodecFrameBytes);
    for (std::size_t at = 0; at < payload.size(); at += at < 200 ? 1 : 31) {
      std::vector<std::byte> damaged(payload.begin(), payload.end());
      damaged[at] ^= std::byte{0x81};
      static_cast<void>(codec->DecodePayload(kShape, damaged, back));
    }
    for (std::size_t size = 0; size < payload.size(); size += size < 200 ? 1 : 31) {
      const std::vector<std::byte> cut(payload.begin(),
                                       payload.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_FALSE(codec->DecodePayload(kShape, cut, back)) << codec->name() << ": " << size;
    }
  }
}

TEST(CodecTest, ShapesThatDoNotFitAreRefused) {
  const auto raw = Values(kShape.Bytes());
  std::vector<std::byte> out(2 * raw.size());
  for (const Codec* codec : Codecs()) {
    CodecShape wrong = kShape;
    wrong.rows += 1;
    const auto encoded = Encode(*codec, wrong, raw, out);
    EXPECT_EQ(encoded.has_value(), codec->fidelity() == Fidelity::kExact) << codec->name();
    EXPECT_EQ(Encode(*codec, kShape, raw, std::span(out).first(10)).error().code,
              ErrorCode::kInvalidArgument);
    CodecShape huge{.element = Element::kF32, .matrices = ~0U, .rows = ~0U, .columns = ~0U};
    EXPECT_EQ(MaxEncodedBytes(*codec, huge, raw.size()).has_value(),
              codec->fidelity() == Fidelity::kExact);
    EXPECT_FALSE(MaxEncodedBytes(*codec, huge, ~std::uint64_t{0}));
  }
}

// A frame of today can be read tomorrow: these change only with the version in the header.
TEST(CodecTest, TheFormatsStay) {
  const std::map<std::string, std::uint64_t, std::less<>> golden = {
      {"exponent_split", 0x42DD09A790833A0C}, {"int8_column", 0xCF33A62549F1A66C},
      {"fp8_kv", 0x383A69D3DBDCB2A5},         {"int8_kv", 0xC5A62497D779170A},
      {"kivi2", 0xD40AE76D17DCDF67},          {"kivi4", 0xB16F802B97E8EA61},
      {"cachegen", 0x1CD7489BD99CE8B7},       {"bf16_round", 0x4115F2B1A48057C6}};
  const auto raw = Values(kShape.Bytes());
  for (const Codec* codec : Codecs()) {
    const auto it = golden.find(codec->name());
    ASSERT_NE(it, golden.end()) << codec->name();
    EXPECT_EQ(DigestOf(Frame(*codec, kShape, raw)).low, it->second) << codec->name();
  }
}

}  // namespace
}  // namespace cairn
