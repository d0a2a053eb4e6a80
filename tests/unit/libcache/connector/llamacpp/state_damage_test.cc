// Blobs and objects that are not what they should be: cut, stretched, of other positions, with a
// bit flipped, or made up to hurt. None may pass, be read beyond its end, or make us take much
// memory.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "libcache/base/bytes.h"
#include "libcache/connector/llamacpp/state_blob.h"
#include "tests/unit/libcache/connector/llamacpp/kinds.h"
#include "tests/unit/libcache/connector/llamacpp/objects.h"

namespace {
std::size_t largest_allocation = 0;
}  // namespace

// Notes how much is asked for at a time. Not inlined: g++ 12 would see a free() of what new gave.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  largest_allocation = std::max(largest_allocation, bytes);
  if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes)) {
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace cairn::llamacpp {
namespace {

using fake::Bytes;
using fake::Config;
using fake::Writer;

constexpr std::uint32_t kShort = 100;
constexpr std::uint32_t kEnd = 160;  // More than a window.

std::size_t PayloadByte(const Writer& state) {
  std::size_t at = state.structure.size();
  while (at > 0 && state.structure[at - 1]) {
    --at;
  }
  return at - 1;  // Rows come last.
}

class StateDamageTest : public ::testing::TestWithParam<Kind> {
 protected:
  [[nodiscard]] Status Check(std::span<const std::byte> blob, std::uint32_t tokens,
                             bool whole) const {
    const auto view = ParseState(layout_, blob, whole);
    if (!view) {
      return Fail(view.error());
    }
    return CheckComplete(layout_, *view, tokens, whole);
  }
  void ExpectCorrupt(const Status& status, const std::string& what) const {
    ASSERT_FALSE(status.has_value()) << what;
    EXPECT_EQ(status.error().code, ErrorCode::kCorrupt) << what;
    EXPECT_TRUE(status.error().message.starts_with("llama.cpp state: ")) << what;
  }
  [[nodiscard]] Objects Good(std::uint32_t position) const {
    return Cut(layout_, end_.whole.blob, kEnd, history_.at.at(position).partial.blob, position);
  }
  /// Composes `objects` at kShort into memory that has a good blob of the same position.
  void ExpectRefused(const Objects& objects, std::optional<std::uint32_t> wrong_token,
                     const std::string& what) {
    const auto good = Compose(blob_, layout_, Good(kShort), kShort);
    EXPECT_TRUE(good.has_value()) << what;
    const auto composed = Compose(blob_, layout_, objects, kShort);
    ASSERT_FALSE(composed.has_value()) << what;
    EXPECT_EQ(composed.error().code, ErrorCode::kCorrupt) << what;
    EXPECT_EQ(blob_.wrong_token(), wrong_token) << what;
  }
  [[nodiscard]] bool HasCheckpoint() const { return layout_.CheckpointBytes() != 0; }

  const Config config_ = GetParam().config;
  const StateLayout layout_ = Learned(config_);
  const History history_ = HistoryOf(config_, fake::MakeTokens(kEnd), {64, kShort, kEnd});
  const History::State& end_ = history_.at.at(kEnd);
  StateBlob blob_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, StateDamageTest, ::testing::ValuesIn(AllKinds()), KindName);

TEST_P(StateDamageTest, CapturesCutOrStretched) {
  for (const bool whole : {true, false}) {
    const Bytes& good = whole ? end_.whole.blob : end_.partial.blob;
    const bool kv_alone = !whole && !HasCheckpoint();  // Its "partial" state is a whole one.
    ASSERT_EQ(Check(good, kEnd, whole).has_value(), !kv_alone);
    for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
      // A copy of just that size, so that AddressSanitizer sees a read beyond it.
      const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes));
      if (!kv_alone) {
        ExpectCorrupt(Check(cut, kEnd, whole), "cut at " + std::to_string(bytes));
      }
    }
    for (const std::size_t more : {1U, 4U, 8U, 12U, 100U}) {
      Bytes longer = good;
      longer.resize(longer.size() + more);
      ExpectCorrupt(Check(longer, kEnd, whole), "longer by " + std::to_string(more));
    }
  }
}

TEST_P(StateDamageTest, CapturesOfAnotherKindOrLayout) {
  if (end_.whole.blob != end_.partial.blob) {
    ExpectCorrupt(Check(end_.whole.blob, kEnd, false), "whole as partial");
    ExpectCorrupt(Check(end_.partial.blob, kEnd, true), "partial as whole");
  }
  const auto refuses = [&](const char* what, auto change) {
    Config other = config_;
    change(other);
    const History foreign = HistoryOf(other, fake::MakeTokens(kEnd), {64, kShort, kEnd});
    if (foreign.at.at(kEnd).whole.blob != end_.whole.blob) {
      ExpectCorrupt(Check(foreign.at.at(kEnd).whole.blob, kEnd, true), what);
    }
  };
  const auto both = [](Config& c, auto change) { change(c.attention), change(c.window); };
  refuses("type", [&](Config& c) { both(c, [](auto& shape) { shape.type_k = kBF16; }); });
  refuses("rows", [&](Config& c) { both(c, [](auto& shape) { shape.key_bytes += 2; }); });
  refuses("values", [&](Config& c) { both(c, [](auto& shape) { shape.value_bytes += 2; }); });
  refuses("layers", [&](Config& c) {
    both(c, [](auto& shape) { shape.layers += shape.layers == 0 ? 0 : 1; });
  });
  refuses("transposed",
          [&](Config& c) { both(c, [](auto& shape) { shape.transposed = !shape.transposed; }); });
  refuses("extension", [&](Config& c) {
    both(c, [](auto& shape) { shape.extension_bytes = 12 - shape.extension_bytes; });
  });
  refuses("streams", [](Config& c) { c.n_seq_max += 1; });
  refuses("recurrent rows", [](Config& c) { c.recurrent.r_bytes += 4; });
  refuses("recurrent layers", [](Config& c) { c.recurrent.all_layers += 1; });
}

