// What a GPU decodes is what this library wrote, and the other way round: its twins on the CPU,
// which the tests of kernels/ hold device code against, read and write the same payloads.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/cairn_kernels.h"
#include "libcache/codec/codec.h"
#include "tests/unit/libcache/codec/gdn_states.h"

namespace cairn {
namespace {

std::vector<std::byte> Payload(CodecId id, const CodecShape& shape,
                               std::span<const std::byte> raw) {
  const Codec& codec = *FindCodec(id);
  std::vector<std::byte> payload(codec.MaxPayloadBytes(shape, raw.size()));
  payload.resize(codec.EncodePayload(shape, raw, payload));
  return payload;
}

TEST(CodecKernelsTest, TheLosslessCodec) {
  std::vector<std::vector<std::byte>> objects;
  for (const std::size_t bytes : {0U, 1U, 4099U, 131072U, 400001U}) {
    auto states = testing::BytesOf(testing::GdnStates(7, 40, bytes, 128));
    states.resize(bytes);
    objects.push_back(states);
    auto half = testing::AsBf16(testing::GdnStates(14, 40, bytes, 128));
    half.resize(bytes);
    objects.push_back(half);
    objects.emplace_back(bytes, std::byte{3});
  }
  for (const auto& object : objects) {
    const auto payload = Payload(CodecId::kExponentSplit, {}, object);
    std::vector<std::byte> back(object.size());
    cairn_kernels_exponent_split args{};
    args.struct_bytes = sizeof(args);
    args.payload = payload.data();
    args.payload_bytes = static_cast<std::int64_t>(payload.size());
    args.object = back.data();
    args.object_bytes = static_cast<std::int64_t>(back.size());
    ASSERT_EQ(cairn_kernels_exponent_split_cpu(&args, 0, 1), CAIRN_KERNELS_OK) << object.size();
    EXPECT_EQ(back, object);
  }
}

TEST(CodecKernelsTest, TheLossyOnes) {
  const CodecShape shape{.element = Element::kBF16, .matrices = 3, .rows = 45, .columns = 200};
  auto raw = testing::AsBf16(testing::GdnStates(2, 40, 1, 128));
  raw.resize(shape.Bytes());
  for (const auto id : {CodecId::kInt8Column, CodecId::kFp8Kv, CodecId::kInt8Kv, CodecId::kKivi2,
                        CodecId::kKivi4}) {
    std::vector<std::byte> payload(static_cast<std::size_t>(cairn_kernels_quantised_bytes(
        static_cast<std::int32_t>(id), CAIRN_KERNELS_BF16, 3, 45, 200)));
    cairn_kernels_quantise args{};
    args.struct_bytes = sizeof(args);
    args.codec = static_cast<std::int32_t>(id);
    args.dtype = CAIRN_KERNELS_BF16;
    args.matrices = 3;
    args.rows = 45;
    args.columns = 200;
    args.values = raw.data();
    args.payload = payload.data();
    args.payload_bytes = static_cast<std::int64_t>(payload.size());
    ASSERT_EQ(cairn_kernels_quantise_cpu(&args, 0, 1), CAIRN_KERNELS_OK);
    EXPECT_EQ(payload, Payload(id, shape, raw)) << args.codec;
  }
}

TEST(CodecKernelsTest, NothingNeedsToBeAligned) {
  const CodecShape shape{.element = Element::kF32, .matrices = 2, .rows = 33, .columns = 5};
  const auto states = testing::BytesOf(testing::GdnStates(1, 40, 2, 128));
  const std::span<const std::byte> raw(states.data(), shape.Bytes());
  std::vector<std::byte> crooked(raw.size() + 1);
  std::copy(raw.begin(), raw.end(), crooked.begin() + 1);
  for (const Codec* codec : Codecs()) {
    const auto payload = Payload(codec->id(), shape, raw);
    EXPECT_EQ(payload, Payload(codec->id(), shape, std::span(crooked).subspan(1)));
    std::vector<std::byte> moved(codec->MaxPayloadBytes(shape, raw.size()) + 1);
    EXPECT_EQ(codec->EncodePayload(shape, raw, std::span(moved).subspan(1)), payload.size());
    EXPECT_TRUE(std::equal(payload.begin(), payload.end(), moved.begin() + 1)) << codec->name();
    std::vector<std::byte> values(raw.size());
    std::vector<std::byte> moved_values(raw.size() + 1);
    EXPECT_TRUE(codec->DecodePayload(shape, payload, values));
    EXPECT_TRUE(codec->DecodePayload(shape, std::span(moved).subspan(1, payload.size()),
                                     std::span(moved_values).subspan(1)));
    EXPECT_TRUE(std::equal(values.begin(), values.end(), moved_values.begin() + 1));
  }
}

}  // namespace
}  // namespace cairn
