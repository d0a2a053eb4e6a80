#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcache/base/result.h"

namespace cairn::llamacpp {

/// One tensor's row: what one token (attention) or one sequence (recurrence) takes in it.
struct RowLayout {
  std::int32_t type = 0;        ///< ggml_type.
  std::uint64_t row_bytes = 0;  ///< Of one cell.
  std::uint32_t elements = 0;   ///< Transposed values only: rows of one element per cell.
  bool operator==(const RowLayout&) const = default;
};

/// How one attention cache stands in a state blob: for each cell its metadata, then per layer the
/// keys of all cells, then per layer the values.
struct AttentionLayout {
  std::uint32_t streams = 1;          ///< One per sequence, or one for all (kv_unified).
  std::uint32_t extension_bytes = 0;  ///< Per cell: 2-D position and token of M-RoPE models.
  bool values_transposed = false;     ///< Without flash attention.
  std::uint32_t layers = 0;
  std::vector<RowLayout> keys;    ///< One per layer.
  std::vector<RowLayout> values;  ///< One per layer, or none (MLA).

  /// Of one token as Cairn stores it: position, extension, keys and values.
  [[nodiscard]] std::uint64_t StoredBytesPerToken() const;
  /// Of one cell's metadata in a blob.
  [[nodiscard]] std::uint64_t CellBytes() const { return 12 + extension_bytes; }
  /// Of the cache's part of a blob that holds `cells` cells.
  [[nodiscard]] std::uint64_t BlobBytes(std::uint64_t cells) const;
};

/// What a context keeps per sequence, learned from a blob of its own. llama.cpp does not tell: a
/// blob has no version, no model and no table of contents.
struct StateLayout {
  std::optional<AttentionLayout> attention;  ///< KV of all tokens: blocks.
  std::optional<AttentionLayout> window;     ///< KV of sliding windows: part of a checkpoint.
  std::uint32_t window_tokens = 0;           ///< Most cells that a window holds.
  std::vector<std::byte> recurrent;          ///< The recurrent part of a blob, rows zeroed.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> recurrent_rows;  ///< Offset, bytes in it.

  /// Bytes that Cairn stores: per token, and per checkpoint (of fixed size;
  /// docs/formats/llamacpp.md).
  [[nodiscard]] std::uint64_t KvBytesPerToken() const;
  [[nodiscard]] std::uint64_t CheckpointBytes() const;
  /// "k=f16,v=f16,r=f32": the element types, for people and for the namespace.
  [[nodiscard]] std::string DTypeText() const;
  /// Everything of the layout that a stored object's meaning depends on, in words. Not the number
  /// of streams: objects do not depend on it.
  [[nodiscard]] std::string Text() const;
};

/// What a model says of itself, for LearnLayout.
struct MemoryKind {
  bool recurrent = false;  ///< Purely.
  bool hybrid = false;
  std::uint32_t window_tokens = 0;  ///< 0: no sliding windows.
};

/// Bytes before the first part of every blob: a magic number and the sequence.
inline constexpr std::size_t kBlobHeaderBytes = 8;
inline constexpr std::uint32_t kBlobMagic = 0xaf143cd8;

/// Finds the layout under which `whole` (all state of a sequence of `tokens` tokens, at least 2)
/// and `partial` (without the attention of all tokens) both make sense to the last byte. Errors:
/// kUnsupported if there is none: a kind of memory that Cairn does not know.
Result<StateLayout> LearnLayout(std::span<const std::byte> whole,
                                std::span<const std::byte> partial, std::uint32_t tokens,
                                const MemoryKind& kind);

}  // namespace cairn::llamacpp
