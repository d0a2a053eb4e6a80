#include "libcache/connector/llamacpp/state_layout.h"

#include <algorithm>
#include <array>
#include <utility>

#include "libcache/connector/llamacpp/cursor.h"

namespace cairn::llamacpp {
namespace {

// A blob of a few tokens tells at most this much; beyond, it is not what we think it is.
constexpr std::uint32_t kMostLayers = 4096;
constexpr std::uint32_t kMostStreams = 4096;
// The lengths that llama_kv_cell_ext is known to have.
constexpr std::array<std::uint32_t, 2> kExtensions = {0, 12};

/// How a blob might be put together, beyond what MemoryKind tells.
struct Guess {
  bool attention = false;
  bool window = false;
  bool recurrent = false;
  std::uint32_t extension_bytes = 0;
  bool attention_values = false;  ///< MLA keeps none.
  bool window_values = false;
};

bool LearnRows(Cursor& cursor, std::uint32_t layers, std::uint64_t cells, bool transposed,
               std::vector<RowLayout>& rows) {
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    RowLayout row;
    row.type = cursor.Next<std::int32_t>();
    if (transposed) {
      row.row_bytes = cursor.Next<std::uint32_t>();
      row.elements = cursor.Next<std::uint32_t>();
    } else {
      row.row_bytes = cursor.Next<std::uint64_t>();
    }
    const std::uint64_t of_cell = row.row_bytes * std::max<std::uint64_t>(row.elements, 1);
    if (row.row_bytes == 0 || row.row_bytes > cursor.Left() || of_cell > cursor.Left() ||
        of_cell * cells > cursor.Left()) {
      return false;
    }
    cursor.Take(of_cell * cells);
    rows.push_back(row);
  }
  return cursor.Ok();
}

/// `tokens` cells in the first stream that has any, at positions 0 and up.
std::optional<AttentionLayout> LearnAttention(Cursor& cursor, std::uint32_t tokens,
                                              std::uint32_t extension_bytes, bool has_values) {
  AttentionLayout layout;
  layout.extension_bytes = extension_bytes;
  layout.streams = cursor.Next<std::uint32_t>();
  bool found = false;
  for (std::uint32_t stream = 0; stream < layout.streams && layout.streams <= kMostStreams;
       ++stream) {
    const auto cells = cursor.Next<std::uint32_t>();
    if (!cursor.Ok() || (cells != 0 && (found || cells != tokens))) {
      return std::nullopt;
    }
    if (cells == 0) {
      continue;
    }
    found = true;
    std::vector<bool> seen(tokens, false);
    for (std::uint32_t cell = 0; cell < cells; ++cell) {
      // A negative one is beyond all tokens, too.
      const auto position = static_cast<std::uint32_t>(cursor.Next<std::int32_t>());
      const auto sequences = cursor.Next<std::uint32_t>();
      cursor.Take(extension_bytes);
      cursor.Next<std::int32_t>();
      if (sequences != 1 || position >= tokens || seen[position]) {
        return std::nullopt;
      }
      seen[position] = true;
    }
    const auto transposed = cursor.Next<std::uint32_t>();
    layout.layers = cursor.Next<std::uint32_t>();
    layout.values_transposed = transposed == 1;
    if (transposed > 1 || layout.layers == 0 || layout.layers > kMostLayers ||
        !LearnRows(cursor, layout.layers, cells, false, layout.keys) ||
        (has_values && !LearnRows(cursor, layout.layers, cells, transposed == 1, layout.values))) {
      return std::nullopt;
    }
  }
  return found && cursor.Ok() ? std::optional(layout) : std::nullopt;
}

/// The recurrent part is a blob's last: its rows go on to the end.
bool LearnRecurrent(std::span<const std::byte> part, std::uint32_t tokens, StateLayout& layout) {
  Cursor cursor(part);
  const auto cells = cursor.Next<std::uint32_t>();
  const auto position = cursor.Next<std::int32_t>();
  const auto sequences = cursor.Next<std::uint32_t>();
  const auto transposed = cursor.Next<std::uint32_t>();
  const auto layers = cursor.Next<std::uint32_t>();
  if (cells != 1 || position != static_cast<std::int32_t>(tokens) - 1 || sequences != 0 ||
      transposed != 0 || layers == 0 || layers > kMostLayers) {
    return false;
  }
  layout.recurrent.assign(part.begin(), part.end());
  std::vector<RowLayout> rows;
  while (cursor.Ok() && !cursor.AtEnd()) {
    RowLayout row;
    row.type = cursor.Next<std::int32_t>();
    row.row_bytes = cursor.Next<std::uint64_t>();
    const std::uint64_t offset = part.size() - cursor.Left();
    if (row.row_bytes > cursor.Left()) {
      return false;
    }
    cursor.Take(row.row_bytes);
    rows.push_back(row);
    layout.recurrent_rows.emplace_back(offset, row.row_bytes);
    std::fill_n(layout.recurrent.begin() + static_cast<std::ptrdiff_t>(offset), row.row_bytes,
                std::byte{0});
  }
  // Rows of one shape for each layer's short history, then of one shape for each layer's state.
  // Anything else in between (PLE's history has a length but no type) is unknown to us, though it
  // may look like rows of no bytes while it is all zeros.
  const std::size_t half = rows.size() / 2;
  const auto alike = [&](std::size_t from, std::size_t to) {
    return std::all_of(rows.begin() + static_cast<std::ptrdiff_t>(from),
                       rows.begin() + static_cast<std::ptrdiff_t>(to),
                       [&](const RowLayout& row) { return row == rows[from]; });
  };
  return cursor.AtEnd() && half != 0 && rows.size() == 2 * half && half <= layers &&
         alike(0, half) && alike(half, rows.size());
}

bool SkipHeader(Cursor& cursor) {
  const bool magic = cursor.Next<std::uint32_t>() == kBlobMagic;
  cursor.Next<std::int32_t>();  // The sequence; llama.cpp ignores it.
  return magic && cursor.Ok();
}

/// The parts from the windows on, which are all of a partial blob.
bool LearnPartial(Cursor cursor, std::uint32_t tokens, const Guess& guess, StateLayout& layout) {
  if (guess.window) {
    layout.window = LearnAttention(cursor, tokens, guess.extension_bytes, guess.window_values);
    if (!layout.window) {
      return false;
    }
  }
  return guess.recurrent ? LearnRecurrent(cursor.Take(cursor.Left()), tokens, layout)
                         : cursor.AtEnd();
}

std::optional<StateLayout> Try(std::span<const std::byte> whole, std::span<const std::byte> partial,
                               std::uint32_t tokens, const Guess& guess,
                               std::uint32_t window_tokens) {
  StateLayout layout;
  layout.window_tokens = guess.window ? window_tokens : 0;
  Cursor in_whole(whole);
  if (!SkipHeader(in_whole)) {
    return std::nullopt;
  }
  if (guess.attention) {
    layout.attention =
        LearnAttention(in_whole, tokens, guess.extension_bytes, guess.attention_values);
    if (!layout.attention) {
      return std::nullopt;
    }
  }
  if (!LearnPartial(in_whole, tokens, guess, layout)) {
    return std::nullopt;
  }
  if (!guess.window && !guess.recurrent) {
    // With attention alone a "partial" blob is a whole one.
    if (!guess.attention ||
        !std::equal(whole.begin(), whole.end(), partial.begin(), partial.end())) {
      return std::nullopt;
    }
  } else {
    Cursor in_partial(partial);
    StateLayout of_partial;
    if (!SkipHeader(in_partial) || in_partial.Left() != in_whole.Left() ||
        !LearnPartial(in_partial, tokens, guess, of_partial) ||
        of_partial.recurrent != layout.recurrent) {
      return std::nullopt;
    }
  }
  return layout;
}

std::string TypeName(std::int32_t type) {
  switch (type) {  // ggml_type, as far as caches use them.
    case 0: return "f32";
    case 1: return "f16";
    case 2: return "q4_0";
    case 3: return "q4_1";
    case 6: return "q5_0";
    case 7: return "q5_1";
    case 8: return "q8_0";
    case 20: return "iq4_nl";
    case 30: return "bf16";
    default: return "type" + std::to_string(type);
  }
}

std::string RowsText(const std::vector<RowLayout>& rows) {
  std::string text;
  for (std::size_t i = 0; i < rows.size();) {
    std::size_t run = 1;
    while (i + run < rows.size() && rows[i + run] == rows[i]) {
      ++run;
    }
    text += (text.empty() ? "" : ",") + std::to_string(run) + "x" + TypeName(rows[i].type) + ":" +
            std::to_string(rows[i].row_bytes);
    if (rows[i].elements != 0) {
      text += "*" + std::to_string(rows[i].elements);
    }
    i += run;
  }
  return text;
}

std::string AttentionText(const AttentionLayout& layout) {
  return "extension=" + std::to_string(layout.extension_bytes) +
         " transposed=" + std::to_string(layout.values_transposed ? 1 : 0) +
         " k=" + RowsText(layout.keys) + " v=" + RowsText(layout.values);
}

std::vector<RowLayout> RecurrentRows(const StateLayout& layout) {
  std::vector<RowLayout> rows;
  for (const auto& [offset, bytes] : layout.recurrent_rows) {
    Cursor header{std::span(layout.recurrent).subspan(offset - 12)};  // Type and length.
    rows.push_back({.type = header.Next<std::int32_t>(), .row_bytes = bytes});
  }
  return rows;
}

/// The types that occur, each once.
std::string TypesOf(const std::vector<RowLayout>& rows) {
  std::string text;
  for (const RowLayout& row : rows) {
    const std::string name = TypeName(row.type);
    if (text.find(name) == std::string::npos) {
      text += (text.empty() ? "" : "+") + name;
    }
  }
  return text;
}

}  // namespace

