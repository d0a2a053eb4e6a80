#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <stdexcept>
#include <vector>

#include "libcache/base/digest.h"
#include "libcache/connector/llamacpp/abi.h"
#include "tests/unit/libcache/connector/llamacpp/fake_io.h"

/// The two kinds of memory that a llama_context has, cell by cell, and how they stand in a state
/// blob: src/llama-kv-cache.cpp and src/llama-memory-recurrent.cpp of llama.cpp 0.5.0. Written from
/// that source and not from the connector's, which is tested with it.
namespace cairn::llamacpp::fake {

struct AttentionShape {
  static constexpr std::uint32_t kElementBytes = 2;

  std::uint32_t layers = 0;  ///< 0: there is no such cache.
  std::uint32_t key_bytes = 24;
  std::uint32_t value_bytes = 16;  ///< 0: MLA, which keeps no values.
  std::int32_t type_k = kF16;
  std::int32_t type_v = kF16;
  bool transposed = false;
  std::uint32_t extension_bytes = 0;
  std::uint32_t window_tokens = 0;  ///< 0: all tokens are seen.

  // Layers differ, so that mixing them up shows.
  [[nodiscard]] std::uint32_t KeyBytes(std::uint32_t layer) const { return key_bytes + 8 * layer; }
  [[nodiscard]] std::uint32_t ValueBytes(std::uint32_t layer) const {
    return value_bytes == 0 ? 0 : value_bytes + 4 * layer;
  }
  [[nodiscard]] std::uint32_t RowBytes() const {
    std::uint32_t bytes = 0;
    for (std::uint32_t layer = 0; layer < layers; ++layer) {
      bytes += KeyBytes(layer) + ValueBytes(layer);
    }
    return bytes;
  }
};

/// llama_kv_cache: cells in streams, each with one token of one sequence.
class Attention {
 public:
  Attention(const AttentionShape& shape, std::uint32_t streams, std::uint32_t cells, bool shuffled)
      : shape_(shape), streams_(streams, std::vector<Cell>(cells)), shuffled_(shuffled) {}

  [[nodiscard]] Position PosMax(SequenceId sequence) const {
    Position last = -1;
    for (const Cell& cell : StreamOf(sequence)) {
      last = cell.sequence == sequence ? std::max(last, cell.position) : last;
    }
    return last;
  }
  /// What lies before `end`.
  void Remove(SequenceId sequence, Position end = std::numeric_limits<Position>::max()) {
    for (Cell& cell : StreamOf(sequence)) {
      cell = cell.sequence == sequence && cell.position < end ? Cell() : cell;
    }
  }
  /// What token `position` sees before itself, whatever the order of the cells. `by_cell`: it makes
  /// a difference in which cells tokens lie, as it does for the order of floating-point sums.
  [[nodiscard]] std::uint64_t See(SequenceId sequence, Position position, bool by_cell) const {
    std::uint64_t sum = 0;
    const std::vector<Cell>& cells = StreamOf(sequence);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const Cell& cell = cells[i];
      if (cell.sequence == sequence && cell.position < position && !Masked(cell, position)) {
        const std::uint64_t of_cell = Mix(DigestOf(cell.rows).low, DigestOf(cell.extension).low);
        sum += Mix(Mix(of_cell, static_cast<std::uint64_t>(cell.position)), by_cell ? i : 0);
      }
    }
    return sum;
  }
  /// False if there is no free cell.
  bool Add(SequenceId sequence, Position position, Token token, std::uint64_t hidden) {
    Cell* const cell = FreeCell(sequence);
    if (cell == nullptr) {
      return false;
    }
    *cell = {.position = position, .sequence = sequence, .extension = {}, .rows = {}};
    cell->rows.resize(shape_.RowBytes());
    Fill(cell->rows, hidden);
    cell->extension.resize(shape_.extension_bytes);
    const std::array<std::int32_t, 3> extension = {position, position, token};  // x, y, token.
    std::copy_n(std::as_bytes(std::span(extension)).begin(), cell->extension.size(),
                cell->extension.begin());
    return true;
  }

  void Write(Writer& out, SequenceId sequence) const {
    out.Put(static_cast<std::uint32_t>(streams_.size()));
    for (const std::vector<Cell>& stream : streams_) {
      std::vector<const Cell*> cells;
      const Position last = PosMax(sequence);
      for (const Cell& cell : stream) {
        if (cell.sequence == sequence && !Masked(cell, last)) {
          cells.push_back(&cell);
        }
      }
      out.Put(static_cast<std::uint32_t>(cells.size()));
      if (cells.empty()) {
        continue;
      }
      for (const Cell* const cell : cells) {
        out.Put(cell->position);
        out.Put(std::uint32_t{1});
        out.Rows(cell->extension);
        out.Skipped(sequence);
      }
      WriteRows(out, cells);
    }
  }
  /// Throws on what llama.cpp refuses; the sequence is empty then.
  void Read(Reader& in, SequenceId sequence) {
    try {
      in.Expect(static_cast<std::uint32_t>(streams_.size()));
      for (std::size_t stream = 0; stream < streams_.size(); ++stream) {
        if (const auto cells = in.Next<std::uint32_t>(); cells != 0) {
          ReadStream(in, sequence, cells);
        }
      }
    } catch (const std::exception&) {
      Remove(sequence);
      throw;
    }
  }

