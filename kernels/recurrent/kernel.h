#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/arith/exp2.h"
#include "kernels/launch/elements.h"
#include "kernels/launch/sequences.h"
#include "kernels/recurrent/rule.h"
#include "kernels/simt/device.h"

// The recurrent advance as device code: grid (sequences * V / 16, value_heads), 128 threads. Eight
// threads share a value column, each with every K / 8th part of it in registers, so that a token
// costs three shuffles and no barrier. Tokens come in stages: the next one is read into registers
// while this one is worked off in shared memory.
namespace cairn::kernels {

constexpr int kAdvanceThreads = 128;
constexpr int kAdvanceColumns = kAdvanceThreads / kLanes;

template <int K, bool kChannel>
struct AdvanceStage {
  static constexpr int kTokens = 2048 / K / (kChannel ? 2 : 1);
  static constexpr int kEach = kTokens * K / kAdvanceThreads;  ///< Of each kind, by one thread.

  alignas(16) float key[kTokens][K];
  alignas(16) float query[kTokens][K];
  alignas(16) float decay[kChannel ? kTokens : 1][K];
  float value[kTokens][kAdvanceColumns];
  float factor[kTokens];
  float beta[kTokens];
};

template <int K, bool kDelta, bool kChannel>
class ColumnAdvance {
 public:
  using Stage = AdvanceStage<K, kChannel>;

  CAIRN_DEVICE_MEMBER ColumnAdvance(const cairn_kernels_recurrent& args, int sequence, int head,
                                    int first_column, unsigned char* shared)
      : args_(args),
        sequence_(sequence),
        head_(head),
        key_head_(head / (args.value_heads / args.key_heads)),
        first_column_(first_column),
        column_(first_column + ThreadIndex() / kLanes),
        lane_(ThreadIndex() % kLanes),
        stage_(*reinterpret_cast<Stage*>(shared)) {}

  CAIRN_DEVICE_MEMBER void Run() {
    if (const int error = ReadLists(args_, args_.state.slots, sequence_, lists_)) {
      if (args_.device_error != nullptr && ThreadIndex() == 0) {
        *args_.device_error = error;
      }
      return;
    }
    ReadState();
    Emit(0);
    Fetch(0);
    for (std::int32_t at = 0; at < lists_.length; at += Stage::kTokens) {
      SyncBlock();  // Nobody reads the last stage any more.
      Fill();
      SyncBlock();
      if (args_.normalize != 0) {
        Normalize(stage_.key);
        Normalize(stage_.query);
        SyncBlock();
      }
      const std::int32_t left = lists_.length - at;
      const int tokens = left < Stage::kTokens ? static_cast<int>(left) : Stage::kTokens;
      if (args_.log_key.data != nullptr && first_column_ == 0) {
        LogKeyAndGate(std::int64_t{lists_.begin} + at, tokens);
      }
      Fetch(at + Stage::kTokens);
      for (int t = 0; t < tokens; ++t) {
        Token(t, std::int64_t{lists_.begin} + at + t);
        Emit(at + t + 1);
      }
    }
    if (lists_.final >= 0) {
      Write(args_.state, lists_.final);
    }
  }

 private:
  static constexpr int kRounds = K / kRound;

  CAIRN_DEVICE_MEMBER std::int64_t Row(std::int64_t slot_stride, std::int64_t slot) const {
    return slot * slot_stride + (std::int64_t{head_} * args_.value_dim + column_) * K + 4 * lane_;
  }

  CAIRN_DEVICE_MEMBER void ReadState() {
    const float* from = static_cast<const float*>(args_.state.data);
    const bool zero = lists_.initial < 0;
    const std::int64_t row = zero ? 0 : Row(args_.state.slot_stride, lists_.initial);
    CAIRN_UNROLL
    for (int i = 0; i < kRounds * kChains; ++i) {
      s_[i] = zero ? 0.0F : from[row + i / kChains * kRound + i % kChains];
    }
  }
  CAIRN_DEVICE_MEMBER void Write(const cairn_kernels_pool& pool, std::int64_t slot) const {
    const std::int64_t row = Row(pool.slot_stride, slot);
    CAIRN_UNROLL
    for (int i = 0; i < kRounds * kChains; ++i) {
      const std::int64_t at = row + i / kChains * kRound + i % kChains;
      if (pool.dtype == CAIRN_KERNELS_BF16) {
        static_cast<Bf16*>(pool.data)[at] = FromFloat<Bf16>(s_[i]);
      } else {
        static_cast<float*>(pool.data)[at] = s_[i];
      }
    }
  }
  CAIRN_DEVICE_MEMBER void Emit(std::int32_t position) {
    if (lists_.emit < lists_.emit_end && args_.emit_positions[lists_.emit] == position) {
      Write(args_.emit, args_.emit_slots == nullptr ? lists_.emit : args_.emit_slots[lists_.emit]);
      ++lists_.emit;
    }
  }

