// Objects that go through a lossy codec on their way to SSD: what comes back is within the codec's
// bound, is the same every time, and is held against a digest like any other object.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "libcache/codec/exponent_split.h"
#include "tests/unit/libcache/codec/bounds.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

/// Values of about one size, then bytes that no section covers.
struct Lossy {
  const Codec* codec;
  CodecShape shape;
  std::uint64_t rest = 0;

  [[nodiscard]] ObjectCodec Use() const { return {.codec = codec, .sections = {shape}}; }
};

TestObject MakeValues(std::uint64_t id, const Lossy& lossy) {
  TestObject object = MakeObject(id, lossy.shape.Bytes() + lossy.rest);
  std::mt19937_64 random(id);
  std::normal_distribution<float> normal;
  std::vector<float> values(lossy.shape.Bytes() / ElementBytes(lossy.shape.element));
  for (float& value : values) {
    value = normal(random);
  }
  const auto elements = testing::Elements(lossy.shape.element, values);
  std::copy(elements.begin(), elements.end(), object.bytes.begin());
  object.record.digest = DigestOf(object.bytes);
  return object;
}

OpenedSsd OpenWith(const std::string& path, ObjectCodec codec) {
  auto opened = MustOpen(SmallConfig(path));
  opened.tier->SetCodecs([codec = std::move(codec)](const ObjectRecord&) { return codec; });
  return opened;
}

/// What a read gives; empty on an error.
std::vector<std::byte> ReadOf(ColdTier& tier, ColdLocation location) {
  const auto record = tier.ReadRecord(location);
  if (!record) {
    return {};
  }
  std::vector<std::byte> target(record->bytes);
  if (!tier.Read(location, *record, target)) {
    return {};
  }
  EXPECT_EQ(DigestOf(target), record->digest) << "WRONG BYTES";
  return target;
}

/// Whether `back` is what may come of the object: within the bound of a checkpoint's columns where
/// values are, the very bytes behind them.
void ExpectWithinBounds(const Lossy& lossy, const TestObject& object,
                        const std::vector<std::byte>& back) {
  ASSERT_EQ(back.size(), object.bytes.size());
  const auto in = std::span(object.bytes).first(lossy.shape.Bytes());
  const auto out = std::span(back).first(lossy.shape.Bytes());
  EXPECT_FALSE(std::equal(in.begin(), in.end(), out.begin())) << "nothing was lost";
  const auto values = testing::Floats(lossy.shape.element, in);
  const testing::Bounds bounds(lossy.codec->id(), lossy.shape, values,
                               testing::Floats(lossy.shape.element, out));
  EXPECT_EQ(bounds.FirstBroken(), values.size()) << lossy.codec->name();
  EXPECT_TRUE(std::equal(object.bytes.begin() + static_cast<std::ptrdiff_t>(in.size()),
                         object.bytes.end(), back.begin() + static_cast<std::ptrdiff_t>(in.size())))
      << "what no section covers stays as it is";
}

