#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/arith/exp2.h"
#include "kernels/launch/elements.h"
#include "kernels/launch/sequences.h"
#include "kernels/recurrent/rule.h"
#include "kernels/recurrent/tile.h"

// One head of one sequence on the CPU. Compiled once for every instruction set; in a namespace
// without a name, or the linker would keep one copy of a function for all of them, and a machine
// without AVX-512 might meet one that has it. Functions of the standard library are such copies
// too: none is used here that is not a builtin.
namespace cairn::kernels {
namespace {

template <class T>
void CopyRow(const void* data, std::int64_t at, int count, float* to) {
  const T* from = static_cast<const T*>(data) + at;
  for (int i = 0; i < count; ++i) {
    to[i] = ToFloat(from[i]);
  }
}
[[maybe_unused]] void CopyRow(const cairn_kernels_rows& rows, std::int64_t token, std::int64_t head,
                              int first, int count, float* to) {
  const std::int64_t at = token * rows.token_stride + head * rows.head_stride + first;
  switch (rows.dtype) {
    case CAIRN_KERNELS_BF16: CopyRow<Bf16>(rows.data, at, count, to); break;
    case CAIRN_KERNELS_F16: CopyRow<F16>(rows.data, at, count, to); break;
    default: CopyRow<float>(rows.data, at, count, to); break;
  }
}

template <int K>
void Normalize(float* x) {
  float sums[kRound];
  for (int i = 0; i < kRound; ++i) {
    sums[i] = x[i] * x[i];
  }
  for (int k = kRound; k < K; k += kRound) {
    for (int i = 0; i < kRound; ++i) {
      sums[i] = std::fmaf(x[k + i], x[k + i], sums[i]);
    }
  }
  float lane[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const float* chain = sums + 4 * i;
    lane[i] = (chain[0] + chain[1]) + (chain[2] + chain[3]);
  }
  const float sum =
      ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
  const float factor = 1.0F / std::sqrt(sum + kNormEpsilon);
  for (int k = 0; k < K; ++k) {
    x[k] *= factor;
  }
}

template <class Vec, int K, bool kDelta, bool kChannel>
class HeadAdvance {
 public:
  HeadAdvance(const cairn_kernels_recurrent& args, int sequence, int head)
      : args_(args), head_(head), key_head_(head / (args.value_heads / args.key_heads)) {
    static_cast<void>(ReadLists(args_, args_.state.slots, sequence, lists_));  // They were checked.
  }

  /// Block by block, so that keys and queries are converted once for all tiles. Between blocks the
  /// state rests in the final slot, or in none: then it is `rest`.
  void Run(float* rest) {
    const std::int64_t head_elements = std::int64_t{K} * args_.value_dim;
    const float* from =
        lists_.initial < 0 ? nullptr : Slot(args_.state, lists_.initial) + head_ * head_elements;
    float* to = lists_.final < 0 ? rest : Slot(args_.state, lists_.final) + head_ * head_elements;
    if (lists_.length == 0) {
      block_ = 0;
      Block(0, from, to);
    }
    for (std::int32_t at = 0; at < lists_.length; at += kBlock) {
      block_ = lists_.length - at < kBlock ? lists_.length - at : kBlock;
      ReadBlock(at);
      Block(at, at == 0 ? from : to, to);
    }
  }

 private:
  using Part = Tile<Vec, K, kDelta, kChannel>;
  using Columns = typename Part::Columns;
  static constexpr std::int32_t kBlock = 4096 / K;

  static float* Slot(const cairn_kernels_pool& pool, std::int64_t slot) {
    return static_cast<float*>(pool.data) + slot * pool.slot_stride;
  }
  const float* DecayOf(std::int32_t t) const { return decay_[kChannel ? t : 0]; }
  bool outputs() const { return args_.output.data != nullptr; }

