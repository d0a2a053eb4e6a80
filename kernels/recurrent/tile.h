#pragma once

#include "kernels/recurrent/rule.h"

namespace cairn::kernels {
namespace {  // See advance_head.h.

/// Some value columns of one head's state, key-major, so that a vector holds one channel of many
/// columns: no sum goes across a vector, and every instruction set gives the same bits.
/// `Vec` has kWidth floats and Load, Store, Set, Mul, Add, Fma.
template <class Vec, int K, bool kDelta, bool kChannel>
class Tile {
 public:
  static constexpr int kVectors = Vec::kWidth >= 8 ? 32 / Vec::kWidth : 16 / Vec::kWidth;
  static constexpr int kColumns = kVectors * Vec::kWidth;
  struct Columns {
    Vec v[kVectors];
  };

  /// Channels lie in the order in which sums go through them. Side by side instead, a load would
  /// have the last 12 bits of a store shortly before it, and wait for it.
  float* channel(int k) { return state_ + Row(k) * kColumns; }
  const float* channel(int k) const { return state_ + Row(k) * kColumns; }
  /// Floats from one channel to the next, within kRound.
  static constexpr int kStride = K / kRound * kColumns;

  /// S <- decay(S) where it is per channel; returns d = S k. For delta rules, before each token.
  Columns Recall(const float* key, const float* decay) {
    Columns lanes[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      Columns chain[kChains];
      for (int c = 0; c < kChains; ++c) {
#pragma GCC unroll 8
        for (int k = 4 * lane + c; k < K; k += kRound) {
          float* at = channel(k);
          const Vec key_k = Vec::Set(key[k]);
          for (int i = 0; i < kVectors; ++i) {
            Vec s = Vec::Load(at + i * Vec::kWidth);
            if constexpr (kChannel) {
              s = Vec::Mul(Vec::Set(decay[k]), s);
              s.Store(at + i * Vec::kWidth);
            }
            Accumulate(chain[c].v[i], k, s, key_k);
          }
        }
      }
      lanes[lane] = OfChains(chain);
    }
    return OfLanes(lanes);
  }

  /// S <- decay(S) + u k^T (for channel-wise delta rules Recall has decayed already). With kOutput,
  /// `output` becomes S q. With kNext, what Recall would do for the next token happens in the same
  /// pass, and `recalled` becomes its result: the state is read and written once for each token.
  template <bool kOutput, bool kNext>
  void Take(const float* key, float factor, const float* decay, const Columns& u,
            const float* query, const float* next_key, const float* next_decay, Columns& output,
            Columns& recalled) {
    Columns out_lanes[kLanes];
    Columns next_lanes[kLanes];
    const Vec all = Vec::Set(factor);
    for (int lane = 0; lane < kLanes; ++lane) {
      Columns out_chain[kChains];
      Columns next_chain[kChains];
      for (int c = 0; c < kChains; ++c) {
#pragma GCC unroll 8
        for (int k = 4 * lane + c; k < K; k += kRound) {
          float* at = channel(k);
          // Read before anything is stored, which might change them for all the compiler knows.
          const Vec key_k = Vec::Set(key[k]);
          const Vec decay_k = kChannel ? Vec::Set((kDelta ? next_decay : decay)[k]) : all;
          const Vec query_k = kOutput ? Vec::Set(query[k]) : all;
          const Vec next_k = kNext ? Vec::Set(next_key[k]) : all;
          Columns s;
          for (int i = 0; i < kVectors; ++i) {
            s.v[i] = Vec::Load(at + i * Vec::kWidth);
          }
          for (int i = 0; i < kVectors; ++i) {
            if constexpr (!kChannel || !kDelta) {
              s.v[i] = Vec::Mul(decay_k, s.v[i]);
            }
            s.v[i] = Vec::Fma(key_k, u.v[i], s.v[i]);
            if constexpr (kOutput) {
              Accumulate(out_chain[c].v[i], k, s.v[i], query_k);
            }
            if constexpr (kNext) {
              if constexpr (kChannel) {
                s.v[i] = Vec::Mul(decay_k, s.v[i]);
              }
              Accumulate(next_chain[c].v[i], k, s.v[i], next_k);
            }
          }
          for (int i = 0; i < kVectors; ++i) {
            s.v[i].Store(at + i * Vec::kWidth);
          }
        }
      }
      if constexpr (kOutput) {
        out_lanes[lane] = OfChains(out_chain);
      }
      if constexpr (kNext) {
        next_lanes[lane] = OfChains(next_chain);
      }
    }
    if constexpr (kOutput) {
      output = OfLanes(out_lanes);
    }
    if constexpr (kNext) {
      recalled = OfLanes(next_lanes);
    }
  }

 private:
  static constexpr int Row(int k) { return k % kRound * (K / kRound) + k / kRound; }
  static void Accumulate(Vec& sum, int k, Vec a, Vec b) {
    sum = k < kRound ? Vec::Mul(a, b) : Vec::Fma(a, b, sum);
  }
  static Columns Add(const Columns& a, const Columns& b) {
    Columns sum;
    for (int i = 0; i < kVectors; ++i) {
      sum.v[i] = Vec::Add(a.v[i], b.v[i]);
    }
    return sum;
  }
  static Columns OfChains(const Columns (&c)[kChains]) {
    return Add(Add(c[0], c[1]), Add(c[2], c[3]));
  }
  static Columns OfLanes(const Columns (&l)[kLanes]) {
    return Add(Add(Add(l[0], l[4]), Add(l[2], l[6])), Add(Add(l[1], l[5]), Add(l[3], l[7])));
  }

  alignas(64) float state_[K * kColumns];
};

}  // namespace
}  // namespace cairn::kernels
