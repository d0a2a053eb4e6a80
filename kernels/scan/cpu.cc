#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/arith/exp2.h"
#include "kernels/launch/elements.h"
#include "kernels/launch/parts.h"
#include "kernels/launch/sequences.h"
#include "kernels/recurrent/rule.h"
#include "kernels/scan/check.h"
#include "kernels/scan/cpu_channels.h"
#include "kernels/scan/workspace.h"

// The scan on the CPU: the same chunks, the same roundings to bf16, the formulas of prepare.h and
// scan.h as plain loops. For tests and for machines without a GPU; the recurrent advance is faster.
namespace cairn::kernels {
namespace {

class HeadScan {
 public:
  HeadScan(const cairn_kernels_scan& args, int sequence, int head)
      : args_(args.of),
        head_(head),
        delta_(TraitsOf(args.of.rule).delta),
        channel_(TraitsOf(args.of.rule).channel),
        position_(args.first_position == nullptr ? 0 : args.first_position[sequence]) {
    static_cast<void>(ReadLists(args_, args_.state.slots, sequence, lists_));  // They were checked.
  }

  void Run() {
    ReadState();
    EmitUpTo(0, {.first = 0, .count = 0});
    for (std::int32_t chunk = 0, done = 0; done < lists_.length; ++chunk) {
      const ChunkRange range = RangeOf(chunk, position_, lists_.length);
      Prepare(range);
      for (int j = 0; j < args_.value_dim; ++j) {
        Column(range, j);
      }
      done = range.first + range.count;
      EmitUpTo(done, range);
      DecayTo(range.count);
      for (int j = 0; j < args_.value_dim; ++j) {
        After(range.count, j, State(j), State(j));
      }
      if (range.count > sound_) {
        std::fill_n(state_.data(), std::int64_t{args_.value_dim} * kScanKey, NanValue());
      }
    }
    if (lists_.final >= 0) {
      std::copy_n(state_.data(), std::int64_t{args_.value_dim} * kScanKey,
                  static_cast<float*>(args_.state.data) + SlotAt(args_.state, lists_.final));
    }
  }

 private:
  float* State(int column) { return state_.data() + column * kScanKey; }
  std::int64_t SlotAt(const cairn_kernels_pool& pool, std::int64_t slot) const {
    return slot * pool.slot_stride + std::int64_t{head_} * args_.value_dim * kScanKey;
  }
  void ReadState() {
    const std::int64_t elements = std::int64_t{args_.value_dim} * kScanKey;
    if (lists_.initial < 0) {
      std::fill_n(state_.data(), elements, 0.0F);
    } else {
      std::copy_n(static_cast<const float*>(args_.state.data) + SlotAt(args_.state, lists_.initial),
                  elements, state_.data());
    }
  }

  /// x of row i, and a note if it is not finite: from there on all is NaN, as in the device code.
  float Sound(float x, int i) {
    sound_ = IsFinite(x) ? sound_ : std::min(sound_, i);
    return x;
  }

  void ReadKeys(const cairn_kernels_rows& rows, const ChunkRange& range, KeyRows& to) const {
    const int key_head = head_ / (args_.value_heads / args_.key_heads);
    for (int i = 0; i < kChunk; ++i) {
      auto& row = to[static_cast<std::size_t>(i)];
      if (i >= range.count) {
        row.fill(0.0F);
        continue;
      }
      const std::int64_t at = (std::int64_t{lists_.begin} + range.first + i) * rows.token_stride +
                              key_head * rows.head_stride;
      float sum = 0.0F;
      for (int k = 0; k < kScanKey; ++k) {
        const float x = ReadElement(rows, at + k);
        row[static_cast<std::size_t>(k)] = x;
        sum += x * x;
      }
      const float factor = args_.normalize != 0 ? 1.0F / std::sqrt(sum + kNormEpsilon) : 1.0F;
      for (float& x : row) {
        x = Round(x * factor);
      }
    }
  }
  float HeadElement(const cairn_kernels_rows& rows, const ChunkRange& range, int i) const {
    return ReadElement(rows, (std::int64_t{lists_.begin} + range.first + i) * rows.token_stride +
                                 head_ * rows.head_stride);
  }
  float Between(std::size_t i, std::size_t j) const { return Exp2(gate_[i] - gate_[j]); }

