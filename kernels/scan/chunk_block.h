#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/launch/elements.h"
#include "kernels/launch/sequences.h"
#include "kernels/recurrent/rule.h"
#include "kernels/scan/fragments.h"
#include "kernels/scan/workspace.h"
#include "kernels/simt/device.h"

// What the preparation of a chunk is made of, whatever the decays: its place, its rows, T from A,
// and the products with T.
namespace cairn::kernels {

constexpr int kPrepareThreads = 128;
constexpr int kKeyRow = kScanKey + 8;  ///< In shared memory: 16 bytes on, no two rows in one bank.
constexpr int kChunkRow = kChunk + 8;
constexpr int kSquareRow = kChunk + 4;

struct PrepareProducts {
  alignas(16) Bf16 value[kChunk][kChunkRow];  ///< 64 columns at a time.
  alignas(16) Bf16 inverse[kChunk][kChunkRow];
  float a[kChunk][kSquareRow];  ///< A, then A's products on the way to T.
  float t[kChunk][kSquareRow];
  float sound[kPrepareThreads / 32];
};

class ChunkBlock {
 protected:
  CAIRN_DEVICE_MEMBER ChunkBlock(const cairn_kernels_scan& args, const ScanWorkspace& out,
                                 std::int64_t slot, int head, PrepareProducts& products)
      : args_(args.of),
        positions_(args.first_position),
        out_(out),
        slot_(slot),
        head_(head),
        group_(args.of.value_heads / args.of.key_heads),
        thread_(ThreadIndex()),
        warp_(ThreadIndex() / 32),
        p_(products) {}

  /// Which chunk of which sequence this slot is; false if it is none.
  CAIRN_DEVICE_MEMBER bool Find() {
    int low = 0;
    int high = args_.sequences;
    while (high - low > 1) {  // The last sequence whose slots begin here or before.
      const int middle = (low + high) / 2;
      (FirstSlot(args_.cu_seqlens[middle], middle) <= slot_ ? low : high) = middle;
    }
    if (ReadLists(args_, args_.state.slots, low, lists_) != CAIRN_KERNELS_OK) {
      return false;  // The scan says so.
    }
    const std::int32_t position = positions_ == nullptr ? 0 : positions_[low];
    const std::int64_t chunk = slot_ - FirstSlot(lists_.begin, low);
    if (position < 0 || chunk < 0 || chunk > INT32_MAX) {
      return false;
    }
    range_ = RangeOf(static_cast<std::int32_t>(chunk), position, lists_.length);
    first_ = lists_.begin + range_.first;
    return range_.count > 0;
  }

  /// What is put in for row i: 0 for what is not finite, which is noted. Only what other rows meet
  /// in a product: a query is its own row's alone.
  CAIRN_DEVICE_MEMBER float Sound(float x, int i) {
    if (!IsFinite(x)) {
      sound_ = fminf(sound_, static_cast<float>(i));
      return 0.0F;
    }
    return x;
  }
  CAIRN_DEVICE_MEMBER Bf16 SoundBf16(float x, int i) {
    const Bf16 rounded = FromFloat<Bf16>(x);
    return FromFloat<Bf16>(Sound(ToFloat(rounded), i));
  }
  /// For the scan; after all has been read.
  CAIRN_DEVICE_MEMBER void KeepSound(float* to) {
    for (int mask = 16; mask > 0; mask /= 2) {
      sound_ = fminf(sound_, ShuffleXor(sound_, mask));
    }
    if (thread_ % 32 == 0) {
      p_.sound[warp_] = sound_;
    }
    SyncBlock();
    if (thread_ == 0) {
      *to = fminf(fminf(p_.sound[0], p_.sound[1]), fminf(p_.sound[2], p_.sound[3]));
    }
  }

  /// A row a warp, four channels a lane.
  CAIRN_DEVICE_MEMBER void ReadKeys(Bf16 (&to)[kChunk][kKeyRow]) {
    ReadRows(args_.key, [&](int i, int k, float x) { to[i][k] = SoundBf16(x, i); });
  }
  CAIRN_DEVICE_MEMBER void ReadQueries(Bf16 (&to)[kChunk][kKeyRow]) const {
    ReadRows(args_.query, [&](int i, int k, float x) { to[i][k] = FromFloat<Bf16>(x); });
  }
  template <class Put>
  CAIRN_DEVICE_MEMBER void ReadRows(const cairn_kernels_rows& rows, const Put& put) const {
    const int lane = thread_ % 32;
    for (int i = warp_; i < kChunk; i += kPrepareThreads / 32) {
      float x[4] = {};
      if (i < range_.count) {
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
        put(i, 4 * lane + c, x[c] * factor);
      }
    }
  }

  CAIRN_DEVICE_MEMBER float Beta(int i) {
    return args_.beta.data == nullptr
               ? 1.0F
               : Sound(static_cast<const float*>(
                           args_.beta.data)[(first_ + i) * args_.beta.token_stride +
                                            head_ * args_.beta.head_stride],
                       i);
  }
  CAIRN_DEVICE_MEMBER void KeepRows(const Bf16 (&from)[kChunk][kKeyRow], Bf16* to) const {
    for (int i = thread_; i < kChunk * kScanKey / 2; i += kPrepareThreads) {
      const int row = i / (kScanKey / 2);
      const int column = i % (kScanKey / 2) * 2;
      StorePair(to + row * kScanKey + column, LoadPair(&from[row][column]));
    }
  }

