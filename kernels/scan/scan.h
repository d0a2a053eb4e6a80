#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/arith/exp2.h"
#include "kernels/launch/elements.h"
#include "kernels/launch/sequences.h"
#include "kernels/scan/fragments.h"
#include "kernels/scan/prepare.h"
#include "kernels/scan/prepare_channels.h"
#include "kernels/scan/workspace.h"
#include "kernels/simt/device.h"
#include "kernels/simt/warp.h"

// The serial part: grid (sequences * V / 32, value_heads), 2 warps. A warp has 16 value columns of
// the state, transposed, as the accumulators of its products: 16 x 128 floats, 64 registers a
// thread. Rounded to bf16 they are at once the left operand of the next product, so neither the
// state nor what is written into it passes through shared memory, and warps meet only when a chunk
// is loaded. Per chunk, with V' = U - W S:
//   O = scale (diag(e^G) Q S + P V'),   S <- e^{G_C} S + (V' diag(e^{G_C - G}))^T K
// and after its first r rows S is e^{G_r} S + (V' diag(e^{G_r - G}), rows up to r)^T K, which is
// all that an emission there costs. With a decay per key channel the preparation has put the decays
// into Q, into K, and for each emission into other keys; what is left is one factor for each
// column.
namespace cairn::kernels {

constexpr int kScanThreads = 64;
constexpr int kScanColumns = 32;
constexpr int kWrittenRow = kScanColumns + 8;

struct ScanOutputStage {
  alignas(16) Bf16 query[kChunk][kKeyRow];
  alignas(16) Bf16 mixed[kChunk][kChunkRow];
};
struct ScanNoStage {};
template <bool kDelta>
struct ScanErasedStage {
  alignas(16) Bf16 erased[kDelta ? kChunk : 1][kKeyRow];
};
/// One chunk in shared memory. With two of them the next is loaded while one is worked on.
template <bool kDelta, bool kChannel, bool kOutputs>
struct ScanStage {
  ScanErasedStage<kDelta> delta;
  alignas(16) Bf16 key[kChunk][kKeyRow];
  alignas(16) Bf16 written[kChunk][kWrittenRow];
  alignas(16) float gate[kChannel ? kChannelGateRow : kGateRow];  ///< As the workspace has it.
  std::conditional_t<kOutputs, ScanOutputStage, ScanNoStage> output;
};

template <bool kDelta, bool kChannel, bool kOutputs, int kStages>
class ChunkScan {
 public:
  using Stage = ScanStage<kDelta, kChannel, kOutputs>;

  CAIRN_DEVICE_MEMBER ChunkScan(const cairn_kernels_scan& args, int sequence, int head, int column,
                                unsigned char* shared)
      : args_(args.of),
        positions_(args.first_position),
        from_(Workspace(args, {.delta = kDelta, .channel = kChannel})),
        sequence_(sequence),
        head_(head),
        column_(column),
        thread_(ThreadIndex()),
        warp_(ThreadIndex() / 32),
        stages_(reinterpret_cast<Stage*>(shared)) {}

  CAIRN_DEVICE_MEMBER void Run() {
    int error = ReadLists(args_, args_.state.slots, sequence_, lists_);
    const std::int32_t position = positions_ == nullptr ? 0 : positions_[sequence_];
    if (error == CAIRN_KERNELS_OK && position < 0) {
      error = CAIRN_KERNELS_POSITIONS;
    }
    if (error != CAIRN_KERNELS_OK) {
      if (args_.device_error != nullptr && thread_ == 0) {
        *args_.device_error = error;
      }
      return;
    }
    ReadState();
    if (EmissionWithin(0)) {
      Store(args_.emit, EmissionSlot(), s_, 0);
      ++lists_.emit;
    }
    const std::int64_t reach = std::int64_t{position % kChunk} + lists_.length;
    const auto chunks =
        lists_.length == 0 ? 0 : static_cast<std::int32_t>((reach + kChunk - 1) / kChunk);
    for (std::int32_t chunk = 0; chunk < kStages - 1 && chunk < chunks; ++chunk) {
      Load(chunk);
    }
    for (std::int32_t chunk = 0; chunk < chunks; ++chunk) {
      if (chunk + kStages - 1 < chunks) {
        Load(chunk + kStages - 1);
        CopyWait<kStages - 1>();
      } else {
        CopyWait<0>();
      }
      SyncBlock();
      Advance(stages_[chunk % kStages], RangeOf(chunk, position, lists_.length));
      SyncBlock();
    }
    if (lists_.final >= 0) {
      Store(args_.state, lists_.final, s_, 0);
    }
  }

