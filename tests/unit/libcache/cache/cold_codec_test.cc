// Which codec an object meets on its way to SSD and what becomes of it: what the operator wants, as
// far as the namespace permits it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <utility>

#include "libcache/base/mutex.h"
#include "libcache/codec/exponent_split.h"
#include "libcache/tier/memory_cold_tier.h"
#include "libcache/tier/ssd_tier.h"
#include "tests/unit/libcache/cache/cache_fixture.h"
#include "tests/unit/libcache/codec/bounds.h"

namespace cairn {
namespace {

/// A tier that hands out what it has as coded, as SSD does, and drops it when told. The cache's
/// writer calls it while a test looks at what was written.
class Coding final : public MemoryColdTier {
 public:
  using MemoryColdTier::MemoryColdTier;
  Result<ColdLocation> Write(const ObjectRecord& record, std::span<const std::byte> bytes,
                             std::uint32_t cookie) override {
    {
      const MutexLock lock(mu_);
      written_.push_back(record.coded);
    }
    ObjectRecord coded = record;
    coded.coded = true;
    return MemoryColdTier::Write(coded, bytes, cookie);
  }
  /// Which of those written since the last call came as coded.
  std::vector<bool> TakeWritten() {
    const MutexLock lock(mu_);
    return std::exchange(written_, {});
  }

 private:
  Mutex mu_;
  std::vector<bool> written_ CAIRN_GUARDED_BY(mu_);
};

TimePoint Soon() { return SteadyClock::Instance().Now() + std::chrono::seconds(20); }

/// A hybrid model: 32 KiB of fp32 state in two matrices and 512 bytes of window behind it; KV of 2
/// layers in fp32, so that what BytesFor makes are values of all kinds.
class ColdCodecTest : public CacheFixture {
 protected:
  static constexpr CodecShape kStates{
      .element = Element::kF32, .matrices = 2, .rows = 64, .columns = 64};
  static constexpr CodecShape kKv{
      .element = Element::kF32, .matrices = 4, .rows = kBlock, .columns = 128};
  static constexpr std::uint64_t kStateBytes = 2 * 64 * 64 * 4;
  static constexpr std::uint64_t kWindowBytes = 512;
  static constexpr std::uint64_t kKvBytes = std::uint64_t{4} * kBlock * 128 * 4;

  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn-codec-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override {
    CacheFixture::TearDown();
    cache_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }

  NamespaceSpec Spec() override {
    NamespaceSpec spec;
    spec.model = "test";
    spec.block_tokens = kBlock;
    spec.kv_bytes_per_token = kKvBytes / kBlock;
    spec.checkpoint_bytes = kStateBytes + kWindowBytes;
    spec.grid_tokens = 1;
    spec.fidelity = fidelity_;
    spec.checkpoint_shape = checkpoint_shape_;
    spec.kv_shape = kv_shape_;
    return spec;
  }

  void OpenCold(const std::string& codecs, std::uint64_t ssd_bytes = 256 * kMiB) {
    if (cache_ != nullptr) {
      cache_->EndSession(session_);
      cache_.reset();
    }
    auto opened = OpenSsdTier(
        {.path = dir_ + "/ssd", .capacity_bytes = ssd_bytes, .write_buffer_bytes = 4 * kMiB});
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    Cache::Config config = SmallConfig();
    config.cold_codecs = codecs;
    Open(config, std::move(opened->tier));
  }

  /// What an engine stores: values as a network has them, and any bits for the window.
  static std::vector<std::byte> Values(const PrefixKey& key, ObjectKind kind) {
    const std::uint64_t size = kind == ObjectKind::kKv ? kKvBytes : kStateBytes + kWindowBytes;
    std::vector<std::byte> bytes = BytesFor(key, kind, size);
    const std::size_t coded = kind == ObjectKind::kKv ? kKvBytes : kStateBytes;
    std::uint64_t state = key.Word();
    for (std::size_t at = 0; at < coded; at += 4) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      const float value = static_cast<float>(static_cast<std::int32_t>(state >> 32U)) * 0x1p-31F;
      std::memcpy(bytes.data() + at, &value, 4);
    }
    return bytes;
  }