  void Prepare(const ChunkRange& range) {
    sound_ = kChunk;
    ReadKeys(args_.key, range, key_);
    for (int i = 0; i < range.count; ++i) {
      for (const float x : key_[static_cast<std::size_t>(i)]) {
        Sound(x, i);
      }
      for (int j = 0; j < args_.value_dim; ++j) {
        Sound(Value(range, i, j), i);
      }
    }
    if (args_.output.data != nullptr) {
      ReadKeys(args_.query, range, query_);
    }
    for (std::size_t i = 0; i < kChunk; ++i) {
      const int row = static_cast<int>(i);
      beta_[i] = row >= range.count           ? 0.0F
                 : args_.beta.data == nullptr ? 1.0F
                                              : Sound(HeadElement(args_.beta, range, row), row);
    }
    if (channel_) {
      PrepareChannels(range);
    } else {
      PrepareHead(range);
    }
  }
  void PrepareHead(const ChunkRange& range) {
    float sum = 0.0F;
    for (std::size_t i = 0; i < kChunk; ++i) {
      const int row = static_cast<int>(i);
      if (row < range.count) {
        sum += Sound(LogOfDecay(args_.gate_kind, HeadElement(args_.gate, range, row)), row);
      }
      gate_[i] = sum;
    }
    for (std::size_t i = 0; i < kChunk && args_.output.data != nullptr; ++i) {
      for (std::size_t j = 0; j < kChunk; ++j) {
        mixed_[i][j] = j <= i ? Round(Dot(query_[i], key_[j]) * Between(i, j)) : 0.0F;
      }
    }
    for (std::size_t i = 0; i < kChunk && delta_; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        related_[i][j] = beta_[i] * Between(i, j) * Dot(key_[i], key_[j]);
      }
    }
    Invert();
    if (delta_) {
      Erase(key_, [&](std::size_t j) { return beta_[j] * Exp2(gate_[j]); });
    }
  }
  void PrepareChannels(const ChunkRange& range) {
    for (std::size_t i = 0; i < kChunk; ++i) {
      const std::int64_t at = (std::int64_t{lists_.begin} + range.first + static_cast<int>(i)) *
                                  args_.gate.token_stride +
                              head_ * args_.gate.head_stride;
      for (std::size_t k = 0; k < kScanKey; ++k) {
        float decay = 1.0F;
        if (static_cast<int>(i) < range.count) {
          decay = Sound(DecayOf(args_.gate_kind, ReadElement(args_.gate, at + static_cast<int>(k))),
                        static_cast<int>(i));
        }
        decays_.of[i][k] = decay;
      }
    }
    if (args_.output.data != nullptr) {
      decays_.Relate(query_, key_, mixed_);
      for (auto& row : mixed_) {
        std::transform(row.begin(), row.end(), row.begin(), Round);
      }
      decays_.Since(query_, 0, kChunk, query_);
    }
    if (delta_) {
      decays_.Relate(key_, key_, related_);
      for (std::size_t i = 0; i < kChunk; ++i) {
        for (float& a : related_[i]) {
          a *= beta_[i];
        }
      }
    }
    Invert();
    if (delta_) {
      decays_.Since(key_, 0, kChunk, ahead_);
      Erase(ahead_, [&](std::size_t j) { return beta_[j]; });
    }
  }
  /// T by substitution, row by row.
  void Invert() {
    for (std::size_t i = 0; i < kChunk; ++i) {
      inverse_[i].fill(0.0F);
      inverse_[i][i] = 1.0F;
      for (std::size_t l = 0; l < i && delta_; ++l) {
        for (std::size_t j = 0; j <= l; ++j) {
          inverse_[i][j] -= related_[i][l] * inverse_[l][j];
        }
      }
    }
  }
  /// W: T times a diagonal times keys.
  template <class Diagonal>
  void Erase(const KeyRows& keys, const Diagonal& diagonal) {
    for (std::size_t i = 0; i < kChunk; ++i) {
      erased_[i].fill(0.0F);
      for (std::size_t j = 0; j <= i; ++j) {
        const float t = Round(inverse_[i][j] * diagonal(j));
        for (std::size_t k = 0; k < kScanKey; ++k) {
          erased_[i][k] += t * keys[j][k];
        }
      }
      std::transform(erased_[i].begin(), erased_[i].end(), erased_[i].begin(), Round);
    }
  }

  float Value(const ChunkRange& range, int i, int j) const {
    return Round(ReadElement(
        args_.value, (std::int64_t{lists_.begin} + range.first + i) * args_.value.token_stride +
                         head_ * args_.value.head_stride + j));
  }
  /// V' of a value column, and its outputs.
  void Column(const ChunkRange& range, int j) {
    std::array<float, kChunk> value{};
    for (int i = 0; i < range.count; ++i) {
      value[static_cast<std::size_t>(i)] = Value(range, i, j);
    }
    std::array<float, kScanKey> state{};
    std::transform(State(j), State(j) + kScanKey, state.begin(), Round);
    auto& v = taken_[static_cast<std::size_t>(j)];
    for (std::size_t i = 0; i < kChunk; ++i) {
      float u = 0.0F;
      for (std::size_t l = 0; l <= i; ++l) {
        u += Round(inverse_[i][l] * beta_[l]) * value[l];
      }
      v[i] = Round(u) - (delta_ ? Dot(erased_[i], state) : 0.0F);
    }
    for (int i = 0; i < range.count && args_.output.data != nullptr; ++i) {
      const auto row = static_cast<std::size_t>(i);
      float out = Dot(query_[row], state) * (channel_ ? 1.0F : Exp2(gate_[row]));
      for (std::size_t l = 0; l <= row; ++l) {
        out += mixed_[row][l] * Round(v[l]);
      }
      out *= args_.scale;
      const std::int64_t token = std::int64_t{lists_.begin} + range.first + i;
      if (args_.skip != nullptr) {
        out = std::fmaf(args_.skip[head_],
                        ReadElement(args_.value, token * args_.value.token_stride +
                                                     head_ * args_.value.head_stride + j),
                        out);
      }
      out = i < sound_ ? out : NanValue();
      WriteElement(args_.output,
                   token * args_.output.token_stride + head_ * args_.output.head_stride + j, out);
    }
  }

