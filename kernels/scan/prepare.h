#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/arith/exp2.h"
#include "kernels/launch/elements.h"
#include "kernels/launch/sequences.h"
#include "kernels/recurrent/rule.h"
#include "kernels/scan/fragments.h"
#include "kernels/scan/workspace.h"
#include "kernels/simt/device.h"

// What does not depend on the state, for all chunks at once: grid (slots, value_heads), 4 warps.
// With G_i the gates summed up to row i and A_ij = beta_i e^{G_i - G_j} k_i k_j for j < i:
//   T = (I + A)^-1,  W = T diag(beta e^G) K,  U = T diag(beta) V,  P = tril(e^{G_i - G_j} q_i k_j)
// (arXiv 2412.06464, eq. 8 to 10; notation of its reference code). Rules without delta: T = I.
namespace cairn::kernels {

constexpr int kPrepareThreads = 128;
constexpr int kKeyRow = kScanKey + 8;  ///< In shared memory: 16 bytes on, no two rows in one bank.
constexpr int kChunkRow = kChunk + 8;
constexpr int kSquareRow = kChunk + 4;

struct PrepareShared {
  alignas(16) Bf16 key[kChunk][kKeyRow];
  alignas(16) Bf16 query[kChunk][kKeyRow];
  alignas(16) Bf16 value[kChunk][kChunkRow];  ///< 64 columns at a time.
  alignas(16) Bf16 inverse[kChunk][kChunkRow];
  float a[kChunk][kSquareRow];  ///< A, then A's products on the way to T.
  float t[kChunk][kSquareRow];
  float gate[kChunk];
  float beta[kChunk];
};

template <bool kDelta>
class ChunkPreparation {
 public:
  CAIRN_DEVICE_MEMBER ChunkPreparation(const cairn_kernels_scan& args, std::int64_t slot, int head,
                                       unsigned char* shared)
      : args_(args.of),
        positions_(args.first_position),
        out_(Workspace(args)),
        slot_(slot),
        head_(head),
        group_(args.of.value_heads / args.of.key_heads),
        thread_(ThreadIndex()),
        warp_(ThreadIndex() / 32),
        s_(*reinterpret_cast<PrepareShared*>(shared)) {}

  CAIRN_DEVICE_MEMBER void Run() {
    if (!Find()) {
      return;
    }
    ReadKeys(args_.key, s_.key);
    const bool outputs = args_.output.data != nullptr;
    if (outputs) {
      ReadKeys(args_.query, s_.query);
    }
    ReadGates();
    SyncBlock();
    if (head_ % group_ == 0) {
      KeepKeys(s_.key, out_.key);
      if (outputs) {
        KeepKeys(s_.query, out_.query);
      }
    }
    if (outputs) {
      Mix();
    }
    if constexpr (kDelta) {
      Invert();
      Scale(true);
      SyncBlock();
      Erase();
      SyncBlock();
    }
    Scale(false);
    for (int column = 0; column < args_.value_dim; column += kChunk) {
      SyncBlock();
      ReadValues(column);
      SyncBlock();
      Write(column);
    }
  }

 private:
  /// Which chunk of which sequence this slot is; false if it is none.
  CAIRN_DEVICE_MEMBER bool Find() {
    int low = 0;
    int high = args_.sequences;
    while (high - low > 1) {  // The last sequence whose slots begin here or before.
      const int middle = (low + high) / 2;
      (FirstSlot(args_.cu_seqlens[middle], middle) <= slot_ ? low : high) = middle;
    }
    SequenceLists lists;
    if (ReadLists(args_, args_.state.slots, low, lists) != CAIRN_KERNELS_OK) {
      return false;  // The scan says so.
    }
    const std::int32_t position = positions_ == nullptr ? 0 : positions_[low];
    const std::int64_t chunk = slot_ - FirstSlot(lists.begin, low);
    if (position < 0 || chunk < 0 || chunk > INT32_MAX) {
      return false;
    }
    const ChunkRange range = RangeOf(static_cast<std::int32_t>(chunk), position, lists.length);
    first_ = std::int64_t{lists.begin} + range.first;
    count_ = range.count;
    return count_ > 0;
  }

