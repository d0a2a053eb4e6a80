// Objects that are stored smaller than they are: they come back as they were, whatever the daemon
// that reads them has been told, and damage is seen.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "libcache/codec/exponent_split.h"
#include "libcache/tier/ssd_record.h"
#include "tests/unit/libcache/tier/ssd_testing.h"

namespace cairn {
namespace {

const std::vector<std::size_t> kSizes = {1,        4095,     4096,     100'001,
                                         kMiB,     kMiB + 1, 300'007,  2 * kMiB + 17,
                                         kMiB - 1, 17'000,   kMiB + 5, 3 * kMiB + 300};

/// Floats of similar size; every fourth object is noise, which no codec makes smaller.
TestObject MakeFloats(std::uint64_t id, std::size_t size) {
  TestObject object = MakeObject(id, size);
  for (std::size_t i = 0; i + 4 <= size && id % 4 != 3; i += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, object.bytes.data() + i, 4);
    word = (word & 0x807FFFFFU) | (118U + (word >> 23U & 7U)) << 23U;
    std::memcpy(object.bytes.data() + i, &word, 4);
  }
  object.record.digest = DigestOf(object.bytes);
  return object;
}

OpenedSsd OpenWith(const std::string& path, const Codec* codec) {
  auto opened = MustOpen(SmallConfig(path));
  opened.tier->SetCodecs(
      [codec](const ObjectRecord&) { return ObjectCodec{.codec = codec, .sections = {}}; });
  return opened;
}

TEST(SsdCodecTest, GivesBackWhatWasWrittenBeforeAndAfterFlushAndRestart) {
  const ScratchDirectory scratch;
  std::vector<ColdLocation> locations;
  {
    const auto opened = OpenWith(scratch.path(), &ExponentSplitCodec());
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      const auto object = MakeFloats(i, kSizes[i]);
      locations.push_back(
          opened.tier->Write(object.record, object.bytes, static_cast<std::uint32_t>(i)).value());
      EXPECT_TRUE(ReadsBack(*opened.tier, locations[i], object)) << kSizes[i] << " unflushed";
    }
    ASSERT_TRUE(opened.tier->Flush().has_value());
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      EXPECT_TRUE(ReadsBack(*opened.tier, locations[i], MakeFloats(i, kSizes[i]))) << kSizes[i];
    }
    const ColdStats stats = opened.tier->Stats();
    EXPECT_LT(stats.encoded_bytes, stats.written_bytes * 93 / 100) << "a part is noise";
    EXPECT_EQ(stats.live_bytes, stats.written_bytes);
    EXPECT_LT(stats.disk_bytes, stats.written_bytes);
  }
  // The one that reads them need not be told anything, and writes others beside them.
  const auto opened = OpenWith(scratch.path(), nullptr);
  EXPECT_EQ(RecoverAll(*opened.tier).size(), kSizes.size());
  const auto plain = MakeFloats(100, 500'000);
  const auto location = opened.tier->Write(plain.record, plain.bytes, 100).value();
  for (std::size_t i = 0; i < kSizes.size(); ++i) {
    const auto object = MakeFloats(i, kSizes[i]);
    EXPECT_TRUE(ReadsBack(*opened.tier, locations[i], object)) << kSizes[i] << " after restart";
    EXPECT_EQ(opened.tier->ReadRecord(locations[i]).value().digest, object.record.digest);
  }
  EXPECT_TRUE(ReadsBack(*opened.tier, location, plain));
  EXPECT_EQ(opened.tier->Stats().checksum_failures, 0U);
  EXPECT_EQ(opened.tier->Stats().encoded_bytes, plain.bytes.size());
}

TEST(SsdCodecTest, MoreObjectsFitUnderTheSameCap) {
  const auto kept = [](const Codec* codec) {
    const ScratchDirectory scratch;
    const auto opened = OpenWith(scratch.path(), codec);
    for (std::uint32_t id = 0; id < 120; ++id) {
      const auto object = MakeFloats(4 * id, kMiB);
      EXPECT_TRUE(opened.tier->Write(object.record, object.bytes, id).has_value());
    }
    EXPECT_LE(opened.tier->Stats().disk_bytes, 64 * kMiB);
    return opened.tier->Stats().objects;
  };
  const auto without = kept(nullptr);
  EXPECT_GE(kept(&ExponentSplitCodec()), without + without / 10);
}

TEST(SsdCodecTest, DamageIsAMissAndNeverWrongBytes) {
  const ScratchDirectory scratch;
  std::vector<ColdLocation> locations;
  {
    const auto opened = OpenWith(scratch.path(), &ExponentSplitCodec());
    for (std::uint32_t id = 0; id < 20; ++id) {
      const auto object = MakeFloats(id, 200'000);
      locations.push_back(opened.tier->Write(object.record, object.bytes, id).value());
    }
    ASSERT_TRUE(opened.tier->Flush().has_value());
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch.path())) {
    if (entry.path().extension() == ".blob") {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      for (std::streamoff at = 30'000; at < static_cast<std::streamoff>(entry.file_size());
           at += 400'000) {
        file.seekp(at);
        file.put('\x55');
      }
    }
  }
  const auto opened = OpenWith(scratch.path(), nullptr);
  RecoverAll(*opened.tier);
  int wrong = 0;
  int missing = 0;
  for (std::uint32_t id = 0; id < 20; ++id) {
    const auto object = MakeFloats(id, 200'000);
    std::vector<std::byte> target(object.bytes.size());
    const auto read = opened.tier->Read(locations[id], object.record, target);
    wrong += read && target != object.bytes ? 1 : 0;
    missing += read ? 0 : 1;
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(missing, 0);
  EXPECT_EQ(opened.tier->Stats().checksum_failures, static_cast<std::uint64_t>(missing));
}

TEST(SsdCodecTest, SizesOfChunksAreChecked) {
  SsdObject object;
  object.header = {.record = MakeObject(1, 3 * kMiB).record,
                   .location = {.segment = 1, .ordinal = 2},
                   .form = SsdForm::kFramed};
  object.chunks = {{.bytes = kMiB, .frame = 1000}, {.bytes = kMiB}, {.bytes = kMiB, .frame = 3}};
  const auto round_trip = [&object] {
    const auto bytes = EncodeObject(object);
    const auto decoded = DecodeObject(bytes);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->chunks, object.chunks);
    EXPECT_EQ(decoded->header.form, object.header.form);
    EXPECT_EQ(decoded->header.record, object.header.record);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      auto damaged = bytes;
      damaged[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      EXPECT_FALSE(DecodeObject(damaged)) << bit;
    }
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(DecodeObject(std::span(bytes).first(size))) << size;
    }
  };
  round_trip();
  // Cut where a codec wants it: other sizes, and more of them.
  object.header.form = SsdForm::kCut;
  object.header.record.coded = true;
  object.chunks = {{.bytes = 900'000, .frame = 1000},
                   {.bytes = kMiB, .frame = 5},
                   {.bytes = 148'576, .frame = 148'575},
                   {.bytes = kMiB}};
  round_trip();
  const auto refused = [&object](const char* what) {
    EXPECT_FALSE(DecodeObject(EncodeObject(object))) << what;
  };
  object.chunks[0].frame = 900'000;
  refused("a frame that is no shorter than what it stands for");
  object.chunks[0] = {.bytes = 899'999};
  refused("not all of the payload");
  object.chunks[0] = {.bytes = 0};
  refused("an empty chunk");
  object.chunks = {{.bytes = 2 * kMiB}, {.bytes = kMiB}};
  refused("a chunk that a read has no room for");
  object.chunks.clear();
  refused("no chunks");
  object.header.form = SsdForm::kPlain;
  EXPECT_TRUE(DecodeObject(EncodeObject(object))) << "as it is: no sizes";
  EXPECT_EQ(EncodeObject(object).size(), kSsdHeaderBytes);
}

}  // namespace
}  // namespace cairn