// Of several chunks each, cut between matrices and, the last two, between rows.
const std::vector<Lossy>& AllKinds() {
  static const std::vector<Lossy> kinds = {
      {.codec = FindCodec(CodecId::kInt8Column),
       .shape = {.element = Element::kF32, .matrices = 40, .rows = 128, .columns = 64},
       .rest = 40'003},
      {.codec = FindCodec(CodecId::kBf16Round),
       .shape = {.element = Element::kF32, .matrices = 9, .rows = 300, .columns = 128}},
      {.codec = FindCodec(CodecId::kFp8Kv),
       .shape = {.element = Element::kBF16, .matrices = 6, .rows = 700, .columns = 512}},
      {.codec = FindCodec(CodecId::kInt8Kv),
       .shape = {.element = Element::kF16, .matrices = 10, .rows = 64, .columns = 1024},
       .rest = 7},
      {.codec = FindCodec(CodecId::kKivi2),
       .shape = {.element = Element::kBF16, .matrices = 12, .rows = 130, .columns = 1024}},
      {.codec = FindCodec(CodecId::kKivi4),
       .shape = {.element = Element::kBF16, .matrices = 2, .rows = 1000, .columns = 1024}},
      {.codec = FindCodec(CodecId::kCacheGen),
       .shape = {.element = Element::kBF16, .matrices = 3, .rows = 1200, .columns = 512}}};
  return kinds;
}

TEST(SsdLossyTest, WhatComesBackIsWithinTheBoundAndAlwaysTheSame) {
  for (const Lossy& lossy : AllKinds()) {
    SCOPED_TRACE(lossy.codec->name());
    const ScratchDirectory scratch;
    const TestObject object = MakeValues(1, lossy);
    ColdLocation location;
    std::vector<std::byte> first;
    {
      const auto opened = OpenWith(scratch.path(), lossy.Use());
      location = opened.tier->Write(object.record, object.bytes, 1).value();
      const auto record = opened.tier->ReadRecord(location).value();
      EXPECT_TRUE(record.coded);
      EXPECT_NE(record.digest, object.record.digest);
      first = ReadOf(*opened.tier, location);
      ExpectWithinBounds(lossy, object, first);
      ASSERT_TRUE(opened.tier->Flush());
      EXPECT_EQ(ReadOf(*opened.tier, location), first);
      const ColdStats stats = opened.tier->Stats();
      EXPECT_EQ(stats.lossy_objects, 1U);
      EXPECT_LT(stats.encoded_bytes, stats.written_bytes * 6 / 10);
    }
    // The one that reads it need not be told anything.
    const auto opened = OpenWith(scratch.path(), {});
    const Found found = RecoverAll(*opened.tier);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_TRUE(found[0].first.coded);
    EXPECT_EQ(ReadOf(*opened.tier, location), first);
    EXPECT_EQ(opened.tier->Stats().checksum_failures, 0U);
  }
}

TEST(SsdLossyTest, TheOldDigestIsNotThatOfWhatComesBack) {
  const ScratchDirectory scratch;
  const Lossy& lossy = AllKinds()[0];
  const auto opened = OpenWith(scratch.path(), lossy.Use());
  const TestObject object = MakeValues(2, lossy);
  const auto location = opened.tier->Write(object.record, object.bytes, 2).value();
  EXPECT_FALSE(ReadsBack(*opened.tier, location, object)) << "nobody may take it for the exact one";
}

// What came from a lossy codec and goes back to SSD is stored as it is, and still says so.
TEST(SsdLossyTest, WhatWasCodedSaysSoWhateverItIsStoredBy) {
  const ScratchDirectory scratch;
  const Lossy& lossy = AllKinds()[0];
  for (const Codec* codec : {static_cast<const Codec*>(nullptr), &ExponentSplitCodec()}) {
    const auto opened = OpenWith(scratch.path() + (codec == nullptr ? "/a" : "/b"),
                                 {.codec = codec, .sections = {}});
    TestObject object = MakeValues(3, lossy);
    object.record.coded = true;
    const auto location = opened.tier->Write(object.record, object.bytes, 3).value();
    EXPECT_TRUE(opened.tier->ReadRecord(location)->coded);
    EXPECT_TRUE(ReadsBack(*opened.tier, location, object));
    EXPECT_EQ(opened.tier->Stats().lossy_objects, 0U);
  }
}

TEST(SsdLossyTest, RefusalsAreCounted) {
  const ScratchDirectory scratch;
  const TestObject object = MakeValues(4, AllKinds()[0]);
  const auto opened =
      OpenWith(scratch.path(),
               {.codec = &ExponentSplitCodec(), .sections = {}, .refused = CodecRefusal::kShape});
  const auto location = opened.tier->Write(object.record, object.bytes, 4).value();
  EXPECT_TRUE(ReadsBack(*opened.tier, location, object));
  const auto& refusals = opened.tier->Stats().codec_refusals;
  EXPECT_EQ(refusals[static_cast<std::size_t>(CodecRefusal::kShape)], 1U);
  EXPECT_EQ(refusals[static_cast<std::size_t>(CodecRefusal::kFidelity)], 0U);
}

TEST(SsdLossyTest, DamageIsAMissAndNeverWrongBytes) {
  const ScratchDirectory scratch;
  const Lossy& lossy = AllKinds()[0];
  std::vector<ColdLocation> locations;
  std::vector<std::vector<std::byte>> before;
  {
    const auto opened = OpenWith(scratch.path(), lossy.Use());
    for (std::uint32_t id = 0; id < 12; ++id) {
      const TestObject object = MakeValues(id, lossy);
      locations.push_back(opened.tier->Write(object.record, object.bytes, id).value());
      before.push_back(ReadOf(*opened.tier, locations.back()));
    }
    ASSERT_TRUE(opened.tier->Flush());
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch.path())) {
    if (entry.path().extension() == ".blob") {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      for (std::streamoff at = 30'000; at < static_cast<std::streamoff>(entry.file_size());
           at += 900'000) {
        file.seekg(at);
        const int byte = file.get();
        file.seekp(at);
        file.put(static_cast<char>(byte ^ 0x10));
      }
    }
  }
  const auto opened = OpenWith(scratch.path(), {});
  RecoverAll(*opened.tier);
  std::uint64_t missing = 0;
  for (std::uint32_t id = 0; id < 12; ++id) {
    const auto after = ReadOf(*opened.tier, locations[id]);
    EXPECT_TRUE(after.empty() || after == before[id]) << "WRONG BYTES";
    missing += after.empty() ? 1 : 0;
  }
  EXPECT_GT(missing, 0U);
  EXPECT_EQ(opened.tier->Stats().checksum_failures, missing);
}

}  // namespace
}  // namespace cairn