 private:
  static constexpr int kTiles = kScanKey / 8;

  /// Where this thread's first element of tile 0 is in a slot.
  CAIRN_DEVICE_MEMBER std::int64_t Place(const cairn_kernels_pool& pool, std::int64_t slot) const {
    const int row = column_ + 16 * warp_ + RowOfC(thread_);
    return slot * pool.slot_stride + (std::int64_t{head_} * args_.value_dim + row) * kScanKey +
           ColumnOfC(thread_);
  }
  CAIRN_DEVICE_MEMBER void ReadState() {
    const float* from = static_cast<const float*>(args_.state.data);
    const bool zero = lists_.initial < 0;
    const std::int64_t at = zero ? 0 : Place(args_.state, lists_.initial);
    CAIRN_UNROLL
    for (int j = 0; j < kTiles; ++j) {
      CAIRN_UNROLL
      for (int e = 0; e < 4; ++e) {
        s_[j][e] = zero ? 0.0F : from[at + e / 2 * (8 * kScanKey) + 8 * j + e % 2];
      }
    }
  }
  /// Writes some tiles of a state, the first of which is `first`.
  template <int kCount>
  CAIRN_DEVICE_MEMBER void Store(const cairn_kernels_pool& pool, std::int64_t slot,
                                 const float (&tiles)[kCount][4], int first) const {
    const std::int64_t at = Place(pool, slot) + 8 * first;
    CAIRN_UNROLL
    for (int j = 0; j < kCount; ++j) {
      CAIRN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const std::int64_t to = at + half * (8 * kScanKey) + 8 * j;
        if (pool.dtype == CAIRN_KERNELS_BF16) {
          StorePair(static_cast<Bf16*>(pool.data) + to,
                    Pack(tiles[j][2 * half], tiles[j][2 * half + 1]));
        } else {
          static_cast<float*>(pool.data)[to] = tiles[j][2 * half];
          static_cast<float*>(pool.data)[to + 1] = tiles[j][2 * half + 1];
        }
      }
    }
  }
  CAIRN_DEVICE_MEMBER bool EmissionWithin(std::int32_t last) const {
    return lists_.emit < lists_.emit_end && args_.emit_positions[lists_.emit] <= last;
  }
  CAIRN_DEVICE_MEMBER std::int64_t EmissionSlot() const {
    return args_.emit_slots == nullptr ? lists_.emit : args_.emit_slots[lists_.emit];
  }

  /// 64 rows of `bytes` bytes, in pieces of 16.
  template <int kRow>
  CAIRN_DEVICE_MEMBER void LoadRows(Bf16 (&to)[kChunk][kRow], const Bf16* from, int elements,
                                    std::int64_t stride) const {
    const int pieces = elements / 8;
    for (int i = thread_; i < kChunk * pieces; i += kScanThreads) {
      CopyAsync(&to[i / pieces][i % pieces * 8], from + i / pieces * stride + i % pieces * 8);
    }
  }
  CAIRN_DEVICE_MEMBER void Load(std::int32_t chunk) const {
    Stage& stage = stages_[chunk % kStages];
    const std::int64_t slot = FirstSlot(lists_.begin, sequence_) + chunk;
    const std::int64_t value = slot * args_.value_heads + head_;
    const std::int64_t key =
        kChannel ? value : slot * args_.key_heads + head_ / (args_.value_heads / args_.key_heads);
    if constexpr (kDelta) {
      LoadRows(stage.delta.erased, from_.erased + value * (kChunk * kScanKey), kScanKey, kScanKey);
    }
    LoadRows(stage.key, from_.key + key * (kChunk * kScanKey), kScanKey, kScanKey);
    LoadRows(stage.written, from_.written + value * (kChunk * args_.value_dim) + column_,
             kScanColumns, args_.value_dim);
    constexpr int kGates = sizeof(Stage::gate) / sizeof(float);
    if (thread_ < kGates / 4) {
      CopyAsync(&stage.gate[4 * thread_], from_.gate + value * kGates + 4 * thread_);
    }
    if constexpr (kOutputs) {
      LoadRows(stage.output.query, from_.query + key * (kChunk * kScanKey), kScanKey, kScanKey);
      LoadRows(stage.output.mixed, from_.mixed + value * (kChunk * kChunk), kChunk, kChunk);
    }
    CopyCommit();
  }

