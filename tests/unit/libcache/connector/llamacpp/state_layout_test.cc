// What a blob of two tokens tells of how a context keeps its state, and which blobs tell nothing.
#include "libcache/connector/llamacpp/state_layout.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "tests/unit/libcache/connector/llamacpp/kinds.h"

namespace cairn::llamacpp {
namespace {

using fake::AttentionShape;
using fake::Bytes;
using fake::Config;

/// As Cairn stores a token: its position, the extension, keys and values.
std::uint64_t StoredBytes(const AttentionShape& shape) {
  return shape.layers == 0 ? 0 : 4 + shape.extension_bytes + shape.RowBytes();
}

std::uint64_t RecurrentBytes(const fake::RecurrentShape& shape) {
  return shape.layers == 0
             ? 0
             : 20 + std::uint64_t{shape.layers} * (24 + shape.r_bytes + shape.s_bytes);
}

void ExpectSame(const std::optional<AttentionLayout>& layout, const AttentionShape& shape,
                std::uint32_t streams) {
  ASSERT_EQ(layout.has_value(), shape.layers != 0);
  if (!layout) {
    return;
  }
  EXPECT_EQ(layout->streams, streams);
  EXPECT_EQ(layout->extension_bytes, shape.extension_bytes);
  EXPECT_EQ(layout->values_transposed, shape.transposed);
  EXPECT_EQ(layout->layers, shape.layers);
  ASSERT_EQ(layout->keys.size(), shape.layers);
  ASSERT_EQ(layout->values.size(), shape.value_bytes == 0 ? 0 : shape.layers);
  for (std::uint32_t i = 0; i < shape.layers; ++i) {
    const RowLayout key{.type = shape.type_k, .row_bytes = shape.KeyBytes(i)};
    EXPECT_EQ(layout->keys[i], key) << i;
    RowLayout value{.type = shape.type_v, .row_bytes = shape.ValueBytes(i)};
    if (shape.transposed) {
      value.elements = shape.ValueBytes(i) / 2;
      value.row_bytes = 2;
    }
    EXPECT_TRUE(shape.value_bytes == 0 || layout->values[i] == value) << i;
  }
  EXPECT_EQ(layout->StoredBytesPerToken(), StoredBytes(shape));
}

class LearnLayoutTest : public ::testing::TestWithParam<Kind> {
 protected:
  const Config& config_ = GetParam().config;
  const LearnBlobs blobs_ = BlobsOfTwo(config_);
  void ExpectRefused(std::span<const std::byte> whole, std::span<const std::byte> partial,
                     const std::string& what) {
    const auto layout = LearnLayout(whole, partial, 2, MemoryOf(config_));
    ASSERT_FALSE(layout.has_value()) << what << ": learned " << layout->Text();
    EXPECT_EQ(layout.error().code, ErrorCode::kUnsupported) << what;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, LearnLayoutTest, ::testing::ValuesIn(AllKinds()), KindName);

TEST_P(LearnLayoutTest, FindsEveryPart) {
  const StateLayout layout = Learned(config_);
  const std::uint32_t streams = config_.kv_unified ? 1 : config_.n_seq_max;
  ExpectSame(layout.attention, config_.attention, streams);
  ExpectSame(layout.window, config_.window, streams);
  EXPECT_EQ(layout.window_tokens, config_.window.window_tokens);
  EXPECT_EQ(layout.recurrent.size(), RecurrentBytes(config_.recurrent));
  EXPECT_EQ(layout.recurrent_rows.size(), 2 * config_.recurrent.layers);

  EXPECT_EQ(layout.KvBytesPerToken(), StoredBytes(config_.attention));
  const std::uint64_t state = config_.window.window_tokens * StoredBytes(config_.window) +
                              RecurrentBytes(config_.recurrent);
  EXPECT_EQ(layout.CheckpointBytes(), state == 0 ? 0 : 8 + state);
}

TEST_P(LearnLayoutTest, LearnsNothingOfWhatTheStateWas) {
  Config other = config_;
  other.weights = 99;
  const StateLayout layout = Learned(config_);
  EXPECT_EQ(Learned(other).recurrent, layout.recurrent) << "rows are zeroed";
  EXPECT_EQ(Learned(other).Text(), layout.Text());
  other.shuffled = true;
  EXPECT_EQ(Learned(other).Text(), layout.Text());
}

TEST_P(LearnLayoutTest, KnowsTheSizeOfABlob) {
  const StateLayout layout = Learned(config_);
  fake::FakeContext context(config_);
  const std::uint32_t tokens = 150;
  fake::Prefill(context, 0, fake::MakeTokens(tokens), tokens);
  std::uint64_t bytes = kBlobHeaderBytes + layout.recurrent.size();
  bytes += layout.attention ? layout.attention->BlobBytes(tokens) : 0;
  bytes += layout.window ? layout.window->BlobBytes(layout.window_tokens) : 0;
  EXPECT_EQ(context.Save(0, kWholeState).blob.size(), bytes);
}

TEST_P(LearnLayoutTest, RefusesBlobsCutAnywhere) {
  for (std::size_t bytes = 0; bytes < blobs_.whole.size(); ++bytes) {
    ExpectRefused(std::span(blobs_.whole).first(bytes), blobs_.partial,
                  "whole cut at " + std::to_string(bytes));
  }
  for (std::size_t bytes = 0; bytes < blobs_.partial.size(); ++bytes) {
    ExpectRefused(blobs_.whole, std::span(blobs_.partial).first(bytes),
                  "partial cut at " + std::to_string(bytes));
  }
  ExpectRefused(std::span(blobs_.whole).first(8), std::span(blobs_.partial).first(8),
                "nothing but a header");
  ExpectRefused({}, {}, "nothing at all");
}

TEST_P(LearnLayoutTest, RefusesBlobsWithMoreAtTheEnd) {
  for (const std::size_t more : {std::size_t{1}, std::size_t{4}, std::size_t{12}}) {
    LearnBlobs longer = blobs_;
    longer.whole.resize(longer.whole.size() + more);
    ExpectRefused(longer.whole, blobs_.partial, "whole");
    longer.partial.resize(longer.partial.size() + more);
    ExpectRefused(blobs_.whole, longer.partial, "partial");
    if (config_.recurrent.layers == 0 || more != 12) {
      ExpectRefused(longer.whole, longer.partial, "both");
    }
  }
}

TEST_P(LearnLayoutTest, RefusesAnotherMagicNumberAndGarbage) {
  LearnBlobs bad = blobs_;
  bad.whole[2] ^= std::byte{4};
  ExpectRefused(bad.whole, blobs_.partial, "magic of whole");
  bad.partial[0] ^= std::byte{1};
  if (config_.window.layers != 0 || config_.recurrent.layers != 0) {
    ExpectRefused(blobs_.whole, bad.partial, "magic of partial");
  }
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Bytes garbage(blobs_.whole.size());
    fake::Fill(garbage, seed);
    std::memcpy(garbage.data(), &kBlobMagic, sizeof(kBlobMagic));
    ExpectRefused(garbage, garbage, "garbage " + std::to_string(seed));
  }
}

TEST_P(LearnLayoutTest, RefusesWhatIsNotTheTokensThatWereDecoded) {
  for (const std::uint32_t tokens : {1U, 3U, 1000U}) {
    const auto layout = LearnLayout(blobs_.whole, blobs_.partial, tokens, MemoryOf(config_));
    EXPECT_FALSE(layout.has_value()) << tokens;
  }
}

TEST(StateLayout, RefusesAKindThatTheModelIsNot) {
  const LearnBlobs hybrid = BlobsOfTwo(fake::Hybrid());
  EXPECT_FALSE(LearnLayout(hybrid.whole, hybrid.partial, 2, {}).has_value());
  EXPECT_FALSE(LearnLayout(hybrid.whole, hybrid.partial, 2, {.recurrent = true}).has_value());
  const LearnBlobs recurrent = BlobsOfTwo(fake::RecurrentOnly());
  EXPECT_FALSE(LearnLayout(recurrent.whole, recurrent.partial, 2, {}).has_value());
  const LearnBlobs attention = BlobsOfTwo(fake::AttentionOnly());
  EXPECT_FALSE(LearnLayout(attention.whole, attention.partial, 2, {.hybrid = true}).has_value());
  // A model with sliding windows may still keep all tokens of all layers in one cache.
  EXPECT_TRUE(LearnLayout(attention.whole, attention.partial, 2, {.window_tokens = 8}).has_value());
}

// A history per layer with a length but no type (llama_memory_recurrent's p_l). While it is all
// zeros it could be taken for rows of no bytes.
TEST(StateLayout, RefusesRecurrentPartsThatItDoesNotKnow) {
  for (std::uint32_t ple_bytes = 4; ple_bytes <= 512; ple_bytes += 4) {
    for (const std::uint32_t layers : {1U, 2U, 3U}) {
      for (Config config : {fake::Hybrid(), fake::RecurrentOnly(), fake::HybridWindows()}) {
        config.recurrent.layers = layers;
        config.recurrent.ple_bytes = ple_bytes;
        const auto layout = Learn(config, BlobsOfTwo(config));
        EXPECT_FALSE(layout.has_value())
            << ple_bytes << " bytes in " << layers << " layers: learned " << layout->Text();
      }
    }
  }
}

TEST(StateLayout, NamesTheTypesOfElements) {
  Config config = fake::HybridWindows();
  config.attention.type_k = kQ8;
  config.attention.type_v = kQ4;
  config.window.type_k = kBF16;
  EXPECT_EQ(Learned(config).DTypeText(), "k=q8_0,v=q4_0,window_k=bf16,window_v=f16,state=f32");
  EXPECT_EQ(Learned(fake::RecurrentOnly()).DTypeText(), "state=f32");
  EXPECT_EQ(Learned(fake::Mla()).DTypeText(), "k=f16,state=f32");
  config.attention.type_k = 99;
  EXPECT_EQ(Learned(config).DTypeText().substr(0, 8), "k=type99");
}

/// Whatever the meaning of stored bytes depends on makes another text, and nothing else does.
TEST(StateLayout, TextsDifferWhereObjectsDo) {
  std::vector<Config> configs;
  for (const Kind& kind : AllKinds()) {
    if (kind.name != "Streams" && kind.name != "Unified") {
      configs.push_back(kind.config);
    }
  }
  const auto add = [&](auto change) {
    Config config = fake::HybridWindows();
    change(config);
    configs.push_back(config);
  };
  add([](Config& c) { c.attention.type_k = kBF16; });
  add([](Config& c) { c.attention.type_v = kBF16; });
  add([](Config& c) { c.window.type_k = kBF16; });
  add([](Config& c) { c.window.type_v = kBF16; });
  add([](Config& c) { c.attention.key_bytes += 2; });
  add([](Config& c) { c.attention.value_bytes += 2; });
  add([](Config& c) { c.window.key_bytes += 2; });
  add([](Config& c) { c.window.value_bytes = 0; });
  add([](Config& c) { c.attention.layers += 1; });
  add([](Config& c) { c.window.layers += 1; });
  add([](Config& c) { c.window.window_tokens += 1; });
  add([](Config& c) { c.attention.transposed = true; });
  add([](Config& c) { c.recurrent.layers += 1; });
  add([](Config& c) { c.recurrent.all_layers += 1; });
  add([](Config& c) { c.recurrent.r_bytes += 4; });
  add([](Config& c) { c.recurrent.s_bytes += 4; });
  std::set<std::string> texts;
  for (const Config& config : configs) {
    const std::string text = Learned(config).Text();
    EXPECT_TRUE(texts.insert(text).second) << "twice: " << text;
  }
  for (const Kind& kind : AllKinds()) {
    if (kind.name == "Streams" || kind.name == "Unified") {
      EXPECT_EQ(Learned(kind.config).Text(), Learned(fake::HybridWindows()).Text())
          << "a stored object is the same in every context, however many sequences that has";
    }
  }
}

}  // namespace
}  // namespace cairn::llamacpp
