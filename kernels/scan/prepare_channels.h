#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/scan/chunk_block.h"
#include "kernels/scan/fragments.h"
#include "kernels/scan/workspace.h"
#include "kernels/simt/device.h"
#include "kernels/simt/warp.h"

// The preparation for rules with a decay per key channel (arXiv 2312.06635, 2510.26692). With
// D_i = Diag(decays of row i) and D_(j,i] = D_{j+1} .. D_i:
//   A_ij = beta_i k_i D_(j,i] k_j,  W = T diag(beta) (rows D_(0,i] k_i),  P_ij = q_i D_(j,i] k_j
// Nothing is divided by a decay, since one may be 0; what matrix products take is decayed before,
// and both operands towards a row between them: D_(j,i] = D_(j,m] D_(m,i]. The lower triangle is a
// square of 32 rows, two of 16 and four of 8, each with the row before its first as m; what is
// left, 8 x 8 blocks on the diagonal, is multiplied one by one in float. Both factors are products
// of decays of at most 32 rows: none overflows as long as no decay passes 1, and none underflows
// unless the whole does.
namespace cairn::kernels {

constexpr int kDirect = 8;
constexpr int kDecayRow = kScanKey + 1;
static_assert(kPrepareThreads == kScanKey, "loops over decays give each thread one channel");

struct ChannelDecays {
  float decay[kChunk][kDecayRow];
  // What is made of keys and queries, one set of operands after the other.
  alignas(16) Bf16 key[kChunk][kKeyRow];
  alignas(16) Bf16 query[kChunk / 2][kKeyRow];  ///< The later halves only, block after block.
};
struct ChannelShared {
  alignas(16) Bf16 key[kChunk][kKeyRow];
  alignas(16) Bf16 query[kChunk][kKeyRow];  ///< Then the keys of W.
  union {
    ChannelDecays decays;      ///< First,
    PrepareProducts products;  ///< and then.
  };
  float beta[kChunk];
};

template <bool kDelta>
class ChannelPreparation : ChunkBlock {
 public:
  CAIRN_DEVICE_MEMBER ChannelPreparation(const cairn_kernels_scan& args, std::int64_t slot,
                                         int head, unsigned char* shared)
      : ChunkBlock(args, Workspace(args, {.delta = kDelta, .channel = true}), slot, head,
                   reinterpret_cast<ChannelShared*>(shared)->products),
        outputs_(args.of.output.data != nullptr),
        s_(*reinterpret_cast<ChannelShared*>(shared)),
        d_(s_.decays) {}

  CAIRN_DEVICE_MEMBER void Run() {
    if (!Find()) {
      return;
    }
    ReadKeys(s_.key);
    if (outputs_) {
      ReadQueries(s_.query);
    }
    ReadDecays();
    SyncBlock();
    const std::int64_t at = slot_ * args_.value_heads + head_;
    float* const gates = out_.gate + at * kChannelGateRow;
    DecayUpTo(kChunk, gates);
    SyncBlock();
    KeepRows(d_.key, out_.key + at * (kChunk * kScanKey));
    PrepareEmissions();
    if (outputs_) {
      SyncBlock();
      DecayFromBegin(s_.query, d_.key);
      SyncBlock();
      KeepRows(d_.key, out_.query + at * (kChunk * kScanKey));
    }
    if (kDelta || outputs_) {
      Relate();
    }
    if constexpr (kDelta) {
      Solve();
    }
    SyncBlock();
    Scale();
    if constexpr (kDelta) {
      SyncBlock();
      Erase(s_.query);
    }
    WriteAll();
    KeepSound(gates + kScanKey);
  }

 private:
  /// The lower triangle of a square, as the products below leave it with a thread.
  struct Lower {
    float half[2][4] = {};     ///< Of the block of 32 rows.
    float quarter[1][4] = {};  ///< Of the blocks of 16 rows.
    float eighth[1][4] = {};   ///< Of the blocks of 8 rows: the latter two elements.
    float direct[kDirect] = {};
  };

  /// A channel a thread, as in all loops over decays.
  CAIRN_DEVICE_MEMBER void ReadDecays() {
    const auto* gate =
        static_cast<const float*>(args_.gate.data) + head_ * args_.gate.head_stride + thread_;
    for (int i = 0; i < kChunk; ++i) {
      float decay = 1.0F;
      if (i < range_.count) {
        decay = Sound(DecayOf(args_.gate_kind, gate[(first_ + i) * args_.gate.token_stride]), i);
      }
      d_.decay[i][thread_] = decay;
    }
    if (thread_ < kChunk) {
      s_.beta[thread_] = thread_ < range_.count ? Beta(thread_) : 0.0F;
    }
  }