/// All of what stands in a sequence's stream once more, in the next one.
TEST(StateDamage, ASequenceInTwoStreams) {
  Config config = fake::AttentionOnly();
  config.n_seq_max = 2;
  const StateLayout layout = Learned(config);
  const History history = HistoryOf(config, fake::MakeTokens(kShort), {kShort});
  const Bytes& good = history.at.at(kShort).whole.blob;
  ASSERT_TRUE(ParseState(layout, good, true).has_value());
  const std::ptrdiff_t first = kBlobHeaderBytes + 4;  // Behind the number of streams.
  Bytes twice(good.begin(), good.end() - 4);
  twice.insert(twice.end(), good.begin() + first, good.end() - 4);
  EXPECT_FALSE(ParseState(layout, twice, true).has_value());
  // In the second one alone it may stand.
  Bytes second(good.begin(), good.begin() + first);
  second.resize(second.size() + 4);
  second.insert(second.end(), good.begin() + first, good.end() - 4);
  const auto view = ParseState(layout, second, true);
  ASSERT_TRUE(view.has_value()) << ToString(view.error());
  EXPECT_TRUE(CheckComplete(layout, *view, kShort, true).has_value());
}

TEST_P(StateDamageTest, CapturesOfAnotherPosition) {
  for (const std::uint32_t tokens : {0U, 1U, kShort, kEnd - 1, kEnd + 1, UINT32_MAX}) {
    ExpectCorrupt(Check(end_.whole.blob, tokens, true), std::to_string(tokens));
    if (HasCheckpoint()) {
      const auto view = ParseState(layout_, end_.partial.blob, false);
      ASSERT_TRUE(view.has_value());
      Bytes object(layout_.CheckpointBytes());
      ExpectCorrupt(CopyCheckpoint(layout_, *view, tokens, object), std::to_string(tokens));
    }
  }
}

TEST_P(StateDamageTest, EveryFlippedBitOfACapturesStructure) {
  for (const bool whole : {true, false}) {
    Writer state = whole ? end_.whole : end_.partial;
    if (!whole && !HasCheckpoint()) {
      continue;
    }
    for (std::size_t i = 0; i < state.blob.size(); ++i) {
      for (int bit = 0; bit < 8 && state.structure[i]; ++bit) {
        state.blob[i] ^= std::byte{1} << bit;
        ExpectCorrupt(Check(state.blob, kEnd, whole),
                      "bit " + std::to_string(bit) + " of byte " + std::to_string(i));
        state.blob[i] ^= std::byte{1} << bit;
      }
    }
    state.blob[PayloadByte(state)] ^= std::byte{1};
    EXPECT_TRUE(Check(state.blob, kEnd, whole).has_value()) << "rows are checked by digests only";
  }
}

TEST_P(StateDamageTest, CountsMadeUpToHurt) {
  const LearnBlobs two = BlobsOfTwo(config_);
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{1} << 20U, std::uint64_t{INT32_MAX},
        std::uint64_t{UINT32_MAX}, std::uint64_t{1} << 63U, UINT64_MAX, UINT64_MAX / 12}) {
    const std::size_t width = value > UINT32_MAX ? 8 : 4;
    for (std::size_t i = 0; i + width <= end_.whole.blob.size(); i += 4) {
      Bytes blob = end_.whole.blob;
      std::memcpy(blob.data() + i, &value, width);
      largest_allocation = 0;
      const Status checked = Check(blob, kEnd, true);
      EXPECT_LE(largest_allocation, 2 * blob.size() + 4096) << value << " at " << i;
      bool structure = false;
      for (std::size_t at = i; at < i + width; ++at) {
        structure |= end_.whole.structure[at] && blob[at] != end_.whole.blob[at];
      }
      if (structure) {
        ExpectCorrupt(checked, std::to_string(value) + " at " + std::to_string(i));
      }
    }
    for (std::size_t i = 0; i + width <= two.whole.size(); i += 4) {
      LearnBlobs bad = two;
      std::memcpy(bad.whole.data() + i, &value, width);
      if (i + width <= bad.partial.size()) {
        std::memcpy(bad.partial.data() + i, &value, width);
      }
      largest_allocation = 0;
      static_cast<void>(Learn(config_, bad));
      EXPECT_LE(largest_allocation, 2 * two.whole.size() + 4096) << value << " at " << i;
    }
  }
}