  void Store(std::span<const std::uint32_t> tokens, ObjectKind kind, std::uint32_t position) {
    const ReserveItem item{
        .kind = kind,
        .key = KeyAt(tokens, position),
        .parent = KeyAt(tokens, position - kBlock),
        .position = position,
        .bytes = kind == ObjectKind::kKv ? kKvBytes : kStateBytes + kWindowBytes};
    const auto outcomes = cache_->Reserve(session_, 1, space_, {&item, 1});
    ASSERT_TRUE(outcomes.has_value()) << ToString(outcomes.error());
    ASSERT_EQ((*outcomes)[0].code, ErrorCode::kOk);
    const auto bytes = Values(item.key, kind);
    ASSERT_TRUE(cache_->Fill(session_, (*outcomes)[0].token, 0, bytes));
    const CommitItem commit{.token = (*outcomes)[0].token, .digest = DigestOf(bytes)};
    ASSERT_EQ(cache_->Commit(session_, {&commit, 1}, false).codes[0], ErrorCode::kOk);
  }

  /// KV and checkpoints at 16 and 32, on SSD when it returns.
  void StoreAll(std::span<const std::uint32_t> tokens) {
    MatchOf(tokens);
    for (const std::uint32_t at : {16U, 32U}) {
      Store(tokens, ObjectKind::kKv, at);
      Store(tokens, ObjectKind::kCheckpoint, at);
    }
    ASSERT_TRUE(cache_->FlushCold(Soon()));
  }

  /// Out of host memory, so that the next read comes from SSD.
  void DropFromHost(std::span<const std::uint32_t> tokens) {
    const auto evicted =
        cache_->EvictPrefix(ToHex(Keys(tokens)[0].bytes), {.host_only = true, .only = {}});
    ASSERT_TRUE(evicted.has_value()) << ToString(evicted.error());
    ASSERT_EQ(cache_->Stats().host.objects[0] + cache_->Stats().host.objects[1], 0U);
  }

  using Read = std::map<std::pair<std::uint32_t, ObjectKind>, std::vector<std::byte>>;

  /// All objects of the boundary at 32; each has the digest that its reader is told. Empty: a miss.
  Read ReadAll(std::span<const std::uint32_t> tokens) {
    Read read;
    const MatchResult match = MatchOf(tokens, false);
    if (match.lease == 0) {
      return read;
    }
    const auto pending = cache_->StartFetch(session_, match.lease, 32, nullptr, 0);
    const bool there = pending && (*pending)->Wait(Soon()) && (*pending)->error() == ErrorCode::kOk;
    const auto views = there ? cache_->FinishFetch(session_, match.lease)
                             : Result<std::vector<ObjectView>>(Fail(ErrorCode::kNotFound, ""));
    for (const ObjectView& view : views.value_or(std::vector<ObjectView>())) {
      const auto payload = cache_->arena().Payload(view.arena_offset).first(view.bytes);
      EXPECT_EQ(DigestOf(payload), view.digest);
      read[{view.position, view.kind}] = {payload.begin(), payload.end()};
    }
    EXPECT_TRUE(cache_->Release(session_, match.lease).has_value());
    return read;
  }

  Read Stored(std::span<const std::uint32_t> tokens) {
    const auto of = [&](std::uint32_t position, ObjectKind kind) {
      return Values(KeyAt(tokens, position), kind);
    };
    return {{{16, ObjectKind::kKv}, of(16, ObjectKind::kKv)},
            {{32, ObjectKind::kKv}, of(32, ObjectKind::kKv)},
            {{32, ObjectKind::kCheckpoint}, of(32, ObjectKind::kCheckpoint)}};
  }

  static void ExpectWithin(CodecId codec, const CodecShape& shape,
                           const std::vector<std::byte>& before,
                           const std::vector<std::byte>& after) {
    ASSERT_EQ(before.size(), after.size());
    const std::size_t coded = shape.Bytes();
    const auto in = testing::Floats(shape.element, std::span(before).first(coded));
    const auto out = testing::Floats(shape.element, std::span(after).first(coded));
    EXPECT_NE(in, out) << "nothing was lost";
    EXPECT_EQ(testing::Bounds(codec, shape, in, out).FirstBroken(), in.size());
    EXPECT_TRUE(std::equal(before.begin() + static_cast<std::ptrdiff_t>(coded), before.end(),
                           after.begin() + static_cast<std::ptrdiff_t>(coded)))
        << "windows are not for codecs";
  }