 private:
  struct Cell {
    Position position = -1;
    SequenceId sequence = -1;
    Bytes extension;
    Bytes rows;  // Keys of all layers, then values.
  };

  [[nodiscard]] const std::vector<Cell>& StreamOf(SequenceId sequence) const {
    return streams_.at(streams_.size() == 1 ? 0 : static_cast<std::size_t>(sequence));
  }
  std::vector<Cell>& StreamOf(SequenceId sequence) {
    return streams_.at(streams_.size() == 1 ? 0 : static_cast<std::size_t>(sequence));
  }
  /// llama_hparams::is_masked_swa.
  [[nodiscard]] bool Masked(const Cell& cell, Position from) const {
    return shape_.window_tokens != 0 &&
           from - cell.position >= static_cast<Position>(shape_.window_tokens);
  }
  Cell* FreeCell(SequenceId sequence) {
    std::vector<Cell>& cells = StreamOf(sequence);
    const std::size_t first = shuffled_ ? Mix(++shuffles_, 0) % cells.size() : 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (Cell& cell = cells[(first + i) % cells.size()]; cell.sequence == -1) {
        return &cell;
      }
    }
    for (Cell& cell : cells) {  // What no window sees any more.
      if (Masked(cell, PosMax(cell.sequence))) {
        return &cell;
      }
    }
    return nullptr;
  }

  void WriteRows(Writer& out, const std::vector<const Cell*>& cells) const {
    out.Put(std::uint32_t{shape_.transposed});
    out.Put(shape_.layers);
    std::size_t at = 0;
    const auto rows = [&](std::size_t bytes) {
      for (const Cell* const cell : cells) {
        out.Rows(std::span(cell->rows).subspan(at, bytes));
      }
      at += bytes;
    };
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      out.Put(shape_.type_k);
      out.Put(std::uint64_t{shape_.KeyBytes(layer)});
      rows(shape_.KeyBytes(layer));
    }
    for (std::uint32_t layer = 0; shape_.value_bytes != 0 && layer < shape_.layers; ++layer) {
      out.Put(shape_.type_v);
      if (!shape_.transposed) {
        out.Put(std::uint64_t{shape_.ValueBytes(layer)});
        rows(shape_.ValueBytes(layer));
        continue;
      }
      const std::uint32_t elements = shape_.ValueBytes(layer) / AttentionShape::kElementBytes;
      out.Put(AttentionShape::kElementBytes);
      out.Put(elements);
      for (std::uint32_t element = 0; element < elements; ++element) {
        rows(AttentionShape::kElementBytes);
      }
    }
  }
  void ReadStream(Reader& in, SequenceId sequence, std::uint32_t count) {
    Remove(sequence);
    if (count > StreamOf(sequence).size()) {
      throw std::runtime_error("not enough cells");
    }
    std::vector<Cell*> cells;
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto position = in.Next<Position>();
      in.Expect(std::uint32_t{1});
      const auto extension = in.Take(shape_.extension_bytes);
      in.Next<SequenceId>();
      Cell* const cell = FreeCell(sequence);
      if (cell == nullptr) {
        throw std::runtime_error("failed to find available cells");
      }
      *cell = {.position = position,
               .sequence = sequence,
               .extension = Bytes(extension.begin(), extension.end()),
               .rows = Bytes(shape_.RowBytes())};
      cells.push_back(cell);
    }
    ReadRows(in, cells);
  }
  void ReadRows(Reader& in, const std::vector<Cell*>& cells) const {
    in.Expect(std::uint32_t{shape_.transposed});
    in.Expect(shape_.layers);
    std::size_t at = 0;
    const auto rows = [&](std::size_t bytes) {
      for (Cell* const cell : cells) {
        const auto row = in.Take(bytes);
        std::copy(row.begin(), row.end(), cell->rows.begin() + static_cast<std::ptrdiff_t>(at));
      }
      at += bytes;
    };
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      in.Expect(shape_.type_k);
      in.Expect(std::uint64_t{shape_.KeyBytes(layer)});
      rows(shape_.KeyBytes(layer));
    }
    for (std::uint32_t layer = 0; shape_.value_bytes != 0 && layer < shape_.layers; ++layer) {
      in.Expect(shape_.type_v);
      if (!shape_.transposed) {
        in.Expect(std::uint64_t{shape_.ValueBytes(layer)});
        rows(shape_.ValueBytes(layer));
        continue;
      }
      const std::uint32_t elements = shape_.ValueBytes(layer) / AttentionShape::kElementBytes;
      in.Expect(std::uint32_t{AttentionShape::kElementBytes});
      in.Expect(elements);
      for (std::uint32_t element = 0; element < elements; ++element) {
        rows(AttentionShape::kElementBytes);
      }
    }
  }

  AttentionShape shape_;
  std::vector<std::vector<Cell>> streams_;
  bool shuffled_;
  std::uint64_t shuffles_ = 0;
};