  CAIRN_DEVICE_MEMBER void Advance(const Stage& stage, const ChunkRange& range) {
    float v[8][4] = {};  // W S, then V', both transposed.
    float o[kOutputs ? 8 : 1][4] = {};
    CAIRN_UNROLL
    for (int kk = 0; kk < kScanKey / 16; ++kk) {
      const std::uint32_t left[4] = {
          Pack(s_[2 * kk][0], s_[2 * kk][1]), Pack(s_[2 * kk][2], s_[2 * kk][3]),
          Pack(s_[2 * kk + 1][0], s_[2 * kk + 1][1]), Pack(s_[2 * kk + 1][2], s_[2 * kk + 1][3])};
      CAIRN_UNROLL
      for (int t = 0; t < 4; ++t) {
        std::uint32_t right[4];
        const int row = 16 * t + RowOfB(thread_);
        const int column = 16 * kk + ColumnOfB(thread_);
        if constexpr (kDelta) {
          LoadMatrices(right, &stage.delta.erased[row][column]);
          Mma(v[2 * t], left, right[0], right[1]);
          Mma(v[2 * t + 1], left, right[2], right[3]);
        }
        if constexpr (kOutputs) {
          LoadMatrices(right, &stage.output.query[row][column]);
          Mma(o[2 * t], left, right[0], right[1]);
          Mma(o[2 * t + 1], left, right[2], right[3]);
        }
      }
    }
    CAIRN_UNROLL
    for (int t = 0; t < 4; ++t) {
      std::uint32_t u[4];
      LoadMatricesTransposed(
          u, &stage.written[16 * t + RowOfB(thread_)][16 * warp_ + ColumnOfB(thread_)]);
      CAIRN_UNROLL
      for (int q = 0; q < 2; ++q) {
        v[2 * t + q][0] = LowOf(u[2 * q]) - v[2 * t + q][0];
        v[2 * t + q][1] = HighOf(u[2 * q]) - v[2 * t + q][1];
        v[2 * t + q][2] = LowOf(u[2 * q + 1]) - v[2 * t + q][2];
        v[2 * t + q][3] = HighOf(u[2 * q + 1]) - v[2 * t + q][3];
      }
    }
    std::uint32_t packed[4][4];
    CAIRN_UNROLL
    for (int t = 0; t < 4; ++t) {
      CAIRN_UNROLL
      for (int q = 0; q < 2; ++q) {
        packed[t][2 * q] = Pack(v[2 * t + q][0], v[2 * t + q][1]);
        packed[t][2 * q + 1] = Pack(v[2 * t + q][2], v[2 * t + q][3]);
      }
    }
    if constexpr (kOutputs) {
      Output(stage, range, packed, o);
    }
    const std::int32_t end = range.first + range.count;
    while (EmissionWithin(end)) {
      const std::int32_t rows = args_.emit_positions[lists_.emit] - range.first;
      if constexpr (kChannel) {
        EmitPrepared(stage, rows, packed);
      } else {
        EmitAfter(stage, rows, v);
      }
      ++lists_.emit;
    }
    if constexpr (kChannel) {
      Decay<kTiles>(stage, kChunk, stage.gate, s_, 0);
      Take<kTiles>(packed, s_, [&](int t, int j, std::uint32_t(&right)[4]) {
        LoadMatricesTransposed(right,
                               &stage.key[16 * t + RowOfA(thread_)][16 * j + ColumnOfA(thread_)]);
      });
    } else {
      Update<kTiles>(stage, kChunk, v, s_, 0);
    }
  }

  /// NaN if there is a row that is not finite among the first `rows`, else `decay`: multiplied by
  /// it, a state of such rows is NaN, and with it all that comes later.
  CAIRN_DEVICE_MEMBER static float DecayOrNan(const Stage& stage, int rows, float decay) {
    return rows > SoundRows(stage) ? NanValue() : decay;
  }
  CAIRN_DEVICE_MEMBER static int SoundRows(const Stage& stage) {
    return static_cast<int>(stage.gate[kChannel ? kScanKey : kChunk]);
  }
  /// Which elements of a pair are of rows before `rows`; the first is of row i.
  CAIRN_DEVICE_MEMBER static std::uint32_t RowMask(int i, int rows) {
    return i + 1 < rows ? 0xFFFFFFFFU : i < rows ? 0xFFFFU : 0U;
  }