std::uint64_t AttentionLayout::StoredBytesPerToken() const {
  std::uint64_t bytes = sizeof(std::int32_t) + extension_bytes;
  for (const auto* rows : {&keys, &values}) {
    for (const RowLayout& row : *rows) {
      bytes += row.row_bytes * std::max<std::uint64_t>(row.elements, 1);
    }
  }
  return bytes;
}

std::uint64_t AttentionLayout::BlobBytes(std::uint64_t cells) const {
  std::uint64_t bytes = sizeof(std::uint32_t) * (1 + std::uint64_t{streams});
  if (cells != 0) {
    const std::uint64_t row_headers = 12 * (keys.size() + values.size());
    bytes += 2 * sizeof(std::uint32_t) + row_headers +
             cells * (CellBytes() + StoredBytesPerToken() - sizeof(std::int32_t) - extension_bytes);
  }
  return bytes;
}

std::uint64_t StateLayout::KvBytesPerToken() const {
  return attention ? attention->StoredBytesPerToken() : 0;
}

std::uint64_t StateLayout::CheckpointBytes() const {
  if (!window && recurrent.empty()) {
    return 0;
  }
  const std::uint64_t in_windows =
      window ? std::uint64_t{window_tokens} * window->StoredBytesPerToken() : 0;
  return 2 * sizeof(std::uint32_t) + in_windows + recurrent.size();
}