struct RecurrentShape {
  std::uint32_t layers = 0;  ///< That have a state; 0: there is none.
  std::uint32_t r_bytes = 40;
  std::uint32_t s_bytes = 56;    ///< 0: LFM2.
  std::uint32_t ple_bytes = 0;   ///< A history in every layer that Cairn does not know of; zeros.
  std::uint32_t all_layers = 6;  ///< Of the model.
  std::uint32_t idle_bytes = 0;  ///< More, at the end of each s row; zeros that cost no time.
};

/// llama_memory_recurrent: one state per sequence.
class Recurrent {
 public:
  explicit Recurrent(const RecurrentShape& shape) : shape_(shape) {}

  [[nodiscard]] Position PosMax(SequenceId sequence) const {
    const auto state = states_.find(sequence);
    return state == states_.end() ? -1 : state->second.position;
  }
  void Remove(SequenceId sequence) { states_.erase(sequence); }
  [[nodiscard]] std::uint64_t See(SequenceId sequence) const {
    const auto state = states_.find(sequence);
    return state == states_.end() ? 0 : DigestOf(state->second.rows).low;
  }
  void Advance(SequenceId sequence, Position position, std::uint64_t hidden) {
    if (!states_.contains(sequence)) {
      states_[sequence] = Empty();
    }
    State& state = states_[sequence];
    Fill(state.rows, Mix(hidden, DigestOf(state.rows).low));
    state.position = position;
  }

  void Write(Writer& out, SequenceId sequence) const {
    const auto state = states_.find(sequence);
    const bool has = state != states_.end();
    out.Put(std::uint32_t{has});
    if (has) {
      out.Put(state->second.position);
      out.Put(std::uint32_t{0});
    }
    out.Put(std::uint32_t{0});  // Not transposed.
    out.Put(shape_.all_layers);
    std::size_t at = 0;
    const auto row = [&](std::uint64_t bytes, std::uint64_t idle) {
      out.Put(std::uint64_t{bytes + idle});
      if (has) {
        out.Rows(std::span(state->second.rows).subspan(at, bytes));
        out.Rows(Bytes(idle));
        at += bytes;
      }
    };
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      out.Put(std::int32_t{kF32});
      row(shape_.r_bytes, 0);
      if (shape_.ple_bytes != 0) {
        out.Put(std::uint64_t{shape_.ple_bytes});
        out.Rows(Bytes(shape_.ple_bytes));
      }
    }
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      out.Put(std::int32_t{kF32});
      row(shape_.s_bytes, shape_.idle_bytes);
    }
  }
  void Read(Reader& in, SequenceId sequence) {
    Remove(sequence);
    const auto cells = in.Next<std::uint32_t>();
    State state = Empty();
    if (cells > 1) {
      throw std::runtime_error("failed to find available cells");
    }
    if (cells == 1) {
      state.position = in.Next<Position>();
      in.Expect(std::uint32_t{0});
    }
    in.Expect(std::uint32_t{0});
    in.Expect(shape_.all_layers);
    std::size_t at = 0;
    for (std::uint32_t row = 0; row < 2 * shape_.layers; ++row) {
      const std::uint64_t bytes = row < shape_.layers ? shape_.r_bytes : shape_.s_bytes;
      const std::uint64_t idle = row < shape_.layers ? 0 : shape_.idle_bytes;
      in.Expect(std::int32_t{kF32});
      in.Expect(bytes + idle);
      const auto from = in.Take(cells * (bytes + idle)).first(cells * bytes);
      std::copy(from.begin(), from.end(), state.rows.begin() + static_cast<std::ptrdiff_t>(at));
      at += bytes;
    }
    if (cells == 1) {
      states_[sequence] = state;
    }
  }

 private:
  struct State {
    Position position = -1;
    Bytes rows;  // All layers' r, then their s.
  };
  [[nodiscard]] State Empty() const {
    const std::size_t bytes = std::size_t{shape_.layers} * (shape_.r_bytes + shape_.s_bytes);
    return {.position = -1, .rows = Bytes(bytes)};
  }

  RecurrentShape shape_;
  std::map<SequenceId, State> states_;
};

}  // namespace cairn::llamacpp::fake
