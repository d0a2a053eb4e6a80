#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "libcache/base/digest.h"
#include "libcache/base/result.h"
#include "libcache/connector/llamacpp/abi.h"
#include "libcache/connector/llamacpp/buffer.h"
#include "libcache/connector/llamacpp/state_layout.h"

namespace cairn::llamacpp {

/// Where one attention cache's cells and rows are in a blob. Points into it.
struct AttentionView {
  std::vector<Position> positions;  ///< Of each cell, in the blob's order.
  std::span<const std::byte> cells;
  std::vector<std::span<const std::byte>> keys;    ///< By layer.
  std::vector<std::span<const std::byte>> values;  ///< By layer, or none.
};

/// A state blob taken apart. Points into it.
struct StateView {
  AttentionView attention;
  AttentionView window;
  std::span<const std::byte> recurrent;
  Position last_position = -1;  ///< Of the recurrent state; -1 if there is none.
};

/// Takes a blob apart that a context of this layout has made. `whole`: with the attention of all
/// tokens. Every length is checked.
/// Errors: kCorrupt, the message says what is not as it should be.
Result<StateView> ParseState(const StateLayout& layout, std::span<const std::byte> blob,
                             bool whole);

/// Checks that the blob's state is that after exactly `tokens` tokens: KV for [0, tokens), the
/// windows up to there, the recurrent state at its end. `filled_windows`: windows may have cells of
/// more tokens than they see. Errors: kCorrupt.
Status CheckComplete(const StateLayout& layout, const StateView& view, std::uint32_t tokens,
                     bool whole, bool filled_windows = false);

/// Copies the KV of tokens [from, to) out of a complete `view` as Cairn stores it (docs/formats/
/// llamacpp.md). `object`: (to - from) * layout.KvBytesPerToken() bytes.
void CopyKv(const StateLayout& layout, const StateView& view, std::uint32_t from, std::uint32_t to,
            std::span<std::byte> object);

/// Copies a checkpoint out of a complete `view` at `position`, whole or partial.
/// `object`: layout.CheckpointBytes(). Errors: kCorrupt, if a window has more cells than it may.
Status CopyCheckpoint(const StateLayout& layout, const StateView& view, std::uint32_t position,
                      std::span<std::byte> object);

/// Puts a blob together from stored objects, each read straight to its place, for a sequence to be
/// restored at `tokens`. Memory is kept for the next one. Not thread-safe.
class StateBlob {
 public:
  /// Begins a blob. Pieces given out before are invalid. `layout` must outlive the object's use.
  /// `fill_windows`: sliding windows get cells for all tokens, empty ones for those they no longer
  /// see, so that each token is in the cell where a context that keeps all of them (swa_full) has
  /// it.
  /// Errors: kOverloaded (no memory).
  Status Begin(const StateLayout& layout, std::uint32_t tokens, bool fill_windows);
  /// Where the bytes of a KV object of tokens [from, to) go; valid until the next call.
  Pieces KvTarget(std::uint32_t from, std::uint32_t to);
  /// Where the bytes of the checkpoint go; valid until the next call.
  Pieces CheckpointTarget();
  /// Checks all that was read (each token's position, the checkpoint's, its shape) and completes
  /// the blob. Valid until the next Begin. Errors: kCorrupt: it must not be restored.
  Result<std::span<const std::byte>> Finish();
  [[nodiscard]] std::uint32_t tokens() const { return tokens_; }
  /// After an error of Finish: a token whose KV is wrong; nullopt if it is the checkpoint.
  [[nodiscard]] std::optional<std::uint32_t> wrong_token() const { return wrong_token_; }

 private:
  void PutWindow(std::size_t at, std::uint32_t cells);

  const StateLayout* layout_ = nullptr;
  std::uint32_t tokens_ = 0;
  bool fill_windows_ = false;
  Buffer blob_;
  std::size_t blob_bytes_ = 0;         // Memory is never given back, so blob_ may be larger.
  std::vector<std::byte> checkpoint_;  // Where it cannot go straight to the blob.
  std::vector<Position> positions_;
  std::optional<std::uint32_t> wrong_token_;
  std::vector<std::byte> extensions_;
  std::vector<std::span<std::byte>> pieces_;
};

}  // namespace cairn::llamacpp
