// The other tests rely on the fake llama.cpp to tell a wrong restore from a right one, and to be as
// gullible as the real one: notes on its behaviour are in docs/engines/llama.cpp.md.
#include "tests/unit/libcache/connector/llamacpp/fake_llama.h"

#include <gtest/gtest.h>

#include "tests/unit/libcache/connector/llamacpp/kinds.h"

namespace cairn::llamacpp {
namespace {

using fake::Bytes;
using fake::Config;
using fake::FakeContext;
using fake::Writer;

constexpr std::uint32_t kAt = 192;
constexpr std::uint32_t kEnd = 300;

class FakeLlamaTest : public ::testing::TestWithParam<Kind> {
 protected:
  /// What a cold prefill of [0, kEnd) gives.
  static std::uint64_t Cold(const Config& config, const std::vector<Token>& tokens) {
    FakeContext context(config);
    fake::Prefill(context, 0, tokens, kEnd);
    return context.Logits(0);
  }
  /// The state after [0, kAt).
  static Writer StateAt(const Config& config, const std::vector<Token>& tokens) {
    FakeContext context(config);
    fake::Prefill(context, 0, tokens, kAt);
    return context.Save(0, kWholeState);
  }
  const std::vector<Token> tokens_ = fake::MakeTokens(kEnd);
};

INSTANTIATE_TEST_SUITE_P(Kinds, FakeLlamaTest, ::testing::ValuesIn(AllKinds()), KindName);

TEST_P(FakeLlamaTest, GoesOnFromARestoredState) {
  const Config config = fake::Ideal(GetParam().config);
  const Writer state = StateAt(config, tokens_);
  FakeContext context(config);
  const std::size_t bytes = state.blob.size();
  ASSERT_EQ(context.Restore(state.blob, 0, kWholeState), bytes);
  EXPECT_EQ(context.PosMax(0), static_cast<Position>(kAt) - 1);
  fake::Prefill(context, 0, tokens_, kEnd);
  EXPECT_EQ(context.Logits(0), Cold(config, tokens_));
  Bytes longer = state.blob;
  longer.resize(bytes + 3);
  EXPECT_EQ(context.Restore(longer, 0, kWholeState), bytes) << "what follows is not looked at";
}

TEST_P(FakeLlamaTest, BelievesFlippedRowsAndShowsThem) {
  const Config config = fake::Ideal(GetParam().config);
  Writer state = StateAt(config, tokens_);
  // The first byte that is no structure behind the header's number of the sequence.
  std::size_t row = 8;
  while (row < state.blob.size() && state.structure[row]) {
    ++row;
  }
  // The cells' numbers of sequences are skipped; rows come last.
  const auto last =
      state.structure.rend() - std::find(state.structure.rbegin(), state.structure.rend(), false);
  row = static_cast<std::size_t>(last) - 1;
  state.blob[row] ^= std::byte{1};
  FakeContext context(config);
  ASSERT_EQ(context.Restore(state.blob, 0, kWholeState), state.blob.size());
  fake::Prefill(context, 0, tokens_, kEnd);
  EXPECT_NE(context.Logits(0), Cold(config, tokens_));
}

TEST_P(FakeLlamaTest, BelievesAnotherModelOfEqualShapes) {
  const Config config = fake::Ideal(GetParam().config);
  Config foreign = config;
  foreign.weights = 2;
  const Writer state = StateAt(foreign, tokens_);
  FakeContext context(config);
  ASSERT_EQ(context.Restore(state.blob, 0, kWholeState), state.blob.size());
  fake::Prefill(context, 0, tokens_, kEnd);
  EXPECT_NE(context.Logits(0), Cold(config, tokens_));
}

TEST_P(FakeLlamaTest, RefusesWhatIsCutOrOfAnotherShape) {
  const Config config = GetParam().config;
  const Bytes state = StateAt(config, tokens_).blob;
  FakeContext context(config);
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{7}, state.size() / 2, state.size() - 1}) {
    EXPECT_EQ(context.Restore(std::span(state).first(bytes), 0, kWholeState), 0U) << bytes;
    EXPECT_EQ(context.PosMax(0), -1) << bytes;
  }
  Config other = config;
  other.attention.key_bytes += 8;
  other.window.key_bytes += 8;
  other.recurrent.r_bytes += 8;
  EXPECT_EQ(FakeContext(other).Restore(state, 0, kWholeState), 0U);
}

TEST_P(FakeLlamaTest, MindsBatchesAndCellsIfTold) {
  Config config = GetParam().config;
  FakeContext whole_batches(config);
  fake::Prefill(whole_batches, 0, tokens_, kEnd);
  FakeContext cut(config);
  for (const std::uint32_t stop : {10U, 74U, 200U, kEnd}) {
    fake::Prefill(cut, 0, tokens_, stop);
  }
  EXPECT_NE(cut.Logits(0), whole_batches.Logits(0));
  if (config.attention.layers != 0 || config.window.layers != 0) {
    config.by_batch = false;
    const std::uint64_t in_order = Cold(config, tokens_);
    config.shuffled = true;
    EXPECT_NE(Cold(config, tokens_), in_order);
  }
  EXPECT_EQ(Cold(fake::Ideal(config), tokens_), Cold(fake::Ideal(GetParam().config), tokens_));
}

TEST(FakeLlama, AStateWithoutItsKvLeavesAHybridAtMinusOne) {
  FakeContext source(fake::Hybrid());
  const auto tokens = fake::MakeTokens(kEnd);
  fake::Prefill(source, 0, tokens, kAt);
  FakeContext context(fake::Hybrid());
  const Bytes partial = source.Save(0, kPartialState).blob;
  EXPECT_EQ(context.Restore(partial, 0, kPartialState), partial.size());
  EXPECT_EQ(context.PosMax(0), -1);
}

TEST(FakeLlama, DecodesOnlyWhereTheSequenceEnds) {
  FakeContext context(fake::Hybrid());
  const auto tokens = fake::MakeTokens(kEnd);
  const Api api = fake::MakeApi();
  EXPECT_EQ(fake::DecodeRange(api, context, 0, tokens, 0, 10), 0);
  EXPECT_EQ(fake::DecodeRange(api, context, 0, tokens, 11, 12), -1);
  EXPECT_EQ(fake::DecodeRange(api, context, 0, tokens, 9, 12), -1);
  EXPECT_EQ(fake::DecodeRange(api, context, 0, tokens, 10, 12), 0);
}

}  // namespace
}  // namespace cairn::llamacpp
