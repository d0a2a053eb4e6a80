#include "libcache/codec/object_shape.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn {
namespace {

ObjectShape Shape(std::string_view text) {
  const auto shape = ObjectShape::Parse(text);
  EXPECT_TRUE(shape) << text << ": " << shape.error().message;
  return shape.value_or(ObjectShape());
}

TEST(ObjectShapeTest, SectionsFollowOneAnother) {
  const ObjectShape shape = Shape("f32[48x128x64],raw[1x1x96],bf16[2x3x5]");
  const auto sections = shape.Sections(0);
  ASSERT_EQ(sections.size(), 3U);
  EXPECT_EQ(sections[0],
            (CodecShape{.element = Element::kF32, .matrices = 48, .rows = 128, .columns = 64}));
  EXPECT_EQ(sections[1],
            (CodecShape{.element = Element::kBytes, .matrices = 1, .rows = 1, .columns = 96}));
  EXPECT_EQ(sections[2],
            (CodecShape{.element = Element::kBF16, .matrices = 2, .rows = 3, .columns = 5}));
  EXPECT_EQ(shape.Bytes(0), 48U * 128 * 64 * 4 + 96 + 2 * 3 * 5 * 2);
  EXPECT_TRUE(Shape("").empty());
  EXPECT_EQ(Shape("").Bytes(7), 0U);
}

TEST(ObjectShapeTest, RowsOfKvAreTokens) {
  const ObjectShape shape = Shape("f16[8xtx64]");
  EXPECT_EQ(shape.Sections(5)[0],
            (CodecShape{.element = Element::kF16, .matrices = 8, .rows = 5, .columns = 64}));
  EXPECT_EQ(shape.Bytes(5), 8U * 5 * 64 * 2);
}

TEST(ObjectShapeTest, ItMustBeOfSuchObjects) {
  constexpr auto kKv = ObjectKind::kKv;
  constexpr auto kCheckpoint = ObjectKind::kCheckpoint;
  EXPECT_TRUE(Shape("f32[2x4x4]").CheckFor(kCheckpoint, 128));
  EXPECT_TRUE(Shape("f32[2x4x4]").CheckFor(kCheckpoint, 129)) << "the rest stays as it is";
  EXPECT_FALSE(Shape("f32[2x4x4]").CheckFor(kCheckpoint, 127));
  EXPECT_FALSE(Shape("f32[2xtx4]").CheckFor(kCheckpoint, 1000));
  EXPECT_TRUE(Shape("bf16[2xtx4]").CheckFor(kKv, 16));
  EXPECT_FALSE(Shape("bf16[2xtx4]").CheckFor(kKv, 15));
  EXPECT_FALSE(Shape("bf16[2x1x4]").CheckFor(kKv, 1000));
  EXPECT_TRUE(Shape("").CheckFor(kKv, 0));
}

// Texts are in keys, so no section may be written in two ways.
TEST(ObjectShapeTest, NothingElseIsAShape) {
  for (const auto* text : {"f32",
                           "f32[]",
                           "f32[1x2]",
                           "f32[1x2x3x4]",
                           "f32[0x1x1]",
                           "f32[1x0x1]",
                           "f32[1x1x0]",
                           "f32[01x1x1]",
                           "f32[+1x1x1]",
                           "f32[-1x1x1]",
                           "f32[1x1x1] ",
                           " f32[1x1x1]",
                           "f64[1x1x1]",
                           "F32[1x1x1]",
                           "f32[tx1x1]",
                           "f32[1x1xt]",
                           "f32[1x1x1]f32[1x1x1]",
                           "f32[1x1x1],",
                           ",f32[1x1x1]",
                           "f32[1x1x1],,f32[1x1x1]",
                           "f32[1x1x4294967296]",
                           "f32[1x65536x65536]",
                           "raw[4294967295x4294967295x4294967295]",
                           "f32[1x1x1",
                           "[1x1x1]",
                           "f32[x1x1]",
                           ","}) {
    const auto shape = ObjectShape::Parse(text);
    EXPECT_FALSE(shape) << text;
    EXPECT_TRUE(shape || shape.error().code == ErrorCode::kInvalidArgument);
  }
  std::string many = "raw[1x1x1]";
  for (int i = 1; i < 32; ++i) {
    many += ",raw[1x1x1]";
  }
  EXPECT_TRUE(ObjectShape::Parse(many));
  EXPECT_FALSE(ObjectShape::Parse(many + ",raw[1x1x1]"));
}

}  // namespace
}  // namespace cairn
