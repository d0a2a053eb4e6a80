#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "libcache/connector/llamacpp/state_blob.h"
#include "tests/unit/libcache/connector/llamacpp/kinds.h"

namespace cairn::llamacpp {

inline constexpr std::uint32_t kBlockTokens = 64;

/// What Cairn stores of one boundary.
struct Objects {
  std::map<std::pair<std::uint32_t, std::uint32_t>, fake::Bytes> kv;  ///< Of tokens [from, to).
  fake::Bytes checkpoint;                                             ///< Empty: there is none.
};

/// Cuts what is stored for a boundary at `position` out of a later whole state, and of the partial
/// state at it.
inline Objects Cut(const StateLayout& layout, std::span<const std::byte> whole,
                   std::uint32_t whole_tokens, std::span<const std::byte> partial,
                   std::uint32_t position) {
  Objects objects;
  if (layout.attention) {
    const auto view = ParseState(layout, whole, true);
    EXPECT_TRUE(view.has_value()) << ToString(view.error());
    const Status complete = CheckComplete(layout, *view, whole_tokens, true);
    EXPECT_TRUE(complete.has_value()) << ToString(complete.error());
    for (std::uint32_t from = 0; from < position; from += kBlockTokens) {
      const std::uint32_t to = std::min(from + kBlockTokens, position);
      fake::Bytes& object = objects.kv[{from, to}];
      object.resize((to - from) * layout.KvBytesPerToken());
      CopyKv(layout, *view, from, to, object);
    }
  }
  if (layout.CheckpointBytes() != 0) {
    const auto view = ParseState(layout, partial, false);
    EXPECT_TRUE(view.has_value()) << ToString(view.error());
    objects.checkpoint.resize(layout.CheckpointBytes());
    const Status copied = CopyCheckpoint(layout, *view, position, objects.checkpoint);
    EXPECT_TRUE(copied.has_value()) << ToString(copied.error());
  }
  return objects;
}

inline void Scatter(std::span<const std::byte> object, Pieces pieces) {
  ASSERT_EQ(TotalBytes(pieces), object.size());
  for (const std::span<std::byte> piece : pieces) {
    std::copy_n(object.begin(), piece.size(), piece.begin());
    object = object.subspan(piece.size());
  }
}

/// Puts a blob together as the connector does.
inline Result<fake::Bytes> Compose(StateBlob& blob, const StateLayout& layout,
                                   const Objects& objects, std::uint32_t position,
                                   bool fill_windows = false) {
  EXPECT_TRUE(blob.Begin(layout, position, fill_windows).has_value());
  for (const auto& [range, object] : objects.kv) {
    Scatter(object, blob.KvTarget(range.first, range.second));
  }
  if (!objects.checkpoint.empty()) {
    Scatter(objects.checkpoint, blob.CheckpointTarget());
  }
  const auto finished = blob.Finish();
  if (!finished) {
    return Fail(finished.error());
  }
  return fake::Bytes(finished->begin(), finished->end());
}

/// A context that has come to `tokens` tokens, and its states on the way.
struct History {
  struct State {
    fake::Writer whole;
    fake::Writer partial;
  };
  std::map<std::uint32_t, State> at;
  std::uint64_t logits = 0;
};
inline History HistoryOf(const fake::Config& config, std::span<const Token> tokens,
                         const std::vector<std::uint32_t>& stops) {
  History run;
  fake::FakeContext context(config);
  for (const std::uint32_t stop : stops) {
    fake::Prefill(context, 0, tokens, stop);
    run.at[stop] = {.whole = context.Save(0, kWholeState),
                    .partial = context.Save(0, kPartialState)};
  }
  run.logits = context.Logits(0);
  return run;
}

}  // namespace cairn::llamacpp
