#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/arith/exp2.h"
#include "kernels/scan/chunk_block.h"
#include "kernels/scan/fragments.h"
#include "kernels/scan/workspace.h"
#include "kernels/simt/device.h"

// What does not depend on the state, for all chunks at once: grid (slots, value_heads), 4 warps.
// Here for rules with one decay per head; prepare_channels.h has the others.
// With G_i the gates summed up to row i and A_ij = beta_i e^{G_i - G_j} k_i k_j for j < i:
//   T = (I + A)^-1,  W = T diag(beta e^G) K,  U = T diag(beta) V,  P = tril(e^{G_i - G_j} q_i k_j)
// (arXiv 2412.06464, eq. 8 to 10; notation of its reference code). Rules without delta: T = I.
namespace cairn::kernels {

struct PrepareShared {
  alignas(16) Bf16 key[kChunk][kKeyRow];
  alignas(16) Bf16 query[kChunk][kKeyRow];
  PrepareProducts products;
  float gate[kChunk];
  float beta[kChunk];
};

template <bool kDelta>
class ChunkPreparation : ChunkBlock {
 public:
  CAIRN_DEVICE_MEMBER ChunkPreparation(const cairn_kernels_scan& args, std::int64_t slot, int head,
                                       unsigned char* shared)
      : ChunkBlock(args, Workspace(args, {.delta = kDelta, .channel = false}), slot, head,
                   reinterpret_cast<PrepareShared*>(shared)->products),
        s_(*reinterpret_cast<PrepareShared*>(shared)) {}

  CAIRN_DEVICE_MEMBER void Run() {
    if (!Find()) {
      return;
    }
    ReadKeys(s_.key);
    const bool outputs = args_.output.data != nullptr;
    if (outputs) {
      ReadQueries(s_.query);
    }
    ReadGates();
    SyncBlock();
    if (head_ % group_ == 0) {
      const std::int64_t at = (slot_ * args_.key_heads + head_ / group_) * (kChunk * kScanKey);
      KeepRows(s_.key, out_.key + at);
      if (outputs) {
        KeepRows(s_.query, out_.query + at);
      }
    }
    if (outputs) {
      Mix();
    }
    if constexpr (kDelta) {
      Invert();
      Scale(true);
      SyncBlock();
      Erase(s_.key);
      SyncBlock();
    }
    Scale(false);
    WriteAll();
    KeepSound(Gates() + kChunk);
  }

 private:
  /// Sums the gates in order: 64 additions by one thread cost less than two barriers.
  CAIRN_DEVICE_MEMBER void ReadGates() {
    if (thread_ < kChunk) {
      const std::int64_t token = first_ + thread_;
      float gate = 0.0F;
      float beta = 0.0F;
      if (thread_ < range_.count) {
        gate = Sound(
            LogOfDecay(args_.gate_kind,
                       static_cast<const float*>(args_.gate.data)[token * args_.gate.token_stride +
                                                                  head_ * args_.gate.head_stride]),
            thread_);
        beta = Beta(thread_);
      }
      s_.gate[thread_] = gate;
      s_.beta[thread_] = beta;
    }
    SyncBlock();
    if (thread_ == 0) {
      float sum = 0.0F;
      for (int i = 0; i < kChunk; ++i) {
        sum += s_.gate[i];
        s_.gate[i] = sum;
      }
    }
    SyncBlock();
    if (thread_ < kChunk) {
      Gates()[thread_] = s_.gate[thread_];
    }
  }
  CAIRN_DEVICE_MEMBER float* Gates() const {
    return out_.gate + (slot_ * args_.value_heads + head_) * kGateRow;
  }

  /// The warp's 16 rows of `a` times all rows of `b`, transposed: 16 x 64.
  CAIRN_DEVICE_MEMBER void RowProducts(const Bf16 (&a)[kChunk][kKeyRow],
                                       const Bf16 (&b)[kChunk][kKeyRow], float (&c)[8][4]) const {
    CAIRN_UNROLL
    for (int kk = 0; kk < kScanKey / 16; ++kk) {
      std::uint32_t left[4];
      LoadMatrices(left, &a[16 * warp_ + RowOfA(thread_)][16 * kk + ColumnOfA(thread_)]);
      CAIRN_UNROLL
      for (int t = 0; t < 4; ++t) {
        std::uint32_t right[4];
        LoadMatrices(right, &b[16 * t + RowOfB(thread_)][16 * kk + ColumnOfB(thread_)]);
        Mma(c[2 * t], left, right[0], right[1]);
        Mma(c[2 * t + 1], left, right[2], right[3]);
      }
    }
  }

  CAIRN_DEVICE_MEMBER void Mix() const {
    float c[8][4] = {};
    RowProducts(s_.query, s_.key, c);
    Bf16* const to = out_.mixed + (slot_ * args_.value_heads + head_) * (kChunk * kChunk);
    CAIRN_UNROLL
    for (int t = 0; t < 8; ++t) {
      CAIRN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int i = 16 * warp_ + RowOfC(thread_) + 8 * half;
        const int j = 8 * t + ColumnOfC(thread_);
        const float low = j <= i ? c[t][2 * half] * Exp2(s_.gate[i] - s_.gate[j]) : 0.0F;
        const float high =
            j + 1 <= i ? c[t][2 * half + 1] * Exp2(s_.gate[i] - s_.gate[j + 1]) : 0.0F;
        StorePair(to + i * kChunk + j, Pack(low, high));
      }
    }
  }

  /// A, then T.
  CAIRN_DEVICE_MEMBER void Invert() {
    float c[8][4] = {};
    RowProducts(s_.key, s_.key, c);
    CAIRN_UNROLL
    for (int t = 0; t < 8; ++t) {
      CAIRN_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int i = 16 * warp_ + RowOfC(thread_) + e / 2 * 8;
        const int j = 8 * t + ColumnOfC(thread_) + e % 2;
        p_.a[i][j] = j < i ? s_.beta[i] * Exp2(s_.gate[i] - s_.gate[j]) * c[t][e] : 0.0F;
        p_.t[i][j] = 0.0F;
      }
    }
    SyncBlock();
    Solve();
  }
  /// T diag(beta), or T diag(beta e^G), in bf16.
  CAIRN_DEVICE_MEMBER void Scale(bool decayed) {
    for (int e = thread_; e < kChunk * kChunk; e += kPrepareThreads) {
      const int i = e / kChunk;
      const int j = e % kChunk;
      float t = i == j ? 1.0F : 0.0F;
      if constexpr (kDelta) {
        t = p_.t[i][j];
      }
      const float beta = decayed ? s_.beta[j] * Exp2(s_.gate[j]) : s_.beta[j];
      p_.inverse[i][j] = FromFloat<Bf16>(t * beta);
    }
  }

  PrepareShared& s_;
};

}  // namespace cairn::kernels