  void ReadBlock(std::int32_t at) {
    for (std::int32_t t = 0; t < block_; ++t) {
      const std::int64_t token = std::int64_t{lists_.begin} + at + t;
      CopyRow(args_.key, token, key_head_, 0, K, key_[t]);
      if (args_.normalize != 0) {
        Normalize<K>(key_[t]);
      }
      if (outputs()) {
        CopyRow(args_.query, token, key_head_, 0, K, query_[t]);
        if (args_.normalize != 0) {
          Normalize<K>(query_[t]);
        }
      }
      CopyRow(args_.value, token, head_, 0, args_.value_dim, value_[t]);
      beta_[t] = args_.beta.data == nullptr ? 1.0F : Scalar(args_.beta, token);
      if constexpr (kChannel) {
        CopyRow(args_.gate, token, head_, 0, K, decay_[t]);
        for (int k = 0; k < K; ++k) {
          decay_[t][k] = Decay(decay_[t][k]);
        }
      } else {
        factor_[t] = Decay(Scalar(args_.gate, token));
      }
      if (args_.log_key.data != nullptr) {
        LogKeyAndGate(token, t);
      }
    }
  }
  static float* Log(const cairn_kernels_rows& rows, std::int64_t token, std::int64_t head) {
    return static_cast<float*>(rows.data) + token * rows.token_stride + head * rows.head_stride;
  }
  void LogKeyAndGate(std::int64_t token, std::int32_t t) const {
    if (head_ % (args_.value_heads / args_.key_heads) == 0) {  // Of those that share the key, one.
      CopyRow<float>(key_[t], 0, K, Log(args_.log_key, token, key_head_));
    }
    CopyRow<float>(kChannel ? DecayOf(t) : factor_ + t, 0, kChannel ? K : 1,
                   Log(args_.log_gate, token, head_));
  }
  float Scalar(const cairn_kernels_rows& rows, std::int64_t token) const {
    return ReadElement(rows, token * rows.token_stride + head_ * rows.head_stride);
  }
  float Decay(float gate) const {
    return args_.gate_kind == CAIRN_KERNELS_GATE_LOG ? Exp2(gate * kLog2E) : gate;
  }

  void Block(std::int32_t at, const float* from, float* to) {
    const std::int32_t emit = lists_.emit;
    for (int column = 0; column < args_.value_dim; column += Part::kColumns) {
      lists_.emit = emit;
      const int columns =
          args_.value_dim - column < Part::kColumns ? args_.value_dim - column : Part::kColumns;
      ReadTile(from, column, columns);
      Emit(at, column, columns);
      Columns recalled{};
      bool known = false;
      for (std::int32_t t = 0; t < block_; ++t) {
        if constexpr (kDelta) {
          if (!known) {
            recalled = tile_.Recall(key_[t], DecayOf(t));
          }
        }
        // The state as it is after this token is needed by itself at an emission and at the end.
        known = kDelta && t + 1 < block_ && !EmitsAt(at + t + 1);
        Token(at, t, column, columns, known, recalled);
        Emit(at + t + 1, column, columns);
      }
      WriteTile(to + std::int64_t{column} * K, columns);
    }
  }

  void Token(std::int32_t at, std::int32_t t, int column, int columns, bool next,
             Columns& recalled) {
    const std::int64_t token = std::int64_t{lists_.begin} + at + t;
    const float* const value = value_[t] + column;
    Columns u;
    for (int i = 0; i < Part::kVectors; ++i) {
      Vec x = Vec::Load(value + i * Vec::kWidth);
      if constexpr (kDelta && kChannel) {
        x = Vec::Fma(Vec::Set(-1.0F), recalled.v[i], x);
      } else if constexpr (kDelta) {
        x = Vec::Fma(Vec::Set(-factor_[t]), recalled.v[i], x);
      }
      u.v[i] = Vec::Mul(Vec::Set(beta_[t]), x);
    }
    if (args_.log_value.data != nullptr) {
      alignas(64) float log[Part::kColumns];
      for (int i = 0; i < Part::kVectors; ++i) {
        u.v[i].Store(log + i * Vec::kWidth);
      }
      CopyRow<float>(log, 0, columns, Log(args_.log_value, token, head_) + column);
    }
    Columns output{};
    const int after = next ? t + 1 : t;
    const auto take = [&]<bool kOutput, bool kNext>() {
      tile_.template Take<kOutput, kNext>(key_[t], factor_[t], DecayOf(t), u, query_[t],
                                          key_[after], DecayOf(after), output, recalled);
    };
    if constexpr (kDelta) {
      if (next) {
        outputs() ? take.template operator()<true, true>()
                  : take.template operator()<false, true>();
      } else {
        outputs() ? take.template operator()<true, false>()
                  : take.template operator()<false, false>();
      }
    } else {
      outputs() ? take.template operator()<true, false>()
                : take.template operator()<false, false>();
    }
    if (outputs()) {
      WriteOutput(token, column, columns, output, value);
    }
  }