  std::uint64_t Refusals(CodecRefusal why) {
    return cache_->Stats().cold_store.codec_refusals[static_cast<std::size_t>(why)];
  }

  std::string dir_;
  Fidelity fidelity_ = Fidelity::kCompact;
  std::string checkpoint_shape_ = "f32[2x64x64]";
  std::string kv_shape_ = "f32[4xtx128]";
  const std::string lossy_ = "checkpoint:int8_column+kv:int8_kv";
};

// The promise of exact, held against every way an operator may ask for less.
TEST_F(ColdCodecTest, AnExactNamespaceGetsItsBytesBackUnderAnyRule) {
  fidelity_ = Fidelity::kExact;
  std::uint32_t first = 0;
  for (const std::string rules :
       {"checkpoint:int8_column+kv:int8_kv", "bf16_round", "lossless,test=kv:kivi2",
        "none,test=checkpoint:int8_column+kv:cachegen", "kv:kivi4", "kv:fp8_kv"}) {
    const auto prompt = Tokens(40, first += 1000);
    OpenCold(rules);
    StoreAll(prompt);
    EXPECT_EQ(cache_->Stats().cold_store.lossy_objects, 0U) << rules;
    EXPECT_GT(Refusals(CodecRefusal::kFidelity), 0U) << rules;
    DropFromHost(prompt);
    EXPECT_EQ(ReadAll(prompt), Stored(prompt)) << rules;
    OpenCold(rules);  // And after a restart.
    EXPECT_EQ(ReadAll(prompt), Stored(prompt)) << rules;
    EXPECT_EQ(cache_->Stats().checksum_failures, 0U);
  }
}

// An exact engine and a compact one of the same model, at the same time: keys keep them apart.
TEST_F(ColdCodecTest, ACompactEngineDoesNotServeAnExactOne) {
  const auto tokens = Tokens(40);
  OpenCold(lossy_);
  StoreAll(tokens);
  const PrefixKey compact_seed = seed_;
  for (const Fidelity fidelity : {Fidelity::kExact, Fidelity::kNear}) {
    fidelity_ = fidelity;
    const auto opened = cache_->OpenNamespace(Spec());
    ASSERT_TRUE(opened);
    EXPECT_NE(opened->seed, compact_seed);
    space_ = opened->id;
    seed_ = opened->seed;
    EXPECT_TRUE(MatchOf(tokens).boundaries.empty());
  }
}

TEST_F(ColdCodecTest, ACompactNamespaceGetsValuesWithinTheBound) {
  const auto tokens = Tokens(40);
  OpenCold(lossy_);
  StoreAll(tokens);
  EXPECT_EQ(cache_->Stats().cold_store.lossy_objects, 4U);
  EXPECT_EQ(ReadAll(tokens), Stored(tokens)) << "in host memory they are still as they were";
  DropFromHost(tokens);
  const Read coded = ReadAll(tokens);
  ASSERT_EQ(coded.size(), 3U);
  const Read stored = Stored(tokens);
  ExpectWithin(CodecId::kInt8Column, kStates, stored.at({32, ObjectKind::kCheckpoint}),
               coded.at({32, ObjectKind::kCheckpoint}));
  ExpectWithin(CodecId::kInt8Kv, kKv, stored.at({16, ObjectKind::kKv}),
               coded.at({16, ObjectKind::kKv}));
  DropFromHost(tokens);
  EXPECT_EQ(ReadAll(tokens), coded) << "the same every time";
  OpenCold("none");
  EXPECT_EQ(ReadAll(tokens), coded) << "also after a restart, whatever the rule is then";
  EXPECT_EQ(cache_->Stats().checksum_failures, 0U);
  EXPECT_EQ(Refusals(CodecRefusal::kFidelity) + Refusals(CodecRefusal::kShape), 0U);
}

TEST_F(ColdCodecTest, NearRoundsStatesAndNothingElse) {
  fidelity_ = Fidelity::kNear;
  const auto tokens = Tokens(40);
  OpenCold("checkpoint:bf16_round+kv:int8_kv");
  StoreAll(tokens);
  EXPECT_EQ(Refusals(CodecRefusal::kFidelity), 2U) << "int8 is not near";
  DropFromHost(tokens);
  const Read coded = ReadAll(tokens);
  const Read stored = Stored(tokens);
  ASSERT_EQ(coded.size(), 3U);
  ExpectWithin(CodecId::kBf16Round, kStates, stored.at({32, ObjectKind::kCheckpoint}),
               coded.at({32, ObjectKind::kCheckpoint}));
  EXPECT_EQ(coded.at({16, ObjectKind::kKv}), stored.at({16, ObjectKind::kKv}));
}

TEST_F(ColdCodecTest, WithoutAShapeNothingIsLostAndItIsCounted) {
  checkpoint_shape_ = "";
  const auto tokens = Tokens(40);
  OpenCold(lossy_);
  StoreAll(tokens);
  EXPECT_EQ(Refusals(CodecRefusal::kShape), 2U);
  EXPECT_EQ(cache_->Stats().cold_store.lossy_objects, 2U) << "KV has one";
  DropFromHost(tokens);
  const Read coded = ReadAll(tokens);
  EXPECT_EQ(coded.at({32, ObjectKind::kCheckpoint}),
            Stored(tokens).at({32, ObjectKind::kCheckpoint}));
}

TEST_F(ColdCodecTest, ValuesThatWereCodedAreNotToBeCodedAgain) {
  struct Spy final : MemoryColdTier {
    using MemoryColdTier::MemoryColdTier;
    void SetCodecs(CodecOf given) override { codec_of = std::move(given); }
    CodecOf codec_of;
  };
  auto tier = std::make_unique<Spy>(MemoryColdTier::Config{.capacity_bytes = kMiB});
  const Spy& spy = *tier;
  Cache::Config config = SmallConfig();
  config.cold_codecs = lossy_;
  Open(config, std::move(tier));
  ObjectRecord record;
  record.seed = seed_;
  record.kind = ObjectKind::kCheckpoint;
  record.bytes = kStateBytes + kWindowBytes;
  EXPECT_TRUE(spy.codec_of(record).lossy());
  record.coded = true;
  EXPECT_EQ(spy.codec_of(record).codec, &ExponentSplitCodec());
  EXPECT_EQ(spy.codec_of(record).refused, CodecRefusal::kNone);
}

TEST_F(ColdCodecTest, WhatComesBackFromALossyCodecSaysSoWhenItIsWrittenAgain) {
  auto tier = std::make_unique<Coding>(MemoryColdTier::Config{.capacity_bytes = 4 * kMiB});
  Coding& coding = *tier;
  Open(SmallConfig(), std::move(tier));
  const auto tokens = Tokens(40);
  StoreAll(tokens);
  EXPECT_EQ(coding.TakeWritten(), std::vector<bool>(4, false));
  DropFromHost(tokens);
  ASSERT_EQ(ReadAll(tokens).size(), 3U);
  ASSERT_EQ(ReadAll(tokens).size(), 3U);  // A hit: worth a place in a newer segment.
  coding.TakeWritten();
  std::vector<bool> written;
  for (std::uint32_t i = 1; written.size() < 200 && i < 100; ++i) {
    StoreAll(Tokens(40, 1000 * i));
    const std::vector<bool> more = coding.TakeWritten();
    written.insert(written.end(), more.begin(), more.end());
  }
  EXPECT_GE(std::count(written.begin(), written.end(), true), 1)
      << "those that were read went again, and as coded";
}

// However they got there: a mistake, or another release.
TEST_F(ColdCodecTest, CodedValuesDoNotReachAnExactNamespace) {
  fidelity_ = Fidelity::kExact;
  Open(SmallConfig(), std::make_unique<Coding>(MemoryColdTier::Config{.capacity_bytes = 4 * kMiB}));
  const auto tokens = Tokens(40);
  StoreAll(tokens);
  EXPECT_EQ(ReadAll(tokens), Stored(tokens)) << "host memory has what was stored";
  DropFromHost(tokens);
  EXPECT_EQ(ReadAll(tokens), Read{}) << "a miss";
  EXPECT_GT(cache_->Stats().checksum_failures, 0U);
}

TEST_F(ColdCodecTest, TheOperatorIsToldOnce) {
  OpenCold(lossy_);
  const auto notice = [this] {
    NamespaceSpec spec = Spec();
    const auto opened = cache_->OpenNamespace(spec);
    EXPECT_TRUE(opened);
    return opened ? opened->notice : "";
  };
  EXPECT_EQ(notice(), "") << "all is as it was wanted";
  fidelity_ = Fidelity::kExact;
  EXPECT_EQ(notice(),
            "KV of test are declared exact, so they are stored without loss, not by int8_kv; "
            "checkpoints of test are declared exact, so they are stored without loss, not by "
            "int8_column");
  EXPECT_EQ(notice(), "") << "it was said";
  fidelity_ = Fidelity::kCompact;
  kv_shape_ = "";
  EXPECT_NE(notice().find("KV of test have no declared shape"), std::string::npos);
  kv_shape_ = "raw[1xtx8]";
  EXPECT_NE(notice().find("have a declared shape that it cannot take"), std::string::npos);
}

TEST_F(ColdCodecTest, NamespacesShowWhatTheyGet) {
  OpenCold(lossy_);
  fidelity_ = Fidelity::kExact;
  ASSERT_TRUE(cache_->OpenNamespace(Spec()));
  const auto views = cache_->Namespaces();
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[0].cold_codecs[0].codec, FindCodec(CodecId::kInt8Kv));
  EXPECT_EQ(views[0].cold_codecs[1].codec, FindCodec(CodecId::kInt8Column));
  EXPECT_EQ(views[1].cold_codecs[0].codec, &ExponentSplitCodec());
  EXPECT_EQ(views[1].spec.kv_shape, "") << "without meaning there";
}