  /// tiles <- e^{G_r} tiles + (V' diag(e^{G_r - G}))^T K of the first `rows` rows, for `kCount`
  /// tiles from `first` on. Later rows count as zeros in both operands, as rows past a sequence's
  /// end are: whatever they are, not even the sign of a zero depends on them.
  template <int kCount>
  CAIRN_DEVICE_MEMBER void Update(const Stage& stage, int rows, const float (&v)[8][4],
                                  float (&tiles)[kCount][4], int first) const {
    const float last = stage.gate[rows - 1];
    const float all = DecayOrNan(stage, rows, Exp2(last));
    CAIRN_UNROLL
    for (int j = 0; j < kCount; ++j) {
      CAIRN_UNROLL
      for (int e = 0; e < 4; ++e) {
        tiles[j][e] *= all;
      }
    }
    CAIRN_UNROLL
    for (int t = 0; t < 4; ++t) {
      std::uint32_t left[4];
      std::uint32_t mask[2];
      CAIRN_UNROLL
      for (int q = 0; q < 2; ++q) {
        const int i = 16 * t + 8 * q + ColumnOfC(thread_);
        const float low = Exp2(last - stage.gate[i]);
        const float high = Exp2(last - stage.gate[i + 1]);
        mask[q] = RowMask(i, rows);
        left[2 * q] = Pack(v[2 * t + q][0] * low, v[2 * t + q][1] * high) & mask[q];
        left[2 * q + 1] = Pack(v[2 * t + q][2] * low, v[2 * t + q][3] * high) & mask[q];
      }
      CAIRN_UNROLL
      for (int j = 0; j < kCount / 2; ++j) {
        std::uint32_t right[4];
        LoadMatricesTransposed(
            right, &stage.key[16 * t + RowOfA(thread_)][8 * first + 16 * j + ColumnOfA(thread_)]);
        Mma(tiles[2 * j], left, right[0] & mask[0], right[1] & mask[1]);
        Mma(tiles[2 * j + 1], left, right[2] & mask[0], right[3] & mask[1]);
      }
    }
  }
  /// A quarter of the state at a time: there are no registers for another whole one.
  CAIRN_DEVICE_MEMBER void EmitAfter(const Stage& stage, int rows, const float (&v)[8][4]) const {
    CAIRN_UNROLL
    for (int first = 0; first < kTiles; first += 4) {
      float tiles[4][4];
      Copy(first, tiles);
      Update<4>(stage, rows, v, tiles, first);
      Store(args_.emit, EmissionSlot(), tiles, first);
    }
  }
  CAIRN_DEVICE_MEMBER void Copy(int first, float (&tiles)[4][4]) const {
    CAIRN_UNROLL
    for (int j = 0; j < 4; ++j) {
      CAIRN_UNROLL
      for (int e = 0; e < 4; ++e) {
        tiles[j][e] = s_[first + j][e];
      }
    }
  }

  // The same with a decay per channel.

  /// tiles <- tiles Diag(decays), those of the first `rows` rows, for `kCount` tiles from `first`
  /// on.
  template <int kCount>
  CAIRN_DEVICE_MEMBER void Decay(const Stage& stage, int rows, const float* decays,
                                 float (&tiles)[kCount][4], int first) const {
    CAIRN_UNROLL
    for (int j = 0; j < kCount; ++j) {
      CAIRN_UNROLL
      for (int e = 0; e < 4; ++e) {
        const float decay = decays[8 * (first + j) + ColumnOfC(thread_) + e % 2];
        tiles[j][e] *= DecayOrNan(stage, rows, decay);
      }
    }
  }
  /// tiles += V'^T K, with keys that have their decays: `load` gives 16 rows and columns of them.
  template <int kCount, class Load>
  CAIRN_DEVICE_MEMBER void Take(const std::uint32_t (&packed)[4][4], float (&tiles)[kCount][4],
                                const Load& load) const {
    CAIRN_UNROLL
    for (int t = 0; t < 4; ++t) {
      CAIRN_UNROLL
      for (int j = 0; j < kCount / 2; ++j) {
        std::uint32_t right[4];
        load(t, j, right);
        Mma(tiles[2 * j], packed[t], right[0], right[1]);
        Mma(tiles[2 * j + 1], packed[t], right[2], right[3]);
      }
    }
  }
  /// `packed`: V' of the whole chunk. Rows after the emission count as zeros, as above; their keys
  /// are zeros already.
  CAIRN_DEVICE_MEMBER void EmitPrepared(const Stage& stage, int rows,
                                        const std::uint32_t (&packed)[4][4]) const {
    std::uint32_t kept[4][4];
    CAIRN_UNROLL
    for (int t = 0; t < 4; ++t) {
      CAIRN_UNROLL
      for (int w = 0; w < 4; ++w) {
        kept[t][w] = packed[t][w] & RowMask(16 * t + w / 2 * 8 + ColumnOfC(thread_), rows);
      }
    }
    const std::int64_t at = std::int64_t{lists_.emit} * args_.value_heads + head_;
    const Bf16* const keys = from_.emitted_key + at * (kChunk * kScanKey);
    CAIRN_UNROLL
    for (int first = 0; first < kTiles; first += 4) {
      float tiles[4][4];
      Copy(first, tiles);
      Decay<4>(stage, rows, from_.emitted_gate + at * kScanKey, tiles, first);
      Take<4>(kept, tiles, [&](int t, int j, std::uint32_t(&right)[4]) {
        LoadInOrder(right, keys + OperandAt<kScanKey>(t, first / 2 + j, thread_));
      });
      Store(args_.emit, EmissionSlot(), tiles, first);
    }
  }