  void WriteOutput(std::int64_t token, int column, int columns, const Columns& sums,
                   const float* value) {
    alignas(64) float out[Part::kColumns];
    for (int i = 0; i < Part::kVectors; ++i) {
      Vec::Mul(Vec::Set(args_.scale), sums.v[i]).Store(out + i * Vec::kWidth);
    }
    if (args_.skip != nullptr) {
      for (int i = 0; i < columns; ++i) {
        out[i] = std::fmaf(args_.skip[head_], value[i], out[i]);
      }
    }
    const std::int64_t at =
        token * args_.output.token_stride + head_ * args_.output.head_stride + column;
    switch (args_.output.dtype) {
      case CAIRN_KERNELS_BF16: Put<Bf16>(args_.output.data, at, out, columns); break;
      case CAIRN_KERNELS_F16: Put<F16>(args_.output.data, at, out, columns); break;
      default: Put<float>(args_.output.data, at, out, columns); break;
    }
  }
  template <class T>
  static void Put(void* data, std::int64_t at, const float* from, int count) {
    T* to = static_cast<T*>(data) + at;
    for (int i = 0; i < count; ++i) {
      to[i] = FromFloat<T>(from[i]);
    }
  }

  bool EmitsAt(std::int32_t position) const {
    return lists_.emit < lists_.emit_end && args_.emit_positions[lists_.emit] == position;
  }
  void Emit(std::int32_t position, int column, int columns) {
    if (!EmitsAt(position)) {
      return;
    }
    const std::int64_t slot =
        args_.emit_slots == nullptr ? lists_.emit : args_.emit_slots[lists_.emit];
    const std::int64_t at =
        slot * args_.emit.slot_stride + (std::int64_t{head_} * args_.value_dim + column) * K;
    if (args_.emit.dtype == CAIRN_KERNELS_BF16) {
      Bf16* to = static_cast<Bf16*>(args_.emit.data) + at;
      for (int c = 0; c < columns; ++c) {
        for (int k = 0; k < K; ++k) {
          to[c * K + k] = FromFloat<Bf16>(tile_.channel(k)[c]);
        }
      }
    } else {
      WriteTile(static_cast<float*>(args_.emit.data) + at, columns);
    }
    ++lists_.emit;
  }

  void ReadTile(const float* from, int column, int columns) {
    for (int c = 0; c < Part::kColumns; c += Vec::kBlock) {
      if (from == nullptr || c >= columns) {
        for (int k = 0; k < K; ++k) {
          for (int i = 0; i < Vec::kBlock; ++i) {
            tile_.channel(k)[c + i] = 0.0F;
          }
        }
        continue;
      }
      for (int k = 0; k < K; k += Vec::kBlock) {
        Vec::Transpose(from + std::int64_t{column + c} * K + k, K, tile_.channel(k) + c,
                       Part::kStride);
      }
    }
  }
  void WriteTile(float* to, int columns) const {
    for (int c = 0; c < columns; c += Vec::kBlock) {
      for (int k = 0; k < K; k += Vec::kBlock) {
        Vec::Transpose(tile_.channel(k) + c, Part::kStride, to + std::int64_t{c} * K + k, K);
      }
    }
  }

  const cairn_kernels_recurrent& args_;
  const int head_;
  const int key_head_;
  SequenceLists lists_;
  std::int32_t block_ = 0;
  Part tile_;
  alignas(64) float key_[kBlock][K];
  alignas(64) float query_[kBlock][K];
  // The last tile may reach past V, at most to the next 32: what it makes of that goes nowhere.
  alignas(64) float value_[kBlock][256 + 16] = {};
  alignas(64) float decay_[kChannel ? kBlock : 1][K];
  float factor_[kBlock];
  float beta_[kBlock];
};

}  // namespace
}  // namespace cairn::kernels