  /// Reads this thread's part of the stage that begins at token `at`; zeros past the end.
  CAIRN_DEVICE_MEMBER void Fetch(std::int32_t at) {
    const bool query = args_.output.data != nullptr;
    CAIRN_UNROLL
    for (int i = 0; i < Stage::kEach; ++i) {
      const int index = i * kAdvanceThreads + ThreadIndex();
      const std::int64_t token = std::int64_t{lists_.begin} + at + index / K;
      const bool there = at + index / K < lists_.length;
      const int k = index % K;
      key_[i] = there ? KeyElement(args_.key, token, k) : 0.0F;
      query_[i] = there && query ? KeyElement(args_.query, token, k) : 0.0F;
      if constexpr (kChannel) {
        decay_[i] = there ? ReadElement(args_.gate, token * args_.gate.token_stride +
                                                        head_ * args_.gate.head_stride + k)
                          : 0.0F;
      }
    }
    const int index = ThreadIndex();
    CAIRN_UNROLL
    for (int i = 0; i < kValues; ++i) {
      const int token_of = (i * kAdvanceThreads + index) / kAdvanceColumns;
      const std::int64_t token = std::int64_t{lists_.begin} + at + token_of;
      const bool there = token_of < Stage::kTokens && at + token_of < lists_.length;
      value_[i] = there ? ReadElement(args_.value, token * args_.value.token_stride +
                                                       head_ * args_.value.head_stride +
                                                       first_column_ + index % kAdvanceColumns)
                        : 0.0F;
    }
    const std::int64_t token = std::int64_t{lists_.begin} + at + index;
    const bool there = index < Stage::kTokens && at + index < lists_.length;
    beta_ = there && args_.beta.data != nullptr ? HeadElement(args_.beta, token) : 1.0F;
    if constexpr (!kChannel) {
      factor_ = there ? HeadElement(args_.gate, token) : 0.0F;
    }
  }
  CAIRN_DEVICE_MEMBER float KeyElement(const cairn_kernels_rows& rows, std::int64_t token,
                                       int k) const {
    return ReadElement(rows, token * rows.token_stride + key_head_ * rows.head_stride + k);
  }
  CAIRN_DEVICE_MEMBER float HeadElement(const cairn_kernels_rows& rows, std::int64_t token) const {
    return static_cast<const float*>(
        rows.data)[token * rows.token_stride + head_ * rows.head_stride];
  }

  CAIRN_DEVICE_MEMBER float Decay(float gate) const {
    return args_.gate_kind == CAIRN_KERNELS_GATE_LOG ? Exp2(gate * kLog2E) : gate;
  }
  /// Puts what Fetch read into shared memory.
  CAIRN_DEVICE_MEMBER void Fill() {
    CAIRN_UNROLL
    for (int i = 0; i < Stage::kEach; ++i) {
      const int index = i * kAdvanceThreads + ThreadIndex();
      stage_.key[index / K][index % K] = key_[i];
      stage_.query[index / K][index % K] = query_[i];
      if constexpr (kChannel) {
        stage_.decay[index / K][index % K] = Decay(decay_[i]);
      }
    }
    const int index = ThreadIndex();
    CAIRN_UNROLL
    for (int i = 0; i < kValues; ++i) {
      const int token = (i * kAdvanceThreads + index) / kAdvanceColumns;
      if (token < Stage::kTokens) {
        stage_.value[token][index % kAdvanceColumns] = value_[i];
      }
    }
    if (index < Stage::kTokens) {
      stage_.beta[index] = beta_;
      if constexpr (!kChannel) {
        stage_.factor[index] = Decay(factor_);
      }
    }
  }

  /// The sum over channels of a * b, by the eight threads of a column, in the order of rule.h.
  CAIRN_DEVICE_MEMBER static float Sum(const float* a, const float* b) {
    float chain[kChains];
    CAIRN_UNROLL
    for (int c = 0; c < kChains; ++c) {
      chain[c] = a[c] * b[c];
    }
    CAIRN_UNROLL
    for (int r = 1; r < kRounds; ++r) {
      CAIRN_UNROLL
      for (int c = 0; c < kChains; ++c) {
        chain[c] = fmaf(a[r * kChains + c], b[r * kChains + c], chain[c]);
      }
    }
    float sum = (chain[0] + chain[1]) + (chain[2] + chain[3]);
    sum += ShuffleXor(sum, 4);
    sum += ShuffleXor(sum, 2);
    sum += ShuffleXor(sum, 1);
    return sum;
  }
  /// This thread's channels of a row in shared memory.
  CAIRN_DEVICE_MEMBER void Take(const float* row, float (&part)[kRounds * kChains]) const {
    CAIRN_UNROLL
    for (int i = 0; i < kRounds * kChains; ++i) {
      part[i] = row[i / kChains * kRound + 4 * lane_ + i % kChains];
    }
  }

