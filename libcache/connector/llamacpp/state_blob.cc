#include "libcache/connector/llamacpp/state_blob.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "libcache/base/check.h"
#include "libcache/base/endian.h"
#include "libcache/connector/llamacpp/cursor.h"

namespace cairn::llamacpp {
namespace {

constexpr std::size_t kPositionBytes = sizeof(Position);
// In front of a checkpoint's parts: its position and the number of cells in its windows.
constexpr std::size_t kCheckpointHeaderBytes = 2 * sizeof(std::uint32_t);

tl::unexpected<Error> Wrong(std::string what) {
  return Fail(ErrorCode::kCorrupt, "llama.cpp state: " + std::move(what));
}

std::uint64_t BytesOf(const RowLayout& row) {
  return row.row_bytes * std::max<std::uint64_t>(row.elements, 1);
}

bool TakeRows(Cursor& cursor, const std::vector<RowLayout>& rows, bool transposed,
              std::uint64_t cells, std::vector<std::span<const std::byte>>& out) {
  for (const RowLayout& row : rows) {
    const bool same = cursor.Next<std::int32_t>() == row.type &&
                      (transposed ? cursor.Next<std::uint32_t>() == row.row_bytes &&
                                        cursor.Next<std::uint32_t>() == row.elements
                                  : cursor.Next<std::uint64_t>() == row.row_bytes);
    if (!same) {
      return false;
    }
    out.push_back(cursor.Take(BytesOf(row) * cells));
  }
  return cursor.Ok();
}

/// False if the part is not laid out as it should be.
bool TakeAttention(Cursor& cursor, const AttentionLayout& layout, AttentionView& view) {
  if (cursor.Next<std::uint32_t>() != layout.streams) {
    return false;
  }
  for (std::uint32_t stream = 0; stream < layout.streams; ++stream) {
    const auto cells = cursor.Next<std::uint32_t>();
    if (cells == 0) {
      continue;
    }
    view.cells = cursor.Take(cells * layout.CellBytes());
    if (!cursor.Ok() || !view.positions.empty()) {
      return false;  // A sequence lies in one stream.
    }
    view.positions.resize(cells);
    for (std::uint32_t cell = 0; cell < cells; ++cell) {
      view.positions[cell] = LoadLe<Position>(view.cells, cell * layout.CellBytes());
      // Of one sequence's state each cell names just that one; more would be longer.
      if (LoadLe<std::uint32_t>(view.cells, cell * layout.CellBytes() + kPositionBytes) != 1) {
        return false;
      }
    }
    if (cursor.Next<std::uint32_t>() != (layout.values_transposed ? 1U : 0U) ||
        cursor.Next<std::uint32_t>() != layout.layers ||
        !TakeRows(cursor, layout.keys, false, cells, view.keys) ||
        !TakeRows(cursor, layout.values, layout.values_transposed, cells, view.values)) {
      return false;
    }
  }
  return cursor.Ok();
}

/// Whether `part` has the shape of the layout's recurrent part; sets the position it is at.
bool CheckRecurrent(const StateLayout& layout, std::span<const std::byte> part,
                    Position& position) {
  if (part.size() != layout.recurrent.size()) {
    return false;
  }
  // All but the rows themselves and the position must be as learned.
  constexpr std::size_t kPositionAt = 4;
  const auto same = [&](std::size_t from, std::size_t to) {
    return std::memcmp(part.data() + from, layout.recurrent.data() + from, to - from) == 0;
  };
  position = LoadLe<Position>(part, kPositionAt);
  std::size_t done = kPositionAt + kPositionBytes;
  bool fits = same(0, kPositionAt);
  for (const auto& [offset, bytes] : layout.recurrent_rows) {
    fits = fits && same(done, offset);
    done = offset + bytes;
  }
  return fits && done == part.size();
}

/// Calls `body(cell, count, token)` for runs of cells that hold consecutive tokens of [from, to).
template <class Body>
void ForRuns(const AttentionView& view, std::uint32_t from, std::uint32_t to, const Body& body) {
  const std::vector<Position>& positions = view.positions;
  // Nearly always a token's cell is as far in as its position is beyond the first one's.
  const auto ordered_at = [&](std::uint32_t token) {
    const auto cell = static_cast<std::size_t>(static_cast<Position>(token) - positions.front());
    return cell < positions.size() && positions[cell] == static_cast<Position>(token);
  };
  bool ordered = !positions.empty() && positions.front() <= static_cast<Position>(from);
  for (std::uint32_t token = from; ordered && token < to; ++token) {
    ordered = ordered_at(token);
  }
  if (ordered) {
    body(from - static_cast<std::uint32_t>(positions.front()), to - from, from);
    return;
  }
  for (std::size_t cell = 0; cell < positions.size(); ++cell) {
    const auto token = static_cast<std::uint32_t>(positions[cell]);
    if (token >= from && token < to) {
      body(static_cast<std::uint32_t>(cell), 1U, token);
    }
  }
}

/// KV of tokens [from, to) as it is stored: positions, extensions, keys and values by layer.
void CopyAttention(const AttentionLayout& layout, const AttentionView& view, std::uint32_t from,
                   std::uint32_t to, std::span<std::byte> object) {
  const std::size_t tokens = to - from;
  const std::size_t cells = view.positions.size();
  CAIRN_CHECK(object.size() == tokens * layout.StoredBytesPerToken());
  ForRuns(view, from, to, [&](std::uint32_t cell, std::uint32_t count, std::uint32_t token) {
    std::byte* out = object.data();
    const std::size_t at = token - from;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::byte* const meta = view.cells.data() + (cell + i) * layout.CellBytes();
      std::memcpy(out + (at + i) * kPositionBytes, meta, kPositionBytes);
      std::memcpy(out + tokens * kPositionBytes + (at + i) * layout.extension_bytes,
                  meta + 2 * sizeof(std::uint32_t), layout.extension_bytes);
    }
    out += tokens * (kPositionBytes + layout.extension_bytes);
    const auto copy = [&](const RowLayout& row, std::span<const std::byte> rows) {
      // Transposed, a row holds one element of all cells, not all elements of one cell.
      const std::size_t lines = std::max<std::size_t>(row.elements, 1);
      for (std::size_t line = 0; line < lines; ++line) {
        std::memcpy(out + (line * tokens + at) * row.row_bytes,
                    rows.data() + (line * cells + cell) * row.row_bytes, count * row.row_bytes);
      }
      out += tokens * BytesOf(row);
    };
    for (std::size_t i = 0; i < layout.keys.size(); ++i) {
      copy(layout.keys[i], view.keys[i]);
    }
    for (std::size_t i = 0; i < layout.values.size(); ++i) {
      copy(layout.values[i], view.values[i]);
    }
  });
}

/// Each position of [first, end) once, in whatever order.
bool Covers(const AttentionView& view, std::uint32_t first, std::uint32_t end) {
  if (view.positions.size() != end - first) {
    return false;
  }
  std::vector<bool> seen(end - first, false);
  for (const Position position : view.positions) {
    const auto at = static_cast<std::uint32_t>(position) - first;
    if (position < 0 || at >= seen.size() || seen[at]) {
      return false;
    }
    seen[at] = true;
  }
  return true;
}

/// Appends to a blob in the making.
class Writer {
 public:
  explicit Writer(std::span<std::byte> blob) : blob_(blob) {}
  template <class T>
  void Put(T value) {
    StoreLe(blob_, at_, value);
    at_ += sizeof(T);
  }
  std::span<std::byte> Leave(std::size_t bytes) {
    const auto room = blob_.subspan(at_, bytes);
    at_ += bytes;
    return room;
  }
  [[nodiscard]] std::size_t at() const { return at_; }