std::string StateLayout::DTypeText() const {
  std::string text;
  const auto add = [&](const char* name, const std::string& types) {
    if (!types.empty()) {
      text += (text.empty() ? "" : ",") + std::string(name) + "=" + types;
    }
  };
  if (attention) {
    add("k", TypesOf(attention->keys));
    add("v", TypesOf(attention->values));
  }
  if (window) {
    add("window_k", TypesOf(window->keys));
    add("window_v", TypesOf(window->values));
  }
  add("state", TypesOf(RecurrentRows(*this)));
  return text;
}

std::string StateLayout::Text() const {
  std::string text = "llama.cpp/1";
  if (attention) {
    text += " attention " + AttentionText(*attention);
  }
  if (window) {
    text += " window " + std::to_string(window_tokens) + " " + AttentionText(*window);
  }
  if (!recurrent.empty()) {
    Cursor layers{std::span(recurrent).subspan(16)};
    text += " recurrent layers=" + std::to_string(layers.Next<std::uint32_t>()) + " " +
            RowsText(RecurrentRows(*this));
  }
  return text;
}

Result<StateLayout> LearnLayout(std::span<const std::byte> whole,
                                std::span<const std::byte> partial, std::uint32_t tokens,
                                const MemoryKind& kind) {
  Guess guess;
  guess.recurrent = kind.recurrent || kind.hybrid;
  for (const std::uint32_t extension : kExtensions) {
    guess.extension_bytes = extension;
    // A model that has sliding windows may keep them apart, or (all layers) have nothing else, or
    // keep all tokens all the same.
    for (const auto& [attention, window] : {std::pair(true, true), {false, true}, {true, false}}) {
      guess.attention = attention && !kind.recurrent;
      guess.window = window && kind.window_tokens != 0 && !kind.recurrent;
      for (const int values : {3, 1, 2, 0}) {
        guess.attention_values = (values & 1) != 0;
        guess.window_values = (values & 2) != 0;
        if (auto layout = Try(whole, partial, tokens, guess, kind.window_tokens)) {
          return *std::move(layout);
        }
      }
    }
  }
  return Fail(ErrorCode::kUnsupported,
              "this model keeps its state in a way that Cairn does not know (" +
                  std::to_string(whole.size()) + " and " + std::to_string(partial.size()) +
                  " bytes for " + std::to_string(tokens) + " tokens)");
}

}  // namespace cairn::llamacpp