  /// T into `t`, which is zeros, from A: 16 x 16 blocks on the diagonal by substitution, a warp
  /// each; then pairs of blocks, T_10 = -T_11 A_10 T_00, first of 16 rows, then of 32. In float.
  CAIRN_DEVICE_MEMBER void Solve() const {
    const int column = thread_ % 32;
    if (column < 16) {
      const int first = 16 * warp_;
      float t[16];
      CAIRN_UNROLL
      for (int i = 0; i < 16; ++i) {
        float sum = 0.0F;
        CAIRN_UNROLL
        for (int l = 0; l < i; ++l) {
          sum = fmaf(p_.a[first + i][first + l], t[l], sum);
        }
        t[i] = i == column ? 1.0F : -sum;  // Above the diagonal all is 0, and so is the sum.
        p_.t[first + i][first + column] = t[i];
      }
    }
    SyncBlock();
    Merge<16>();
    Merge<32>();
  }
  template <int kSize>
  CAIRN_DEVICE_MEMBER void Merge() const {
    constexpr int kElements = kSize * kSize * (kChunk / (2 * kSize));
    // X = A_10 T_00, into A_10's mirror image, which is not used.
    for (int e = thread_; e < kElements; e += kPrepareThreads) {
      const Place at = PlaceOf<kSize>(e);
      float sum = 0.0F;
      for (int l = 0; l < kSize; ++l) {
        sum = fmaf(p_.a[at.upper + kSize + at.row][at.upper + l],
                   p_.t[at.upper + l][at.upper + at.column], sum);
      }
      p_.a[at.upper + at.row][at.upper + kSize + at.column] = sum;
    }
    SyncBlock();
    for (int e = thread_; e < kElements; e += kPrepareThreads) {
      const Place at = PlaceOf<kSize>(e);
      float sum = 0.0F;
      for (int l = 0; l < kSize; ++l) {
        sum = fmaf(p_.t[at.upper + kSize + at.row][at.upper + kSize + l],
                   p_.a[at.upper + l][at.upper + kSize + at.column], sum);
      }
      p_.t[at.upper + kSize + at.row][at.upper + at.column] = -sum;
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

  /// W = (what is in `inverse`) K, the warp's 16 rows.
  CAIRN_DEVICE_MEMBER void Erase(const Bf16 (&keys)[kChunk][kKeyRow]) const {
    float c[kScanKey / 8][4] = {};
    CAIRN_UNROLL
    for (int kk = 0; kk < kChunk / 16; ++kk) {
      std::uint32_t left[4];
      LoadMatrices(left, &p_.inverse[16 * warp_ + RowOfA(thread_)][16 * kk + ColumnOfA(thread_)]);
      CAIRN_UNROLL
      for (int t = 0; t < kScanKey / 16; ++t) {
        std::uint32_t right[4];
        LoadMatricesTransposed(right,
                               &keys[16 * kk + RowOfA(thread_)][16 * t + ColumnOfA(thread_)]);
        Mma(c[2 * t], left, right[0], right[1]);
        Mma(c[2 * t + 1], left, right[2], right[3]);
      }
    }
    Keep(c, out_.erased + (slot_ * args_.value_heads + head_) * (kChunk * kScanKey), kScanKey, 0,
         kScanKey);
  }
  /// U = (what is in `inverse`) V.
  CAIRN_DEVICE_MEMBER void WriteAll() {
    for (int column = 0; column < args_.value_dim; column += kChunk) {
      SyncBlock();
      ReadValues(column);
      SyncBlock();
      Write(column);
    }
  }
  CAIRN_DEVICE_MEMBER void ReadValues(int column) {
    for (int e = thread_; e < kChunk * kChunk; e += kPrepareThreads) {
      const int i = e / kChunk;
      const int c = column + e % kChunk;
      const bool there = i < range_.count && c < args_.value_dim;
      p_.value[i][e % kChunk] =
          SoundBf16(there ? ReadElement(args_.value, (first_ + i) * args_.value.token_stride +
                                                         head_ * args_.value.head_stride + c)
                          : 0.0F,
                    i);
    }
  }
  /// U, the warp's 16 rows of these 64 columns.
  CAIRN_DEVICE_MEMBER void Write(int column) const {
    float c[8][4] = {};
    CAIRN_UNROLL
    for (int kk = 0; kk < kChunk / 16; ++kk) {
      std::uint32_t left[4];
      LoadMatrices(left, &p_.inverse[16 * warp_ + RowOfA(thread_)][16 * kk + ColumnOfA(thread_)]);
      CAIRN_UNROLL
      for (int t = 0; t < 4; ++t) {
        std::uint32_t right[4];
        LoadMatricesTransposed(right,
                               &p_.value[16 * kk + RowOfA(thread_)][16 * t + ColumnOfA(thread_)]);
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
  PrepareProducts& p_;
  SequenceLists lists_;
  ChunkRange range_{};
  std::int64_t first_ = 0;  ///< Token of the batch.
  float sound_ = kChunk;    ///< Rows before the first that this thread saw something wrong in.
};

}  // namespace cairn::kernels