 private:
  std::span<std::byte> blob_;
  std::size_t at_ = 0;
};

void PutRowHeader(Writer& writer, const RowLayout& row, bool transposed) {
  writer.Put(row.type);
  if (transposed) {
    writer.Put(static_cast<std::uint32_t>(row.row_bytes));
    writer.Put(row.elements);
  } else {
    writer.Put(row.row_bytes);
  }
}

/// Writes all of an attention part but what is read from objects: `cell(i, meta)` fills the
/// metadata of cell i, `rows(bytes, row)` takes the place of one tensor's rows.
template <class Cell, class Rows>
void PutAttention(Writer& writer, const AttentionLayout& layout, std::uint32_t cells,
                  const Cell& cell, const Rows& rows) {
  writer.Put(layout.streams);
  // Only one stream may have cells; which one llama.cpp does not ask.
  writer.Put(cells);
  if (cells != 0) {
    for (std::uint32_t i = 0; i < cells; ++i) {
      cell(i, writer.Leave(layout.CellBytes()));
    }
    writer.Put(std::uint32_t{layout.values_transposed});
    writer.Put(layout.layers);
    for (const RowLayout& row : layout.keys) {
      PutRowHeader(writer, row, false);
      rows(writer.Leave(cells * BytesOf(row)), row);
    }
    for (const RowLayout& row : layout.values) {
      PutRowHeader(writer, row, layout.values_transposed);
      rows(writer.Leave(cells * BytesOf(row)), row);
    }
  }
  for (std::uint32_t stream = 1; stream < layout.streams; ++stream) {
    writer.Put(std::uint32_t{0});
  }
}

void PutCell(std::span<std::byte> meta, Position position, std::span<const std::byte> extension) {
  StoreLe(meta, 0, position);
  StoreLe(meta, 4, std::uint32_t{1});
  std::copy(extension.begin(), extension.end(), meta.begin() + 8);
  StoreLe(meta, 8 + extension.size(), SequenceId{0});  // Ignored.
}

}  // namespace

