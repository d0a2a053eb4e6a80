#include "libcache/model/prefix_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "libcache/model/namespace_text.h"

namespace cairn {
namespace {

using Json = nlohmann::json;
using Tokens = std::vector<std::uint32_t>;

// Vectors that other implementations of the key format check themselves against; computed with
// Python's hashlib and hmac (docs/formats/keys.md).
Json ReadGolden(const std::string& name) {
  std::ifstream file(CAIRN_SOURCE_DIR "/tests/golden/" + name);
  return Json::parse(file);
}

const Json& Golden() {
  static const Json golden = ReadGolden("keys.json");
  return golden;
}

std::string Bytes(const Json& hex) { return FromHex(hex.get<std::string>()).value(); }

std::array<std::byte, 32> Bytes32(const Json& hex) {
  const std::string bytes = Bytes(hex);
  std::array<std::byte, 32> array{};
  EXPECT_EQ(bytes.size(), array.size());
  std::memcpy(array.data(), bytes.data(), std::min(bytes.size(), array.size()));
  return array;
}

PrefixKey Key(const Json& hex) { return {.bytes = Bytes32(hex)}; }

NamespaceSpec Spec(const Json& json) {
  return {.tenant = json.at("tenant"),
          .model = json.at("model"),
          .revision = json.at("revision"),
          .dtype = json.at("dtype"),
          .layout = json.at("layout"),
          .kernel = json.at("kernel"),
          .adapter = json.at("adapter"),
          .tp_rank = json.at("tp_rank"),
          .tp_size = json.at("tp_size"),
          .salt = json.at("salt"),
          .block_tokens = json.at("block_tokens"),
          .kv_bytes_per_token = json.at("kv_bytes_per_token"),
          .checkpoint_bytes = json.at("checkpoint_bytes"),
          .fidelity = ParseFidelity(json.value("fidelity", "exact")).value(),
          .checkpoint_shape = json.value("checkpoint_shape", ""),
          .kv_shape = json.value("kv_shape", "")};
}

TEST(PrefixKeyGoldenTest, Seeds) {
  Json rows = Golden().at("seeds");
  ASSERT_FALSE(rows.empty());
  const Json more = ReadGolden("keys_fidelity.json");  // A loop over a part would outlive it.
  ASSERT_FALSE(more.at("seeds").empty());
  for (const Json& row : more.at("seeds")) {
    rows.push_back(row);
  }
  for (const Json& row : rows) {
    const NamespaceSpec spec = Spec(row.at("namespace"));
    const std::string canonical = CanonicalNamespace(spec);
    EXPECT_EQ(ToHex(std::as_bytes(std::span(canonical))), row.at("canonical")) << row.at("name");
    const TenantKey tenant_key = {.bytes = Bytes32(row.at("tenant_key"))};
    EXPECT_EQ(NamespaceSeed(tenant_key, spec).Hex(), row.at("seed")) << row.at("name");
  }
}

TEST(PrefixKeyGoldenTest, Blocks) {
  ASSERT_FALSE(Golden().at("blocks").empty());
  for (const Json& row : Golden().at("blocks")) {
    const auto tokens = row.at("tokens").get<Tokens>();
    EXPECT_EQ(NextBlockKey(Key(row.at("parent")), tokens, Bytes(row.at("extra"))).Hex(),
              row.at("key"))
        << row.at("name");
  }
}

TEST(PrefixKeyGoldenTest, Chains) {
  ASSERT_FALSE(Golden().at("chains").empty());
  for (const Json& row : Golden().at("chains")) {
    Tokens tokens(row.at("token_count").get<std::size_t>());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = static_cast<std::uint32_t>(i * 2'654'435'761U % 151'936U);
    }
    const auto keys =
        BlockKeys(Key(row.at("seed")), tokens, row.at("block_tokens").get<std::uint32_t>());
    ASSERT_EQ(keys.size(), row.at("keys").size()) << row.at("name");
    for (std::size_t i = 0; i < keys.size(); ++i) {
      EXPECT_EQ(keys[i].Hex(), row.at("keys")[i]) << row.at("name") << ", block " << i;
    }
  }
}

TEST(PrefixKeyGoldenTest, Tails) {
  ASSERT_FALSE(Golden().at("tails").empty());
  for (const Json& row : Golden().at("tails")) {
    const auto tokens = row.at("tokens").get<Tokens>();
    EXPECT_EQ(TailKey(Key(row.at("parent")), tokens).Hex(), row.at("key")) << row.at("name");
  }
}

TEST(PrefixKeyGoldenTest, ForeignHashes) {
  ASSERT_FALSE(Golden().at("foreign").empty());
  for (const Json& row : Golden().at("foreign")) {
    const std::string hash = Bytes(row.at("engine_hash"));
    EXPECT_EQ(ForeignBlockKey(Key(row.at("seed")), std::as_bytes(std::span(hash))).Hex(),
              row.at("key"))
        << row.at("name");
  }
}

// One spec per field, each different from the default in that field only.
std::vector<NamespaceSpec> OneFieldChanged() {
  std::vector<NamespaceSpec> specs(18);
  specs[1].tenant = "other";
  specs[2].model = "other";
  specs[3].revision = "other";
  specs[4].dtype = "other";
  specs[5].layout = "other";
  specs[6].kernel = "other";
  specs[7].adapter = "other";
  specs[8].tp_rank = 1;
  specs[9].tp_size = 2;
  specs[10].salt = "other";
  specs[11].block_tokens = 16;
  specs[12].kv_bytes_per_token = 16;
  specs[13].checkpoint_bytes = 16;
  specs[14].fidelity = Fidelity::kNear;
  specs[15].fidelity = Fidelity::kCompact;
  specs[16] = specs[17] = specs[15];
  specs[16].checkpoint_shape = "f32[1x2x3]";
  specs[17].kv_shape = "f32[1x2x3]";
  return specs;
}

TEST(NamespaceTest, EveryFieldSeparates) {
  std::set<std::string> texts;
  std::set<PrefixKey> seeds;
  for (const NamespaceSpec& spec : OneFieldChanged()) {
    texts.insert(CanonicalNamespace(spec));
    seeds.insert(NamespaceSeed({}, spec));
  }
  EXPECT_EQ(texts.size(), OneFieldChanged().size());
  EXPECT_EQ(seeds.size(), OneFieldChanged().size());
}

TEST(NamespaceTest, TheGridOfCheckpointsDoesNotSeparate) {
  NamespaceSpec spec;
  const std::string text = CanonicalNamespace(spec);
  spec.grid_tokens = 64;
  EXPECT_EQ(CanonicalNamespace(spec), text);
}

// What knows nothing of fidelity, an older release or an engine that says nothing, is exact: it has
// the keys that it always had, whatever shapes are declared beside.
TEST(NamespaceTest, ExactSaysNothing) {
  NamespaceSpec spec;
  const std::string text = CanonicalNamespace(spec);
  spec.checkpoint_shape = "f32[1x2x3]";
  spec.kv_shape = "bf16[1xtx2]";
  EXPECT_EQ(CanonicalNamespace(spec), text);
  EXPECT_EQ(spec.fidelity, Fidelity::kExact);
}

TEST(NamespaceTest, TheTextOfACompactOneIsTheExactOneAndThreeFields) {
  NamespaceSpec spec;
  const std::string exact = CanonicalNamespace(spec);
  spec.fidelity = Fidelity::kCompact;
  spec.checkpoint_shape = "f32[1x2x3]";
  const auto field = [](std::string_view value) {
    return std::string(1, static_cast<char>(value.size())) + std::string(7, '\0') +
           std::string(value);
  };
  EXPECT_EQ(CanonicalNamespace(spec), exact + field("compact") + field("f32[1x2x3]") + field(""));
}

TEST(NamespaceTextTest, ExactInWordsIsNoNamespaceOfOurs) {
  NamespaceSpec spec;
  spec.block_tokens = 512;
  spec.fidelity = Fidelity::kNear;
  std::string text = CanonicalNamespace(spec);
  ASSERT_TRUE(ParseCanonicalNamespace(text));
  const auto at = text.rfind("near");
  EXPECT_FALSE(ParseCanonicalNamespace(std::string(text).replace(at, 4, "fine")));
  text.replace(at - 8, 12, std::string("\5\0\0\0\0\0\0\0exact", 13));
  EXPECT_FALSE(ParseCanonicalNamespace(text)) << "two texts for one namespace";
}

TEST(NamespaceTextTest, ReadsBackWhatWasWritten) {
  for (NamespaceSpec spec : OneFieldChanged()) {
    spec.block_tokens = spec.block_tokens == 0 ? 512 : spec.block_tokens;
    const auto read = ParseCanonicalNamespace(CanonicalNamespace(spec));
    ASSERT_TRUE(read.has_value()) << read.error().message;
    spec.grid_tokens = spec.block_tokens;
    EXPECT_EQ(*read, spec);
  }
}

TEST(NamespaceTextTest, EveryCutAndEveryAdditionIsCorrupt) {
  NamespaceSpec spec;
  spec.block_tokens = 512;
  const std::string text = CanonicalNamespace(spec);
  std::vector<std::string> damaged = {text + "x"};
  for (std::size_t size = 0; size < text.size(); ++size) {
    damaged.push_back(text.substr(0, size));
  }
  for (const std::string& other : damaged) {
    const auto read = ParseCanonicalNamespace(other);
    ASSERT_FALSE(read.has_value()) << other.size();
    EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  }
}

TEST(NamespaceTextTest, BlocksOfNoTokensAreCorrupt) {
  EXPECT_FALSE(ParseCanonicalNamespace(CanonicalNamespace({})).has_value());
}

TEST(NamespaceTextTest, LengthsBeyondTheTextOrTheIntegerAreCorrupt) {
  // A length of 2^64 - 1 must not wrap around the end.
  EXPECT_FALSE(ParseCanonicalNamespace(std::string(40, '\xff')).has_value());
  // tp_rank, an integer of four bytes, is made to say that it has five, and given a fifth.
  NamespaceSpec spec;
  spec.block_tokens = 512;
  std::string text = CanonicalNamespace(spec);
  const std::size_t tp_rank = 7 * 8 + spec.tenant.size();
  ASSERT_EQ(text[tp_rank], 4);
  text[tp_rank] = 5;
  text.insert(tp_rank + 8, 1, '\0');
  EXPECT_FALSE(ParseCanonicalNamespace(text).has_value());
}

TEST(NamespaceTest, MovingACharacterToTheNextFieldSeparates) {
  NamespaceSpec one;
  one.model = "a";
  one.revision = "bc";
  NamespaceSpec other;
  other.model = "ab";
  other.revision = "c";
  EXPECT_NE(CanonicalNamespace(one), CanonicalNamespace(other));
}

TEST(NamespaceTest, NulBytesAreTextLikeAnyOther) {
  NamespaceSpec one;
  one.salt = std::string("a\0b", 3);
  NamespaceSpec other;
  other.salt = "a";
  EXPECT_NE(NamespaceSeed({}, one), NamespaceSeed({}, other));
}

TEST(NamespaceTest, AnotherTenantKeyGivesAnotherSeed) {
  TenantKey tenant_key;
  const PrefixKey seed = NamespaceSeed(tenant_key, {});
  tenant_key.bytes[31] = std::byte{1};
  EXPECT_NE(NamespaceSeed(tenant_key, {}), seed);
}

TEST(PrefixKeyTest, BlockKeysChainNextBlockKey) {
  const PrefixKey seed = NamespaceSeed({}, {});
  const Tokens tokens = {1, 2, 3, 4, 5, 6, 7};
  const auto keys = BlockKeys(seed, tokens, 3);
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_EQ(keys[0], NextBlockKey(seed, std::span(tokens).first(3)));
  EXPECT_EQ(keys[1], NextBlockKey(keys[0], std::span(tokens).subspan(3, 3)));
}

TEST(PrefixKeyTest, ExtraSeparatesEqualTokens) {
  const Tokens tokens = {1, 2};
  EXPECT_NE(NextBlockKey({}, tokens, "image a"), NextBlockKey({}, tokens, "image b"));
  EXPECT_NE(NextBlockKey({}, tokens, "image a"), NextBlockKey({}, tokens));
}

TEST(PrefixKeyTest, ATailIsNotABlockOfTheSameTokens) {
  const Tokens tokens = {1, 2};
  EXPECT_NE(TailKey({}, tokens), NextBlockKey({}, tokens));
}

TEST(PrefixKeyTest, ABlockBoundaryHasOneName) {
  const PrefixKey parent = NamespaceSeed({}, {});
  EXPECT_EQ(TailKey(parent, {}), parent);
}

// Each thread hashes with a context of its own.
TEST(PrefixKeyTest, ThreadsGetEqualKeys) {
  const PrefixKey seed = NamespaceSeed({}, {});
  const Tokens tokens(4096, 42);
  const auto expected = BlockKeys(seed, tokens, 16);
  std::vector<std::vector<PrefixKey>> found(4);
  std::vector<std::thread> threads;
  for (auto& keys : found) {
    threads.emplace_back([&] { keys = BlockKeys(seed, tokens, 16); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const auto& keys : found) {
    EXPECT_EQ(keys, expected);
  }
}

TEST(PrefixKeyDeathTest, BlocksOfNoTokensAreAProgrammersError) {
  EXPECT_DEATH(BlockKeys({}, Tokens{1}, 0), "block_tokens > 0");
}

}  // namespace
}  // namespace cairn