  CAIRN_DEVICE_MEMBER void Normalize(float (&rows)[Stage::kTokens][K]) const {
    // Sixteen groups of eight threads; all go round equally often, since they meet in Sum.
    for (int first = 0; first < Stage::kTokens; first += kAdvanceColumns) {
      const int token = first + ThreadIndex() / kLanes;
      const bool there = token < Stage::kTokens;
      float part[kRounds * kChains];
      Take(rows[there ? token : 0], part);
      const float factor = 1.0F / sqrtf(Sum(part, part) + kNormEpsilon);
      CAIRN_UNROLL
      for (int i = 0; there && i < kRounds * kChains; ++i) {
        rows[token][i / kChains * kRound + 4 * lane_ + i % kChains] = part[i] * factor;
      }
    }
  }

  CAIRN_DEVICE_MEMBER static float* Log(const cairn_kernels_rows& rows, std::int64_t token,
                                        std::int64_t head) {
    return static_cast<float*>(rows.data) + token * rows.token_stride + head * rows.head_stride;
  }
  /// Writes this stage's keys, by the first of the heads that share them, and decays to the log.
  CAIRN_DEVICE_MEMBER void LogKeyAndGate(std::int64_t token, int tokens) const {
    const bool keys = head_ % (args_.value_heads / args_.key_heads) == 0;
    for (int i = ThreadIndex(); i < tokens * K; i += kAdvanceThreads) {
      const int t = i / K;
      if (keys) {
        Log(args_.log_key, token + t, key_head_)[i % K] = stage_.key[t][i % K];
      }
      if constexpr (kChannel) {
        Log(args_.log_gate, token + t, head_)[i % K] = stage_.decay[t][i % K];
      } else if (i % K == 0) {
        Log(args_.log_gate, token + t, head_)[0] = stage_.factor[t];
      }
    }
  }

  CAIRN_DEVICE_MEMBER void Token(int t, std::int64_t token) {
    float key[kRounds * kChains];
    Take(stage_.key[t], key);
    const float value = stage_.value[t][ThreadIndex() / kLanes];
    const float factor = kChannel ? 0.0F : stage_.factor[t];
    float x = value;
    if constexpr (kChannel) {
      float decay[kRounds * kChains];
      Take(stage_.decay[t], decay);
      CAIRN_UNROLL
      for (int i = 0; i < kRounds * kChains; ++i) {
        s_[i] = decay[i] * s_[i];
      }
    }
    if constexpr (kDelta) {
      x = fmaf(kChannel ? -1.0F : -factor, Sum(s_, key), x);
    }
    const float u = stage_.beta[t] * x;
    if (args_.log_value.data != nullptr && lane_ == 0) {
      Log(args_.log_value, token, head_)[column_] = u;
    }
    CAIRN_UNROLL
    for (int i = 0; i < kRounds * kChains; ++i) {
      s_[i] = fmaf(key[i], u, kChannel ? s_[i] : factor * s_[i]);
    }
    if (args_.output.data != nullptr) {
      Take(stage_.query[t], key);
      float out = args_.scale * Sum(s_, key);
      if (args_.skip != nullptr) {
        out = fmaf(args_.skip[head_], value, out);
      }
      if (lane_ == 0) {
        WriteElement(args_.output,
                     token * args_.output.token_stride + head_ * args_.output.head_stride + column_,
                     out);
      }
    }
  }

  static constexpr int kValues =
      (Stage::kTokens * kAdvanceColumns + kAdvanceThreads - 1) / kAdvanceThreads;

  const cairn_kernels_recurrent& args_;
  const int sequence_;
  const int head_;
  const int key_head_;
  const int first_column_;
  const int column_;
  const int lane_;
  Stage& stage_;
  SequenceLists lists_;
  float s_[kRounds * kChains];
  float key_[Stage::kEach];
  float query_[Stage::kEach];
  float decay_[kChannel ? Stage::kEach : 1];
  float value_[kValues];
  float beta_ = 1.0F;
  float factor_ = 0.0F;
};

template <int K, bool kDelta, bool kChannel>
CAIRN_DEVICE void AdvanceBlock(const cairn_kernels_recurrent& args) {
  const int tiles = args.value_dim / kAdvanceColumns;
  ColumnAdvance<K, kDelta, kChannel>(args, BlockX() / tiles, BlockY(),
                                     BlockX() % tiles * kAdvanceColumns, Shared())
      .Run();
}

}  // namespace cairn::kernels