  CAIRN_DEVICE_MEMBER Bf16 Decayed(const Bf16& x, float decay) const {
    return FromFloat<Bf16>(ToFloat(x) * decay);
  }
  /// d_.key: the keys of the first `rows` rows as they are after the last of them, the others zero.
  /// `all`: the decay over these rows. Rows past the sequence's end have decays of 1, so that the
  /// products are those of a run that ends there.
  CAIRN_DEVICE_MEMBER void DecayUpTo(int rows, float* all) const {
    float decay = 1.0F;
    for (int i = kChunk - 1; i >= 0; --i) {
      d_.key[i][thread_] = i < rows ? Decayed(s_.key[i][thread_], decay) : Bf16{0};
      decay = i < rows ? decay * d_.decay[i][thread_] : decay;
    }
    all[thread_] = decay;
  }
  CAIRN_DEVICE_MEMBER void DecayFromBegin(const Bf16 (&from)[kChunk][kKeyRow],
                                          Bf16 (&to)[kChunk][kKeyRow]) const {
    float decay = 1.0F;
    for (int i = 0; i < kChunk; ++i) {
      decay *= d_.decay[i][thread_];
      to[i][thread_] = Decayed(from[i][thread_], decay);
    }
  }

  CAIRN_DEVICE_MEMBER void PrepareEmissions() const {
    for (std::int32_t e = lists_.emit; e < lists_.emit_end; ++e) {
      const std::int32_t rows = args_.emit_positions[e] - range_.first;
      if (rows <= 0 || rows > range_.count) {
        continue;  // Another chunk's, or the initial state.
      }
      const std::int64_t at = std::int64_t{e} * args_.value_heads + head_;
      SyncBlock();
      DecayUpTo(rows, out_.emitted_gate + at * kScanKey);
      SyncBlock();
      KeepOperands(out_.emitted_key + at * (kChunk * kScanKey));
    }
  }
  /// d_.key in the order in which the scan's threads have it in their registers.
  CAIRN_DEVICE_MEMBER void KeepOperands(Bf16* to) const {
    CAIRN_UNROLL
    for (int j = 0; j < kScanKey / 16; ++j) {
      Words4 words;
      LoadMatricesTransposed(words.w,
                             &d_.key[16 * warp_ + RowOfA(thread_)][16 * j + ColumnOfA(thread_)]);
      *reinterpret_cast<Words4*>(to + OperandAt<kScanKey>(warp_, j, thread_)) = words;
    }
  }

  /// Operands for blocks of kSize rows: keys of the earlier halves as they are after the last row
  /// there, those and the queries of the later halves decayed from the first row there on.
  template <int kSize>
  CAIRN_DEVICE_MEMBER void Meet() const {
    SyncBlock();
    for (int begin = 0; begin < kChunk; begin += 2 * kSize) {
      float decay = 1.0F;
      for (int i = begin + kSize - 1; i >= begin; --i) {
        d_.key[i][thread_] = Decayed(s_.key[i][thread_], decay);
        decay *= d_.decay[i][thread_];
      }
      decay = 1.0F;
      for (int i = begin + kSize; i < begin + 2 * kSize; ++i) {
        decay *= d_.decay[i][thread_];
        d_.key[i][thread_] = Decayed(s_.key[i][thread_], decay);
        if (outputs_) {
          d_.query[i - kSize - begin / 2][thread_] = Decayed(s_.query[i][thread_], decay);
        }
      }
    }
    SyncBlock();
  }
  /// 16 rows of the operands by 8 or 16 columns; rows and columns are this thread's for a load.
  template <int kTiles>
  CAIRN_DEVICE_MEMBER void Multiply(int key_row, int query_row, int column,
                                    float (&keys)[kTiles][4], float (&queries)[kTiles][4]) const {
    CAIRN_UNROLL
    for (int kk = 0; kk < kScanKey / 16; ++kk) {
      std::uint32_t right[4];
      LoadMatrices(right, &d_.key[column][16 * kk + ColumnOfB(thread_)]);
      const auto add = [&](const Bf16* row, float(&c)[kTiles][4]) {
        std::uint32_t left[4];
        LoadMatrices(left, row + 16 * kk + ColumnOfA(thread_));
        CAIRN_UNROLL
        for (int t = 0; t < kTiles; ++t) {
          Mma(c[t], left, right[2 * t], right[2 * t + 1]);
        }
      };
      if constexpr (kDelta) {
        add(d_.key[key_row], keys);
      }
      if (outputs_) {
        add(d_.query[query_row], queries);
      }
    }
  }
  /// A column a thread of the warp's two blocks, of every other pair of channels.
  CAIRN_DEVICE_MEMBER void MultiplyDirectly(Lower& keys, Lower& queries) const {
    const int lane = thread_ % 32;
    const int own = 16 * warp_ + lane % 16;
    const int begin = own - own % kDirect;
    for (int c = lane / 16 * 2; c < kScanKey; c += 4) {
      const std::uint32_t pair = LoadPair(&s_.key[own][c]);
      float low = LowOf(pair);
      float high = HighOf(pair);
      CAIRN_UNROLL
      for (int s = 0; s < kDirect; ++s) {
        const int i = begin + s;
        if (i > own) {  // Above the diagonal is what nobody uses.
          low *= d_.decay[i][c];
          high *= d_.decay[i][c + 1];
        }
        const auto add = [&](std::uint32_t row, float& sum) {
          sum = fmaf(HighOf(row), high, fmaf(LowOf(row), low, sum));
        };
        if constexpr (kDelta) {
          add(LoadPair(&s_.key[i][c]), keys.direct[s]);
        }
        if (outputs_) {
          add(LoadPair(&s_.query[i][c]), queries.direct[s]);
        }
      }
    }
    CAIRN_UNROLL
    for (int s = 0; s < kDirect; ++s) {
      keys.direct[s] += ShuffleXor(keys.direct[s], 16);
      queries.direct[s] += ShuffleXor(queries.direct[s], 16);
    }
  }
  CAIRN_DEVICE_MEMBER void Put(const Lower& from, float (&to)[kChunk][kSquareRow]) const {
    const int row = RowOfC(thread_);
    const int column = ColumnOfC(thread_);
    const int upper = warp_ / 2;
    const int right = warp_ % 2;
    CAIRN_UNROLL
    for (int e = 0; e < 4; ++e) {
      const int i = row + e / 2 * 8;
      const int j = column + e % 2;
      to[32 + 16 * upper + i][16 * right + j] = from.half[0][e];
      to[32 + 16 * upper + i][16 * right + 8 + j] = from.half[1][e];
      to[32 * upper + 16 + i][32 * upper + 8 * right + j] = from.quarter[0][e];
      if (e >= 2) {
        to[16 * warp_ + i][16 * warp_ + j] = from.eighth[0][e];
      }
    }
    const int own = 16 * warp_ + thread_ % 32;
    CAIRN_UNROLL
    for (int s = 0; s < kDirect; ++s) {
      const int i = own - own % kDirect + s;
      if (thread_ % 32 < 16 && i >= own) {
        to[i][own] = from.direct[s];
      }
    }
  }