  /// A row a warp, four channels a lane.
  CAIRN_DEVICE_MEMBER void ReadKeys(const cairn_kernels_rows& rows, Bf16 (&to)[kChunk][kKeyRow]) {
    const int lane = thread_ % 32;
    for (int i = warp_; i < kChunk; i += kPrepareThreads / 32) {
      float x[4] = {};
      if (i < count_) {
        const std::int64_t row =
            (first_ + i) * rows.token_stride + head_ / group_ * rows.head_stride + 4 * lane;
        CAIRN_UNROLL
        for (int c = 0; c < 4; ++c) {
          x[c] = ReadElement(rows, row + c);
        }
      }
      float factor = 1.0F;
      if (args_.normalize != 0) {
        float sum = (x[0] * x[0] + x[1] * x[1]) + (x[2] * x[2] + x[3] * x[3]);
        for (int mask = 16; mask > 0; mask /= 2) {
          sum += ShuffleXor(sum, mask);
        }
        factor = 1.0F / sqrtf(sum + kNormEpsilon);
      }
      CAIRN_UNROLL
      for (int c = 0; c < 4; ++c) {
        to[i][4 * lane + c] = FromFloat<Bf16>(x[c] * factor);
      }
    }
  }

  /// Sums the gates in order: 64 additions by one thread cost less than two barriers.
  CAIRN_DEVICE_MEMBER void ReadGates() {
    if (thread_ < kChunk) {
      const std::int64_t token = first_ + thread_;
      float gate = 0.0F;
      float beta = 0.0F;
      if (thread_ < count_) {
        gate =
            static_cast<const float*>(
                args_.gate.data)[token * args_.gate.token_stride + head_ * args_.gate.head_stride] *
            kLog2E;
        gate = gate < kLeastGate ? kLeastGate : gate;
        beta = args_.beta.data == nullptr
                   ? 1.0F
                   : static_cast<const float*>(args_.beta.data)[token * args_.beta.token_stride +
                                                                head_ * args_.beta.head_stride];
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
      out_.gate[(slot_ * args_.value_heads + head_) * kChunk + thread_] = s_.gate[thread_];
    }
  }

  CAIRN_DEVICE_MEMBER void KeepKeys(const Bf16 (&from)[kChunk][kKeyRow], Bf16* to) const {
    Bf16* const at = to + (slot_ * args_.key_heads + head_ / group_) * (kChunk * kScanKey);
    for (int i = thread_; i < kChunk * kScanKey / 2; i += kPrepareThreads) {
      const int row = i / (kScanKey / 2);
      const int column = i % (kScanKey / 2) * 2;
      StorePair(at + row * kScanKey + column, LoadPair(&from[row][column]));
    }
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

  /// T into s_.t: 16 x 16 blocks on the diagonal by substitution, a warp each; then pairs of
  /// blocks, T_10 = -T_11 A_10 T_00, first of 16 rows, then of 32. All in float.
  CAIRN_DEVICE_MEMBER void Invert() {
    float c[8][4] = {};
    RowProducts(s_.key, s_.key, c);
    CAIRN_UNROLL
    for (int t = 0; t < 8; ++t) {
      CAIRN_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int i = 16 * warp_ + RowOfC(thread_) + e / 2 * 8;
        const int j = 8 * t + ColumnOfC(thread_) + e % 2;
        s_.a[i][j] = j < i ? s_.beta[i] * Exp2(s_.gate[i] - s_.gate[j]) * c[t][e] : 0.0F;
        s_.t[i][j] = 0.0F;
      }
    }
    SyncBlock();
    const int column = thread_ % 32;
    if (column < 16) {
      const int first = 16 * warp_;
      float t[16];
      CAIRN_UNROLL
      for (int i = 0; i < 16; ++i) {
        float sum = 0.0F;
        CAIRN_UNROLL
        for (int l = 0; l < i; ++l) {
          sum = fmaf(s_.a[first + i][first + l], t[l], sum);
        }
        t[i] = i == column ? 1.0F : -sum;  // Above the diagonal all is 0, and so is the sum.
        s_.t[first + i][first + column] = t[i];
      }
    }
    SyncBlock();
    Merge<16>();
    Merge<32>();
  }
  template <int kSize>
  CAIRN_DEVICE_MEMBER void Merge() {
    constexpr int kElements = kSize * kSize * (kChunk / (2 * kSize));
    // X = A_10 T_00, into A_10's mirror image, which is not used.
    for (int e = thread_; e < kElements; e += kPrepareThreads) {
      const Place at = PlaceOf<kSize>(e);
      float sum = 0.0F;
      for (int l = 0; l < kSize; ++l) {
        sum = fmaf(s_.a[at.upper + kSize + at.row][at.upper + l],
                   s_.t[at.upper + l][at.upper + at.column], sum);
      }
      s_.a[at.upper + at.row][at.upper + kSize + at.column] = sum;
    }
    SyncBlock();
    for (int e = thread_; e < kElements; e += kPrepareThreads) {
      const Place at = PlaceOf<kSize>(e);
      float sum = 0.0F;
      for (int l = 0; l < kSize; ++l) {
        sum = fmaf(s_.t[at.upper + kSize + at.row][at.upper + kSize + l],
                   s_.a[at.upper + l][at.upper + kSize + at.column], sum);
      }
      s_.t[at.upper + kSize + at.row][at.upper + at.column] = -sum;
    }
    SyncBlock();
  }
  struct Place {
    int upper, row, column;
  };
  template <int kSize>
  CAIRN_DEVICE_MEMBER static Place PlaceOf(int e) {
    return {e / (kSize * kSize) * 2 * kSize, e / kSize % kSize, e % kSize};
  }

  /// T diag(beta), or T diag(beta e^G), in bf16.
  CAIRN_DEVICE_MEMBER void Scale(bool decayed) {
    for (int e = thread_; e < kChunk * kChunk; e += kPrepareThreads) {
      const int i = e / kChunk;
      const int j = e % kChunk;
      float t = i == j ? 1.0F : 0.0F;
      if constexpr (kDelta) {
        t = s_.t[i][j];
      }
      const float beta = decayed ? s_.beta[j] * Exp2(s_.gate[j]) : s_.beta[j];
      s_.inverse[i][j] = FromFloat<Bf16>(t * beta);
    }
  }
  /// W, the warp's 16 rows.
  CAIRN_DEVICE_MEMBER void Erase() const {
    float c[kScanKey / 8][4] = {};
    CAIRN_UNROLL
    for (int kk = 0; kk < kChunk / 16; ++kk) {
      std::uint32_t left[4];
      LoadMatrices(left, &s_.inverse[16 * warp_ + RowOfA(thread_)][16 * kk + ColumnOfA(thread_)]);
      CAIRN_UNROLL
      for (int t = 0; t < kScanKey / 16; ++t) {
        std::uint32_t right[4];
        LoadMatricesTransposed(right,
                               &s_.key[16 * kk + RowOfA(thread_)][16 * t + ColumnOfA(thread_)]);
        Mma(c[2 * t], left, right[0], right[1]);
        Mma(c[2 * t + 1], left, right[2], right[3]);
      }
    }
    Keep(c, out_.erased + (slot_ * args_.value_heads + head_) * (kChunk * kScanKey), kScanKey, 0,
         kScanKey);
  }
  CAIRN_DEVICE_MEMBER void ReadValues(int column) {
    for (int e = thread_; e < kChunk * kChunk; e += kPrepareThreads) {
      const int i = e / kChunk;
      const int c = column + e % kChunk;
      const bool there = i < count_ && c < args_.value_dim;
      s_.value[i][e % kChunk] =
          FromFloat<Bf16>(there ? ReadElement(args_.value, (first_ + i) * args_.value.token_stride +
                                                               head_ * args_.value.head_stride + c)
                                : 0.0F);
    }
  }
  /// U, the warp's 16 rows of these 64 columns.
  CAIRN_DEVICE_MEMBER void Write(int column) const {
    float c[8][4] = {};
    CAIRN_UNROLL
    for (int kk = 0; kk < kChunk / 16; ++kk) {
      std::uint32_t left[4];
      LoadMatrices(left, &s_.inverse[16 * warp_ + RowOfA(thread_)][16 * kk + ColumnOfA(thread_)]);
      CAIRN_UNROLL
      for (int t = 0; t < 4; ++t) {
        std::uint32_t right[4];
        LoadMatricesTransposed(right,
                               &s_.value[16 * kk + RowOfA(thread_)][16 * t + ColumnOfA(thread_)]);
        Mma(c[2 * t], left, right[0], right[1]);
        Mma(c[2 * t + 1], left, right[2], right[3]);
      }
    }
    Keep(c, out_.written + (slot_ * args_.value_heads + head_) * (kChunk * args_.value_dim),
         args_.value_dim, column, args_.value_dim);
  }
  template <int kTiles>
  CAIRN_DEVICE_MEMBER void Keep(const float (&c)[kTiles][4], Bf16* to, int stride, int first,
                                int end) const {
    CAIRN_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      const int column = first + 8 * t + ColumnOfC(thread_);
      const int row = 16 * warp_ + RowOfC(thread_);
      if (column < end) {
        StorePair(to + row * stride + column, Pack(c[t][0], c[t][1]));
        StorePair(to + (row + 8) * stride + column, Pack(c[t][2], c[t][3]));
      }
    }
  }

  const cairn_kernels_recurrent& args_;
  const std::int32_t* positions_;
  const ScanWorkspace out_;
  const std::int64_t slot_;
  const int head_;
  const int group_;
  const int thread_;
  const int warp_;
  PrepareShared& s_;
  std::int64_t first_ = 0;
  std::int32_t count_ = 0;
};

}  // namespace cairn::kernels