  CAIRN_DEVICE_MEMBER void Output(const Stage& stage, const ChunkRange& range,
                                  const std::uint32_t (&packed)[4][4], float (&o)[8][4]) const {
    CAIRN_UNROLL
    for (int t = 0; t < 8 && !kChannel; ++t) {
      CAIRN_UNROLL
      for (int e = 0; e < 4; ++e) {
        o[t][e] *= Exp2(stage.gate[8 * t + ColumnOfC(thread_) + e % 2]);
      }
    }
    CAIRN_UNROLL
    for (int kk = 0; kk < 4; ++kk) {
      CAIRN_UNROLL
      for (int t = 0; t < 4; ++t) {
        std::uint32_t right[4];
        LoadMatrices(right,
                     &stage.output.mixed[16 * t + RowOfB(thread_)][16 * kk + ColumnOfB(thread_)]);
        Mma(o[2 * t], packed[kk], right[0], right[1]);
        Mma(o[2 * t + 1], packed[kk], right[2], right[3]);
      }
    }
    CAIRN_UNROLL
    for (int t = 0; t < 8; ++t) {
      CAIRN_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int row = 8 * t + ColumnOfC(thread_) + e % 2;
        if (row >= range.count) {
          continue;
        }
        const std::int64_t token = std::int64_t{lists_.begin} + range.first + row;
        const int column = column_ + 16 * warp_ + RowOfC(thread_) + e / 2 * 8;
        float out = args_.scale * o[t][e];
        if (args_.skip != nullptr) {
          out = fmaf(args_.skip[head_],
                     ReadElement(args_.value, token * args_.value.token_stride +
                                                  head_ * args_.value.head_stride + column),
                     out);
        }
        out = row < SoundRows(stage) ? out : NanValue();
        WriteElement(args_.output,
                     token * args_.output.token_stride + head_ * args_.output.head_stride + column,
                     out);
      }
    }
  }

  const cairn_kernels_recurrent& args_;
  const std::int32_t* positions_;
  const ScanWorkspace from_;
  const int sequence_;
  const int head_;
  const int column_;
  const int thread_;
  const int warp_;
  Stage* const stages_;
  SequenceLists lists_;
  float s_[kTiles][4];
};

template <bool kDelta, bool kChannel, bool kOutputs, int kStages>
CAIRN_DEVICE void ScanBlock(const cairn_kernels_scan& args) {
  const int tiles = args.of.value_dim / kScanColumns;
  ChunkScan<kDelta, kChannel, kOutputs, kStages>(args, BlockX() / tiles, BlockY(),
                                                 BlockX() % tiles * kScanColumns, Shared())
      .Run();
}
template <bool kDelta, bool kChannel>
CAIRN_DEVICE void PrepareBlock(const cairn_kernels_scan& args) {
  std::conditional_t<kChannel, ChannelPreparation<kDelta>, ChunkPreparation<kDelta>>(
      args, BlockX(), BlockY(), Shared())
      .Run();
}
template <bool kChannel>
constexpr std::size_t kPrepareShared = kChannel ? sizeof(ChannelShared) : sizeof(PrepareShared);

}  // namespace cairn::kernels
