// From a captured blob to stored objects and back: what is put together must be, to the byte, the
// blob that llama.cpp would have written itself.
#include "libcache/connector/llamacpp/state_blob.h"

#include <gtest/gtest.h>

#include "tests/unit/libcache/connector/llamacpp/kinds.h"
#include "tests/unit/libcache/connector/llamacpp/objects.h"

namespace cairn::llamacpp {
namespace {

using fake::Bytes;
using fake::Config;
using fake::FakeContext;

constexpr std::uint32_t kEarly = 60;   // Less than a window, less than a block.
constexpr std::uint32_t kTail = 500;   // Inside a block.
constexpr std::uint32_t kShort = 512;  // At a block's end.
constexpr std::uint32_t kEnd = 768;
const std::vector<std::uint32_t> kStops = {kEarly, kTail, kShort, kEnd};

class StateBlobTest : public ::testing::TestWithParam<Kind> {
 protected:
  /// Objects of the boundary at `position`, KV cut from the state at the very end.
  [[nodiscard]] Objects ObjectsAt(const History& run, std::uint32_t position) const {
    return Cut(layout_, run.at.at(kEnd).whole.blob, kEnd, run.at.at(position).partial.blob,
               position);
  }

  const Config config_ = fake::Ideal(GetParam().config);
  const StateLayout layout_ = Learned(config_);
  const std::vector<Token> tokens_ = fake::MakeTokens(kEnd + 40);
  const History run_ = HistoryOf(config_, tokens_, kStops);
};

INSTANTIATE_TEST_SUITE_P(Kinds, StateBlobTest, ::testing::ValuesIn(AllKinds()), KindName);

TEST_P(StateBlobTest, PutsTogetherWhatLlamaWouldHaveWritten) {
  StateBlob blob;  // One for all: what an earlier blob left must not show.
  for (const std::uint32_t position : {kEnd, kShort, kTail, kEarly, kShort}) {
    const auto composed = Compose(blob, layout_, ObjectsAt(run_, position), position);
    ASSERT_TRUE(composed.has_value()) << position << ": " << ToString(composed.error());
    EXPECT_EQ(blob.tokens(), position);
    EXPECT_TRUE(*composed == run_.at.at(position).whole.blob) << position;
  }
}

TEST_P(StateBlobTest, GoesOnAsIfNothingHadHappened) {
  StateBlob blob;
  for (const std::uint32_t position : {kEarly, kTail, kShort, kEnd}) {
    const auto composed = Compose(blob, layout_, ObjectsAt(run_, position), position);
    ASSERT_TRUE(composed.has_value()) << ToString(composed.error());
    FakeContext context(config_);
    ASSERT_EQ(context.Restore(*composed, 0, kWholeState), composed->size());
    ASSERT_EQ(context.PosMax(0), static_cast<Position>(position) - 1);
    fake::Prefill(context, 0, tokens_, kEnd);
    if (position != kEnd) {
      EXPECT_EQ(context.Logits(0), run_.logits) << position;
    }
    EXPECT_TRUE(context.Save(0, kWholeState).blob == run_.at.at(kEnd).whole.blob) << position;
  }
}

TEST_P(StateBlobTest, CellsMayLieInAnyOrder) {
  Config config = config_;
  config.shuffled = true;
  const History shuffled = HistoryOf(config, tokens_, kStops);
  if (config.attention.layers != 0 || config.window.layers != 0) {
    ASSERT_FALSE(shuffled.at.at(kEnd).whole.blob == run_.at.at(kEnd).whole.blob);
  }
  StateBlob blob;
  for (const std::uint32_t position : kStops) {
    const Objects objects = ObjectsAt(shuffled, position);
    const Objects in_order = ObjectsAt(run_, position);
    EXPECT_TRUE(objects.kv == in_order.kv) << position;
    EXPECT_TRUE(objects.checkpoint == in_order.checkpoint) << position;
    const auto composed = Compose(blob, layout_, objects, position);
    ASSERT_TRUE(composed.has_value()) << ToString(composed.error());
    EXPECT_TRUE(*composed == run_.at.at(position).whole.blob) << position;
  }
}

// A cell that left a window comes back as another token's: the blob begins in the middle.
TEST_P(StateBlobTest, SmallWindowsGoRound) {
  Config config = config_;
  config.swa_full = false;
  config.n_ubatch = 16;
  const History round = HistoryOf(config, tokens_, kStops);
  EXPECT_EQ(round.logits, run_.logits);
  for (const std::uint32_t position : kStops) {
    EXPECT_TRUE(ObjectsAt(round, position).checkpoint == ObjectsAt(run_, position).checkpoint);
  }
}

TEST_P(StateBlobTest, AnyStretchOfKvIsTheSameBytes) {
  if (!layout_.attention) {
    GTEST_SKIP() << "no KV of all tokens";
  }
  const auto view = ParseState(layout_, run_.at.at(kEnd).whole.blob, true);
  ASSERT_TRUE(view.has_value());
  const auto early = ParseState(layout_, run_.at.at(kShort).whole.blob, true);
  ASSERT_TRUE(early.has_value());
  for (const auto& [from, to] : {std::pair(0U, 64U), {64U, 128U}, {448U, 500U}, {3U, 4U}}) {
    Bytes late((to - from) * layout_.KvBytesPerToken());
    Bytes soon(late.size());
    CopyKv(layout_, *view, from, to, late);
    CopyKv(layout_, *early, from, to, soon);
    EXPECT_TRUE(late == soon) << from;
    // Positions come first, so that each object tells where it belongs.
    for (std::uint32_t i = 0; i < to - from; ++i) {
      Position position = -1;
      std::memcpy(&position, late.data() + i * sizeof(Position), sizeof(Position));
      EXPECT_EQ(position, static_cast<Position>(from + i));
    }
  }
}

TEST_P(StateBlobTest, FilledWindowsPutEachTokenInItsOwnCell) {
  if (config_.window.layers == 0) {
    GTEST_SKIP() << "no windows";
  }
  Config config = GetParam().config;  // Cells matter.
  config.by_batch = false;
  const History exact = HistoryOf(config, tokens_, kStops);
  StateBlob blob;
  for (const std::uint32_t position : {kShort, kEarly, kTail}) {
    const Objects objects = ObjectsAt(exact, position);
    const auto composed = Compose(blob, layout_, objects, position, true);
    ASSERT_TRUE(composed.has_value()) << ToString(composed.error());
    const auto view = ParseState(layout_, *composed, true);
    ASSERT_TRUE(view.has_value());
    ASSERT_EQ(view->window.positions.size(), position);
    for (std::uint32_t i = 0; i < position; ++i) {
      ASSERT_EQ(view->window.positions[i], static_cast<Position>(i));
    }
    EXPECT_TRUE(CheckComplete(layout_, *view, position, true, true).has_value());
    EXPECT_EQ(CheckComplete(layout_, *view, position, true, false).has_value(),
              position <= config.window.window_tokens)
        << "not what a capture may have";

    FakeContext context(config);
    ASSERT_EQ(context.Restore(*composed, 0, kWholeState), composed->size());
    EXPECT_TRUE(context.Save(0, kWholeState).blob == exact.at.at(position).whole.blob);
    fake::Prefill(context, 0, tokens_, kEnd);
    EXPECT_EQ(context.Logits(0), exact.logits) << position;
  }
  // And that it is the cells that do it.
  const auto short_of_cells = Compose(blob, layout_, ObjectsAt(exact, kShort), kShort, false);
  ASSERT_TRUE(short_of_cells.has_value());
  FakeContext context(config);
  ASSERT_NE(context.Restore(*short_of_cells, 0, kWholeState), 0U);
  fake::Prefill(context, 0, tokens_, kEnd);
  EXPECT_NE(context.Logits(0), exact.logits);
}

// A context with more sequences has more streams, of which all but one are empty.
TEST_P(StateBlobTest, ObjectsMoveToASequenceOfAnotherContext) {
  Config config = config_;
  config.n_seq_max = 3;
  const StateLayout other = Learned(config);
  ASSERT_EQ(other.Text(), layout_.Text());
  StateBlob blob;
  const auto composed = Compose(blob, other, ObjectsAt(run_, kShort), kShort);
  ASSERT_TRUE(composed.has_value()) << ToString(composed.error());
  FakeContext context(config);
  for (const SequenceId sequence : {2, 0, 1}) {
    ASSERT_EQ(context.Restore(*composed, sequence, kWholeState), composed->size());
    fake::Prefill(context, sequence, tokens_, kEnd);
    EXPECT_EQ(context.Logits(sequence), run_.logits) << sequence;
  }
  // And back, from whatever sequence.
  const Bytes native = context.Save(2, kWholeState).blob;
  const auto view = ParseState(other, native, true);
  ASSERT_TRUE(view.has_value()) << ToString(view.error());
  EXPECT_TRUE(CheckComplete(other, *view, kEnd, true).has_value());
  const Objects back = Cut(other, native, kEnd, context.Save(2, kPartialState).blob, kEnd);
  EXPECT_TRUE(back.kv == ObjectsAt(run_, kEnd).kv);
  EXPECT_TRUE(back.checkpoint == ObjectsAt(run_, kEnd).checkpoint);
}

}  // namespace
}  // namespace cairn::llamacpp
