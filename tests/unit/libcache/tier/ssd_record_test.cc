// Keys sort as written, and no damaged header or stamp is taken for a sound one.
#include "libcache/tier/ssd_record.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn {
namespace {

SsdHeader SomeHeader() {
  SsdHeader header;
  header.record.key.bytes.fill(std::byte{0xAB});
  header.record.parent.bytes.fill(std::byte{0xCD});
  header.record.seed.bytes.fill(std::byte{0xEF});
  header.record.position = 4711;
  header.record.kind = ObjectKind::kCheckpoint;
  header.record.bytes = 5'000'000'000;
  header.record.digest = {.low = 1, .high = 2};
  header.location = {.segment = 7, .ordinal = 9};
  return header;
}

TEST(SsdRecordTest, KeysSortInTheOrderOfWriting) {
  std::string previous;
  for (const std::uint32_t segment : {0U, 1U, 255U, 256U, 0x80000000U, 0xFFFFFFFFU}) {
    for (const std::uint32_t ordinal : {0U, 255U, 256U, 0xFFFFFU}) {
      const auto object = ObjectKeyOf({.segment = segment, .ordinal = ordinal});
      EXPECT_EQ(ParseObjectKey({object.data(), object.size()}),
                (ColdLocation{.segment = segment, .ordinal = ordinal}));
      for (const std::uint32_t chunk : {0U, 1U, 256U, 0xFFFFU}) {
        const auto key = ChunkKeyOf({.segment = segment, .ordinal = ordinal}, chunk);
        const std::string text(key.data(), key.size());
        EXPECT_LT(previous, text);
        EXPECT_EQ(SegmentOfKey(text), segment);
        EXPECT_EQ(ChunkOfKey(text), chunk);
        previous = text;
      }
    }
  }
  EXPECT_FALSE(ParseObjectKey("short").has_value());
  EXPECT_FALSE(SegmentOfKey("abc").has_value());
}

// The bytes of docs/formats/ssd.md: a change here is a change of format.
TEST(SsdRecordTest, HeaderBytesAreTheDocumentedOnes) {
  const auto bytes = EncodeHeader(SomeHeader());
  ASSERT_EQ(bytes.size(), 152U);
  EXPECT_EQ(ToHex(std::span(bytes).first(40)),
            "435353440100010067120000000010000"
            "0f2052a0100000001000000000000000200000000000000");
  EXPECT_EQ(ToHex(std::span(bytes).subspan(136, 8)), "0700000009000000");
}

TEST(SsdRecordTest, HeadersRoundTrip) {
  const auto header = SomeHeader();
  const auto decoded = DecodeHeader(EncodeHeader(header));
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->location, header.location);
  EXPECT_EQ(decoded->record.key, header.record.key);
  EXPECT_EQ(decoded->record.parent, header.record.parent);
  EXPECT_EQ(decoded->record.seed, header.record.seed);
  EXPECT_EQ(decoded->record.position, header.record.position);
  EXPECT_EQ(decoded->record.kind, header.record.kind);
  EXPECT_EQ(decoded->record.bytes, header.record.bytes);
  EXPECT_EQ(decoded->record.digest, header.record.digest);
}

TEST(SsdRecordTest, EveryFlippedBitAndEveryOtherLengthIsCorrupt) {
  const auto sound = EncodeHeader(SomeHeader());
  for (std::size_t bit = 0; bit < sound.size() * 8; ++bit) {
    auto damaged = sound;
    damaged[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const auto decoded = DecodeHeader(damaged);
    ASSERT_FALSE(decoded.has_value()) << "bit " << bit;
    EXPECT_EQ(decoded.error().code, ErrorCode::kCorrupt);
  }
  std::vector<std::byte> longer(sound.begin(), sound.end());
  longer.push_back({});
  for (std::size_t size = 0; size <= longer.size(); ++size) {
    EXPECT_EQ(DecodeHeader(std::span(longer).first(size)).has_value(), size == sound.size());
  }
}

TEST(SsdRecordTest, ChunksCoverTheObject) {
  EXPECT_EQ(ChunkCount(1, kSsdChunkBytes), 1U);
  EXPECT_EQ(ChunkCount(kSsdChunkBytes, kSsdChunkBytes), 1U);
  EXPECT_EQ(ChunkCount(kSsdChunkBytes + 1, kSsdChunkBytes), 2U);
  EXPECT_EQ(ChunkCount(MaxObjectBytes(), kSsdChunkBytes), 65536U);
}

TEST(SsdRecordTest, StampsTellAnotherNumberFromDamage) {
  const std::string text = FormatStamp("cairn-ssd", 12);
  EXPECT_EQ(ParseStamp("cairn-ssd", text), 12U);
  EXPECT_FALSE(ParseStamp("cairn-durable", text).has_value());
  EXPECT_FALSE(ParseStamp("cairn-ssd", "").has_value());
  EXPECT_FALSE(ParseStamp("cairn-ssd", text + "\n").has_value());
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(ParseStamp("cairn-ssd", text.substr(0, size)).has_value());
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto damaged = text;
      damaged[size] = static_cast<char>(damaged[size] ^ static_cast<char>(1U << bit));
      EXPECT_FALSE(ParseStamp("cairn-ssd", damaged).has_value()) << damaged;
    }
  }
}

}  // namespace
}  // namespace cairn