  /// What `After` needs of the first `rows` rows, whatever the column.
  void DecayTo(int rows) {
    if (channel_) {
      all_ = decays_.Until(key_, 0, static_cast<std::size_t>(rows), ahead_);
    } else {
      all_.fill(Exp2(gate_[static_cast<std::size_t>(rows - 1)]));
    }
  }
  /// The state of column j after the first `rows` rows of the chunk.
  void After(int rows, int j, const float* from, float* to) const {
    std::array<float, kScanKey> sum{};
    std::transform(from, from + kScanKey, all_.begin(), sum.begin(),
                   [](float s, float all) { return s * all; });
    const float last = gate_[static_cast<std::size_t>(rows - 1)];
    const KeyRows& keys = channel_ ? ahead_ : key_;
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
      const float taken = taken_[static_cast<std::size_t>(j)][i];
      const float v = Round(channel_ ? taken : taken * Exp2(last - gate_[i]));
      for (std::size_t k = 0; k < kScanKey; ++k) {
        sum[k] += v * keys[i][k];
      }
    }
    std::copy(sum.begin(), sum.end(), to);
  }
  void EmitUpTo(std::int32_t position, const ChunkRange& range) {
    for (; lists_.emit < lists_.emit_end && args_.emit_positions[lists_.emit] <= position;
         ++lists_.emit) {
      const std::int32_t rows = args_.emit_positions[lists_.emit] - range.first;
      const std::int64_t at = SlotAt(
          args_.emit, args_.emit_slots == nullptr ? lists_.emit : args_.emit_slots[lists_.emit]);
      if (rows > 0) {
        DecayTo(rows);
      }
      for (int j = 0; j < args_.value_dim; ++j) {
        std::array<float, kScanKey> row{};
        if (rows == 0) {
          std::copy_n(State(j), kScanKey, row.begin());
        } else {
          After(rows, j, State(j), row.data());
        }
        for (int k = 0; k < kScanKey; ++k) {
          const std::int64_t to = at + std::int64_t{j} * kScanKey + k;
          const float value = rows > sound_ ? NanValue() : row[static_cast<std::size_t>(k)];
          if (args_.emit.dtype == CAIRN_KERNELS_BF16) {
            static_cast<Bf16*>(args_.emit.data)[to] = FromFloat<Bf16>(value);
          } else {
            static_cast<float*>(args_.emit.data)[to] = value;
          }
        }
      }
    }
  }

  const cairn_kernels_recurrent& args_;
  const int head_;
  const bool delta_;
  const bool channel_;
  const std::int32_t position_;
  SequenceLists lists_;
  KeyRows key_;
  KeyRows query_;
  KeyRows erased_;
  Square related_{};  ///< A.
  Square inverse_;
  Square mixed_{};
  std::array<float, kChunk> gate_{};  ///< G, of a decay per head.
  ChunkDecays decays_;                ///< Of a decay per channel.
  KeyRows ahead_;                     ///< Keys with such decays.
  KeyRow all_;                        ///< The state's decay, by channel.
  std::array<float, kChunk> beta_;
  int sound_ = kChunk;                                ///< Rows before the first not finite.
  std::array<std::array<float, kChunk>, 256> taken_;  ///< V', by column.
  std::array<float, 256 * kScanKey> state_;
};

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_scan_cpu(const cairn_kernels_scan* args, int32_t part,
                                                       int32_t parts) {
  using namespace cairn::kernels;
  if (const auto status = CheckScanShapes(args, false)) {
    return status;
  }
  if (!IsPart(part, parts)) {
    return CAIRN_KERNELS_SHAPE;
  }
  if (const auto status = CheckScanLists(*args)) {
    return status;
  }
  const std::int64_t heads = std::int64_t{args->of.sequences} * args->of.value_heads;
  const auto [first, last] = ShareOf(heads, part, parts);
  for (std::int64_t at = first; at < last; ++at) {
    HeadScan(*args, static_cast<int>(at / args->of.value_heads),
             static_cast<int>(at % args->of.value_heads))
        .Run();
  }
  return CAIRN_KERNELS_OK;
}