TEST_P(StateDamageTest, KvThatIsMissingOrOfOtherTokens) {
  if (!layout_.attention) {
    ASSERT_TRUE(blob_.Begin(layout_, kShort, false).has_value());
    EXPECT_TRUE(blob_.KvTarget(0, kShort).empty());
    return;
  }
  const Objects good = Good(kShort);
  const std::pair first{0U, 64U};
  const std::pair tail{64U, kShort};
  for (const auto& range : {first, tail}) {
    Objects missing = good;
    missing.kv.erase(range);
    ExpectRefused(missing, range.first, "missing");
  }
  // The next block, of the same length.
  const auto view = ParseState(layout_, end_.whole.blob, true);
  ASSERT_TRUE(view.has_value());
  Objects other = good;
  CopyKv(layout_, *view, 64, 128, other.kv[first]);
  ExpectRefused(other, 0U, "another block");
  other = good;
  CopyKv(layout_, *view, 65, kShort + 1, other.kv[tail]);
  ExpectRefused(other, 64U, "one token further");
  // Every bit of every position.
  for (const auto& range : {first, tail}) {
    for (std::uint32_t i = 0; i < (range.second - range.first) * 32; ++i) {
      Objects flipped = good;
      flipped.kv[range][i / 8] ^= std::byte{1} << (i % 8);
      ExpectRefused(flipped, range.first + i / 32, "bit " + std::to_string(i));
    }
  }
}

TEST_P(StateDamageTest, CheckpointsThatAreMissingOrOfOtherPositions) {
  if (!HasCheckpoint()) {
    return;
  }
  Objects bad = Good(kShort);
  bad.checkpoint.clear();
  ExpectRefused(bad, std::nullopt, "missing");
  bad.checkpoint = Good(64).checkpoint;
  ExpectRefused(bad, std::nullopt, "earlier");
  bad.checkpoint = Good(kEnd).checkpoint;
  ExpectRefused(bad, std::nullopt, "later");
  // Even under the right number.
  std::memcpy(bad.checkpoint.data(), &kShort, sizeof(kShort));
  ExpectRefused(bad, std::nullopt, "relabelled");
  bad.checkpoint.assign(layout_.CheckpointBytes(), std::byte{0});
  ExpectRefused(bad, std::nullopt, "zeros");
}

/// Every bit of the checkpoint's structure: its header, its windows' positions, and what stands
/// between the recurrent part's rows.
TEST_P(StateDamageTest, EveryFlippedBitOfACheckpointsStructure) {
  if (!HasCheckpoint()) {
    return;
  }
  const Objects good = Good(kShort);
  std::vector<bool> structure(good.checkpoint.size(), false);
  const std::uint32_t cells = config_.window.window_tokens == 0 ? 0 : kShort;
  ASSERT_LE(cells, config_.window.window_tokens);
  std::fill_n(structure.begin(), 8 + 4 * cells, true);
  const std::vector<bool>& partial = history_.at.at(kShort).partial.structure;
  std::copy(partial.end() - static_cast<std::ptrdiff_t>(layout_.recurrent.size()), partial.end(),
            structure.end() - static_cast<std::ptrdiff_t>(layout_.recurrent.size()));
  for (std::size_t i = 0; i < structure.size(); ++i) {
    for (int bit = 0; bit < 8 && structure[i]; ++bit) {
      Objects flipped = good;
      flipped.checkpoint[i] ^= std::byte{1} << bit;
      ExpectRefused(flipped, std::nullopt,
                    "bit " + std::to_string(bit) + " of " + std::to_string(i));
    }
  }
  for (const std::uint32_t count : {0U, 1U, 99U, 101U, 0x7FFFFFFFU, UINT32_MAX}) {
    Objects miscounted = good;
    std::memcpy(miscounted.checkpoint.data() + 4, &count, sizeof(count));
    if (count != cells) {
      largest_allocation = 0;
      ExpectRefused(miscounted, std::nullopt, std::to_string(count) + " cells");
      EXPECT_LE(largest_allocation, 8 * kMiB);
    }
  }
}

TEST_P(StateDamageTest, ThereIsNoPlaceForKvBeyondThePrefix) {
  ASSERT_TRUE(blob_.Begin(layout_, kShort, false).has_value());
  for (const auto& [from, to] : {std::pair(64U, kShort + 1),
                                 {kShort, kShort + 1},
                                 {10U, 10U},
                                 {20U, 10U},
                                 {0U, UINT32_MAX},
                                 {UINT32_MAX - 1, UINT32_MAX}}) {
    EXPECT_TRUE(blob_.KvTarget(from, to).empty()) << from << ", " << to;
  }
  EXPECT_EQ(TotalBytes(blob_.KvTarget(64, kShort)), (kShort - 64) * layout_.KvBytesPerToken());
  if (HasCheckpoint()) {
    EXPECT_EQ(TotalBytes(blob_.CheckpointTarget()), layout_.CheckpointBytes());
  }
}

}  // namespace
}  // namespace cairn::llamacpp