  /// A and P, and the keys of W; the decays are not needed any more then.
  CAIRN_DEVICE_MEMBER void Relate() const {
    Lower keys;
    Lower queries;
    const int row = RowOfA(thread_);
    const int column = RowOfB(thread_);
    const int upper = warp_ / 2;
    const int right = warp_ % 2;
    Meet<32>();
    Multiply(32 + 16 * upper + row, 16 * upper + row, 16 * right + column, keys.half, queries.half);
    Meet<16>();
    Multiply(32 * upper + 16 + row, 16 * upper + row, 32 * upper + 8 * right + column, keys.quarter,
             queries.quarter);
    Meet<8>();
    Multiply(16 * warp_ + row, 8 * warp_ + row % 8, 16 * warp_ + column, keys.eighth,
             queries.eighth);
    MultiplyDirectly(keys, queries);
    SyncBlock();
    if constexpr (kDelta) {
      DecayFromBegin(s_.key, s_.query);
    }
    SyncBlock();
    Put(keys, p_.a);
    Put(queries, p_.t);
    SyncBlock();
    Bf16* const mixed = out_.mixed + (slot_ * args_.value_heads + head_) * (kChunk * kChunk);
    for (int e = 2 * thread_; e < kChunk * kChunk; e += 2 * kPrepareThreads) {
      const int i = e / kChunk;
      const int j = e % kChunk;
      if (outputs_) {
        StorePair(mixed + e, Pack(j <= i ? p_.t[i][j] : 0.0F, j < i ? p_.t[i][j + 1] : 0.0F));
      }
      p_.a[i][j] = j < i ? s_.beta[i] * p_.a[i][j] : 0.0F;
      p_.a[i][j + 1] = j + 1 < i ? s_.beta[i] * p_.a[i][j + 1] : 0.0F;
      p_.t[i][j] = p_.t[i][j + 1] = 0.0F;
    }
    SyncBlock();
  }

  /// T diag(beta) in bf16.
  CAIRN_DEVICE_MEMBER void Scale() const {
    for (int e = thread_; e < kChunk * kChunk; e += kPrepareThreads) {
      const int i = e / kChunk;
      const int j = e % kChunk;
      float t = i == j ? 1.0F : 0.0F;
      if constexpr (kDelta) {
        t = p_.t[i][j];
      }
      p_.inverse[i][j] = FromFloat<Bf16>(t * s_.beta[j]);
    }
  }

  const bool outputs_;
  ChannelShared& s_;
  ChannelDecays& d_;
};

}  // namespace cairn::kernels