Result<StateView> ParseState(const StateLayout& layout, std::span<const std::byte> blob,
                             bool whole) {
  StateView view;
  Cursor cursor(blob);
  if (cursor.Next<std::uint32_t>() != kBlobMagic) {
    return Wrong("not a state");
  }
  cursor.Next<SequenceId>();
  if (whole && layout.attention && !TakeAttention(cursor, *layout.attention, view.attention)) {
    return Wrong("the attention cache is not laid out as this context's");
  }
  if (layout.window && !TakeAttention(cursor, *layout.window, view.window)) {
    return Wrong("the sliding windows are not laid out as this context's");
  }
  if (!layout.recurrent.empty()) {
    view.recurrent = cursor.Take(layout.recurrent.size());
    if (!CheckRecurrent(layout, view.recurrent, view.last_position)) {
      return Wrong("the recurrent state is not laid out as this context's");
    }
  }
  if (!cursor.AtEnd()) {
    return Wrong("it has another length than its layout says");
  }
  return view;
}

Status CheckComplete(const StateLayout& layout, const StateView& view, std::uint32_t tokens,
                     bool whole, bool filled_windows) {
  if (whole && layout.attention && !Covers(view.attention, 0, tokens)) {
    return Wrong("no KV of exactly the first " + std::to_string(tokens) + " tokens");
  }
  if (layout.window) {
    const std::size_t cells = view.window.positions.size();
    const std::uint32_t most = filled_windows ? tokens : std::min(layout.window_tokens, tokens);
    if (cells == 0 || cells > most ||
        !Covers(view.window, tokens - static_cast<std::uint32_t>(cells), tokens)) {
      return Wrong("the sliding windows hold " + std::to_string(cells) +
                   " cells, which are not the last tokens before " + std::to_string(tokens));
    }
  }
  if (!layout.recurrent.empty() && view.last_position != static_cast<Position>(tokens) - 1) {
    return Wrong("the recurrent state is that after " +
                 std::to_string(std::int64_t{view.last_position} + 1) + " tokens, not " +
                 std::to_string(tokens));
  }
  return {};
}

void CopyKv(const StateLayout& layout, const StateView& view, std::uint32_t from, std::uint32_t to,
            std::span<std::byte> object) {
  CAIRN_CHECK(layout.attention.has_value());
  CopyAttention(*layout.attention, view.attention, from, to, object);
}