TEST_F(ColdCodecTest, ShapesThatCannotBeAreRefusedByName) {
  Open(SmallConfig());
  const auto refused = [this](const char* field) {
    const auto opened = cache_->OpenNamespace(Spec());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(opened.error().message.find(field), 0U) << opened.error().message;
  };
  checkpoint_shape_ = "f32[2x64x66]";
  refused("checkpoint_shape: covers 33792 bytes, but there are 33280");
  checkpoint_shape_ = "f32[2xtx64]";
  refused("checkpoint_shape: a checkpoint has no rows that are tokens");
  checkpoint_shape_ = "fp32";
  refused("checkpoint_shape: 'fp32' is not as f32[MATRICESxROWSxCOLUMNS]");
  fidelity_ = Fidelity::kExact;
  refused("checkpoint_shape: 'fp32'");
  checkpoint_shape_ = "";
  kv_shape_ = "f32[4x16x128]";
  refused("kv_shape: rows of KV are tokens");
}

TEST_F(ColdCodecTest, RulesGoByModel) {
  struct Spy final : MemoryColdTier {
    using MemoryColdTier::MemoryColdTier;
    void SetCodecs(CodecOf given) override { codec_of = std::move(given); }
    CodecOf codec_of;
  };
  const auto codec_of = [this](const std::string& rules, bool known) {
    auto tier = std::make_unique<Spy>(MemoryColdTier::Config{.capacity_bytes = kMiB});
    const Spy& spy = *tier;
    Cache::Config config = SmallConfig();
    config.cold_codecs = rules;
    if (cache_ != nullptr) {
      cache_->EndSession(session_);
    }
    Open(config, std::move(tier));
    ObjectRecord record;
    record.seed = known ? seed_ : PrefixKey{};
    record.bytes = kKvBytes;
    return spy.codec_of(record).codec;
  };
  for (const auto* rules : {"none", "lossless,test=none", "other=lossless"}) {
    EXPECT_EQ(codec_of(rules, true), nullptr) << rules;
    EXPECT_EQ(codec_of(rules, false), nullptr) << "a namespace that nobody opened";
  }
  EXPECT_EQ(codec_of("none,test=lossless", true), &ExponentSplitCodec());
  EXPECT_EQ(codec_of("none,test=kv:int8_kv", true), FindCodec(CodecId::kInt8Kv));
}

}  // namespace
}  // namespace cairn
