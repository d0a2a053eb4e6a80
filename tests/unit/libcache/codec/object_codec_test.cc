// Which codec an object gets, and where it is cut for it.
#include "libcache/codec/object_codec.h"

#include <gtest/gtest.h>

#include <string>

#include "libcache/base/bytes.h"
#include "libcache/codec/exponent_split.h"

namespace cairn {
namespace {

struct Ask {
  std::string codec;
  Fidelity fidelity = Fidelity::kCompact;
  std::string shape = "f32[4x8x8]";
  std::uint64_t bytes = 2000;
  std::uint32_t tokens = 0;
  bool coded = false;
};

ObjectCodec Choose(const Ask& ask) {
  const ObjectShape shape = ObjectShape::Parse(ask.shape).value();
  return ChooseCodec(FindCodec(ask.codec), {.fidelity = ask.fidelity,
                                            .shape = &shape,
                                            .bytes = ask.bytes,
                                            .tokens = ask.tokens,
                                            .coded = ask.coded});
}

TEST(ObjectCodecTest, AnExactNamespaceNeverGetsALossyCodec) {
  for (const Codec* codec : Codecs()) {
    const ObjectCodec chosen =
        Choose({.codec = std::string(codec->name()), .fidelity = Fidelity::kExact});
    EXPECT_FALSE(chosen.lossy()) << codec->name();
    EXPECT_EQ(chosen.codec, &ExponentSplitCodec());
    EXPECT_EQ(chosen.refused == CodecRefusal::kFidelity, codec != &ExponentSplitCodec());
    EXPECT_TRUE(chosen.sections.empty());
  }
  EXPECT_EQ(Choose({.codec = "none", .fidelity = Fidelity::kExact}).codec, nullptr);
  EXPECT_EQ(Choose({.codec = "none"}).codec, nullptr) << "nothing is forced on a compact one";
}

TEST(ObjectCodecTest, EachFidelityPermitsWhatKeepsItsPromise) {
  for (const Codec* codec : Codecs()) {
    const std::string name(codec->name());
    EXPECT_EQ(Choose({.codec = name, .shape = "f32[1x32x8]"}).codec, codec) << name;
    const bool near = name == "exponent_split" || name == "bf16_round";
    const ObjectCodec chosen = Choose({.codec = name, .fidelity = Fidelity::kNear});
    EXPECT_EQ(chosen.codec == codec, near) << name;
    EXPECT_EQ(chosen.refused, near ? CodecRefusal::kNone : CodecRefusal::kFidelity) << name;
  }
}

TEST(ObjectCodecTest, WithoutAShapeThatFitsThereIsNoLoss) {
  const auto refused = [](const Ask& ask) {
    const ObjectCodec chosen = Choose(ask);
    return chosen.refused == CodecRefusal::kShape && chosen.codec == &ExponentSplitCodec();
  };
  EXPECT_FALSE(refused({.codec = "int8_column", .bytes = 1024}));
  EXPECT_TRUE(refused({.codec = "int8_column", .bytes = 1023})) << "not of this object";
  EXPECT_TRUE(refused({.codec = "int8_column", .shape = ""}));
  EXPECT_TRUE(refused({.codec = "int8_column", .shape = "raw[4x8x8]"}));
  EXPECT_TRUE(refused({.codec = "bf16_round", .shape = "bf16[4x8x8]"})) << "nothing to round";
  EXPECT_TRUE(refused({.codec = "int8_kv", .shape = "raw[1xtx8]", .tokens = 3}));
  EXPECT_TRUE(refused({.codec = "int8_kv", .shape = "f16[1xtx65537]", .bytes = kMiB, .tokens = 3}));
  EXPECT_FALSE(refused({.codec = "int8_kv", .shape = "f16[2xtx8]", .bytes = 96, .tokens = 3}));
  EXPECT_TRUE(refused({.codec = "int8_kv", .shape = "f16[2xtx8]", .bytes = 96, .tokens = 4}));
  EXPECT_EQ(Choose({.codec = "none", .shape = ""}).refused, CodecRefusal::kNone);
}

// What a codec would make of them is larger than they are, or needs far more room while it is made.
TEST(ObjectCodecTest, MatricesThatDoNotSuitACodecKeepTheirBytes) {
  const auto refused = [](const Ask& ask) { return Choose(ask).refused == CodecRefusal::kShape; };
  const std::uint64_t bytes = 65'536 * 2 * 16;
  EXPECT_TRUE(
      refused({.codec = "cachegen", .shape = "bf16[65536xtx1]", .bytes = bytes, .tokens = 16}));
  EXPECT_FALSE(
      refused({.codec = "cachegen", .shape = "bf16[64xtx1024]", .bytes = bytes, .tokens = 16}));
  for (const char* kivi : {"kivi2", "kivi4"}) {
    EXPECT_TRUE(refused({.codec = kivi, .shape = "bf16[64xtx1024]", .bytes = bytes, .tokens = 16}))
        << "no group of 32 tokens";
    EXPECT_FALSE(
        refused({.codec = kivi, .shape = "bf16[32xtx1024]", .bytes = bytes, .tokens = 32}));
  }
}

TEST(ObjectCodecTest, WhatWasCodedIsNotCodedAgain) {
  const ObjectCodec chosen = Choose({.codec = "int8_column", .coded = true});
  EXPECT_EQ(chosen.codec, &ExponentSplitCodec());
  EXPECT_EQ(chosen.refused, CodecRefusal::kNone) << "as it was meant";
}

std::vector<ObjectPiece> Cut(const std::string& codec, const std::string& shape,
                             std::uint64_t bytes) {
  const ObjectCodec chosen = Choose({.codec = codec, .shape = shape, .bytes = bytes});
  const auto pieces = CutObject(chosen, bytes, kMiB);
  std::uint64_t sum = 0;
  for (const ObjectPiece& piece : pieces) {
    EXPECT_GT(piece.bytes, 0U);
    EXPECT_LE(piece.bytes, kMiB);
    EXPECT_TRUE(piece.codec == nullptr || piece.codec->Check(piece.shape, piece.bytes));
    sum += piece.bytes;
  }
  EXPECT_EQ(sum, bytes) << shape;
  return pieces;
}

TEST(ObjectCodecTest, WithoutLossAnObjectIsCutAnywhere) {
  EXPECT_EQ(Cut("none", "", 3 * kMiB + 5).size(), 4U);
  const auto pieces = Cut("exponent_split", "f32[4x8x8]", 2 * kMiB);
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[1].codec, &ExponentSplitCodec());
}

TEST(ObjectCodecTest, MatricesStayWholeAndInPairsWhereTheyFit) {
  // 300 KB each: three fit, of which two are a layer's.
  const auto pieces = Cut("int8_column", "f32[5x300x256],raw[1x10x10],f16[1x8x8]",
                          5 * 300 * 1024 + 100 + 128 + 3 * kMiB);
  ASSERT_EQ(pieces.size(), 3U + 1 + 1 + 3);
  EXPECT_EQ(pieces[0].shape.matrices, 2U);
  EXPECT_EQ(pieces[0].shape.matrices_behind, 3U + 1);
  EXPECT_EQ(pieces[2].shape.matrices, 1U);
  EXPECT_EQ(pieces[2].shape.matrices_before, 4U);
  EXPECT_EQ(pieces[3].codec, &ExponentSplitCodec()) << "what is declared raw";
  EXPECT_EQ(pieces[3].bytes, 100U);
  EXPECT_EQ(pieces[4].shape.element, Element::kF16);
  EXPECT_EQ(pieces[5].codec, &ExponentSplitCodec()) << "what nothing is declared of";
  EXPECT_EQ(pieces[5].bytes, kMiB);
}

TEST(ObjectCodecTest, LargeMatricesAreCutBetweenGroupsOfRows) {
  // 2 KiB a row, so 512 would fit; 480 are whole groups of 32 and of 10.
  const auto pieces = Cut("cachegen", "bf16[2x1000x1024]", 4'096'000);
  ASSERT_EQ(pieces.size(), 6U);
  EXPECT_EQ(pieces[0].shape.rows, 480U);
  EXPECT_EQ(pieces[2].shape.rows, 40U);
  EXPECT_EQ(pieces[3].shape.rows, 480U);
  EXPECT_EQ(pieces[3].shape.matrices_before, 1U);
  EXPECT_EQ(Cut("kivi4", "f32[1x100x4096]", 1'638'400)[0].shape.rows, 64U);
  EXPECT_EQ(Cut("int8_column", "f32[1x9x65536]", 9 * 262'144)[0].shape.rows, 4U);
}

TEST(ObjectCodecTest, ValuesByThemselvesAreNotForKivi) {
  const auto pieces = Cut("kivi4", "bf16[2x480x1024]", 2 * 480 * 2048);
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[0].codec, FindCodec("kivi4")) << "keys";
  EXPECT_EQ(pieces[1].codec, &ExponentSplitCodec()) << "its frames take the first matrix for keys";
}

TEST(ObjectCodecTest, MatricesAreCountedOverAllSections) {
  const auto pieces =
      Cut("cachegen", "bf16[2x40x1024],raw[1x1x7],bf16[4x40x1024]", 6 * 40 * 2048 + 7);
  ASSERT_EQ(pieces.size(), 3U);
  EXPECT_EQ(pieces[0].shape.matrices_behind, 4U);
  EXPECT_EQ(pieces[2].shape.matrices_before, 2U);
  EXPECT_EQ(pieces[2].shape.matrices_behind, 0U);
}

}  // namespace
}  // namespace cairn