Status CopyCheckpoint(const StateLayout& layout, const StateView& view, std::uint32_t position,
                      std::span<std::byte> object) {
  CAIRN_CHECK(object.size() == layout.CheckpointBytes());
  if (Status complete = CheckComplete(layout, view, position, false); !complete) {
    return complete;
  }
  const auto cells = static_cast<std::uint32_t>(view.window.positions.size());
  StoreLe(object, 0, position);
  StoreLe(object, 4, cells);
  const auto windows = object.subspan(
      kCheckpointHeaderBytes, object.size() - kCheckpointHeaderBytes - layout.recurrent.size());
  if (layout.window) {
    const std::size_t used = cells * layout.window->StoredBytesPerToken();
    CopyAttention(*layout.window, view.window, position - cells, position, windows.first(used));
    std::fill(windows.begin() + static_cast<std::ptrdiff_t>(used), windows.end(), std::byte{0});
  }
  std::copy(view.recurrent.begin(), view.recurrent.end(),
            object.end() - static_cast<std::ptrdiff_t>(layout.recurrent.size()));
  return {};
}

Status StateBlob::Begin(const StateLayout& layout, std::uint32_t tokens, bool fill_windows) {
  layout_ = &layout;
  tokens_ = tokens;
  fill_windows_ = fill_windows;
  wrong_token_.reset();
  // The windows' cells are known once the checkpoint is read: room for as many as there may be.
  blob_bytes_ = kBlobHeaderBytes + layout.recurrent.size() +
                (layout.attention ? layout.attention->BlobBytes(tokens) : 0) +
                (layout.window ? layout.window->BlobBytes(
                                     fill_windows ? tokens : std::min(layout.window_tokens, tokens))
                               : 0);
  if (blob_.size() < blob_bytes_) {
    blob_ = Buffer();  // First: two at a time are not needed.
    blob_ = Buffer(blob_bytes_ + blob_bytes_ / 4);
    if (blob_.size() == 0) {
      return Fail(ErrorCode::kOverloaded,
                  "no memory for a state of " + std::to_string(blob_bytes_) + " bytes");
    }
  }
  positions_.assign(layout.attention ? tokens : 0, -1);
  extensions_.resize(layout.attention ? tokens * layout.attention->extension_bytes : 0);
  checkpoint_.assign(layout.window ? layout.CheckpointBytes() : kCheckpointHeaderBytes,
                     std::byte{0xFF});
  // The recurrent part must not be what an earlier blob left there.
  const auto old = blob_.span().subspan(blob_bytes_ - layout.recurrent.size());
  std::fill_n(old.begin(), std::min<std::size_t>(old.size(), 8), std::byte{0xFF});
  return {};
}

Pieces StateBlob::KvTarget(std::uint32_t from, std::uint32_t to) {
  pieces_.clear();
  if (!layout_->attention || from >= to || to > tokens_) {
    return pieces_;
  }
  const AttentionLayout& layout = *layout_->attention;
  const std::size_t tokens = to - from;
  pieces_.push_back(std::as_writable_bytes(std::span(positions_).subspan(from, tokens)));
  if (layout.extension_bytes != 0) {
    pieces_.push_back(
        std::span(extensions_)
            .subspan(std::size_t{from} * layout.extension_bytes, tokens * layout.extension_bytes));
  }
  const std::span<std::byte> blob = blob_.span();
  std::size_t at = kBlobHeaderBytes + 2 * sizeof(std::uint32_t) + tokens_ * layout.CellBytes() +
                   2 * sizeof(std::uint32_t);
  constexpr std::size_t kRowHeaderBytes = 12;
  for (const auto* rows : {&layout.keys, &layout.values}) {
    for (const RowLayout& row : *rows) {
      at += kRowHeaderBytes;
      const std::size_t lines = std::max<std::size_t>(row.elements, 1);
      for (std::size_t line = 0; line < lines; ++line) {
        pieces_.push_back(
            blob.subspan(at + (line * tokens_ + from) * row.row_bytes, tokens * row.row_bytes));
      }
      at += tokens_ * BytesOf(row);
    }
  }
  return pieces_;
}

Pieces StateBlob::CheckpointTarget() {
  pieces_.clear();
  pieces_.emplace_back(checkpoint_);
  if (!layout_->window && !layout_->recurrent.empty()) {  // Straight to the end of the blob.
    pieces_.push_back(
        blob_.span().subspan(blob_bytes_ - layout_->recurrent.size(), layout_->recurrent.size()));
  }
  return pieces_;
}

Result<std::span<const std::byte>> StateBlob::Finish() {
  Writer writer(blob_.span());
  writer.Put(kBlobMagic);
  writer.Put(SequenceId{0});  // Ignored.
  if (layout_->attention) {
    for (std::uint32_t i = 0; i < tokens_; ++i) {
      if (positions_[i] != static_cast<Position>(i)) {
        wrong_token_ = i;
        return Wrong("the KV of token " + std::to_string(i) + " is that of token " +
                     std::to_string(positions_[i]));
      }
    }
    const std::size_t extension = layout_->attention->extension_bytes;
    PutAttention(
        writer, *layout_->attention, tokens_,
        [&](std::uint32_t i, std::span<std::byte> meta) {
          PutCell(meta, positions_[i], std::span(extensions_).subspan(i * extension, extension));
        },
        [](std::span<std::byte>, const RowLayout&) {});
  }
  if (layout_->CheckpointBytes() != 0) {
    const auto position = LoadLe<std::uint32_t>(checkpoint_, 0);
    const auto cells = LoadLe<std::uint32_t>(checkpoint_, 4);
    if (position != tokens_) {
      return Wrong("the checkpoint is for position " + std::to_string(position) + ", not " +
                   std::to_string(tokens_));
    }
    if (layout_->window ? cells == 0 || cells > std::min(tokens_, layout_->window_tokens)
                        : cells != 0) {
      return Wrong("the checkpoint's windows claim " + std::to_string(cells) + " cells");
    }
    if (layout_->window) {
      PutWindow(writer.at(), cells);
    }
  }
  const std::span<const std::byte> blob = blob_.span().first(blob_bytes_);
  // What was put together must read as what it claims to be: the same check that a capture passes.
  const auto view = ParseState(*layout_, blob, true);
  if (!view) {
    return Fail(view.error());
  }
  if (const Status complete = CheckComplete(*layout_, *view, tokens_, true, fill_windows_);
      !complete) {
    return Fail(complete.error());
  }
  return blob;
}

/// Writes the windows at `at`, and the recurrent part behind them.
void StateBlob::PutWindow(std::size_t at, std::uint32_t cells) {
  const AttentionLayout& layout = *layout_->window;
  const std::span<const std::byte> stored =
      std::span<const std::byte>(checkpoint_).subspan(kCheckpointHeaderBytes);
  std::size_t next = cells * (kPositionBytes + layout.extension_bytes);
  const std::uint32_t empty = fill_windows_ ? tokens_ - cells : 0;
  const std::vector<std::byte> no_extension(layout.extension_bytes);
  Writer writer(blob_.span().subspan(at));
  PutAttention(
      writer, layout, empty + cells,
      [&](std::uint32_t i, std::span<std::byte> meta) {
        if (i < empty) {
          PutCell(meta, static_cast<Position>(i), no_extension);
          return;
        }
        const std::size_t at_cell = i - empty;
        PutCell(meta, LoadLe<Position>(stored, at_cell * kPositionBytes),
                stored.subspan(cells * kPositionBytes + at_cell * layout.extension_bytes,
                               layout.extension_bytes));
      },
      [&](std::span<std::byte> place, const RowLayout& row) {
        const std::size_t lines = std::max<std::size_t>(row.elements, 1);
        const std::size_t line_bytes = place.size() / lines;
        const std::size_t empty_bytes = empty * row.row_bytes;
        for (std::size_t line = 0; line < lines; ++line) {
          const auto of_line = place.subspan(line * line_bytes, line_bytes);
          std::fill_n(of_line.begin(), empty_bytes, std::byte{0});
          std::copy_n(stored.begin() + static_cast<std::ptrdiff_t>(next), line_bytes - empty_bytes,
                      of_line.begin() + static_cast<std::ptrdiff_t>(empty_bytes));
          next += line_bytes - empty_bytes;
        }
      });
  const auto recurrent =
      std::span<const std::byte>(checkpoint_)
          .subspan(checkpoint_.size() - layout_->recurrent.size(), layout_->recurrent.size());
  std::copy(recurrent.begin(), recurrent.end(), writer.Leave(recurrent.size()).begin());
  blob_bytes_ = at + writer.at();
}

}  // namespace cairn::llamacpp
