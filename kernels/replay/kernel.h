#pragma once

#include <cmath>
#include <cstddef>

#include "kernels/replay/restore.h"
#include "kernels/simt/warp.h"

// The replay as device code: a block for 64 value columns of one head of one layer of one restore,
// K threads, each with 8 columns x 8 channels of the state in registers. Nothing depends on the
// state but itself, so there is no sum and no shuffle; rows of the log come through shared memory
// while the ones before are worked off.
//
// Floor, for 64 tokens of 36 layers of 16 key and 32 value heads of 128 x 128: 151 MB of states and
// 57 MB of log, 48 us at 4.3 TB/s. The exact form's two operations for each element and token are
// 2.4e9, 72 to 82 us at 132 x 128 of them per cycle, so it is arithmetic that bounds it; the folded
// form has half of them. One layer is 64 blocks, all 36 are 2,304: 17 for each multiprocessor.
namespace cairn::kernels {

constexpr int kReplayColumns = 64;

template <int K, bool kChannel>
struct ReplayStage {
  static constexpr int kTokens = ReplayTokens(K);

  alignas(16) float key[kTokens][K];
  alignas(16) float value[kTokens][kReplayColumns];
  alignas(16) float decay[kChannel ? kTokens : 1][K];
  alignas(16) float total[K];  ///< Folded: what the state before the stage is multiplied by.
  float factor[kTokens];
};
template <int K, bool kChannel>
struct ReplayShared {
  ReplayStage<K, kChannel> stages[2];
};

template <int K, bool kChannel, bool kFolded>
class TileReplay {
 public:
  using Stage = ReplayStage<K, kChannel>;

  CAIRN_DEVICE_MEMBER TileReplay(const cairn_kernels_replay& args, const Restore& restore,
                                 int layer, int head, int first_column, unsigned char* shared)
      : args_(args),
        restore_(restore),
        layer_(layer),
        head_(head),
        first_column_(first_column),
        key_lane_(ThreadIndex() % (K / 8)),
        column_lane_(ThreadIndex() / (K / 8)),
        stages_(reinterpret_cast<ReplayShared<K, kChannel>*>(shared)->stages) {}

  CAIRN_DEVICE_MEMBER void Run() {
    Fetch(0);
    CopyCommit();
    ReadState();
    for (std::int32_t at = 0; at < restore_.tokens; at += Stage::kTokens) {
      Stage& stage = stages_[at / Stage::kTokens % 2];
      Fetch(at + Stage::kTokens);
      CopyCommit();
      CopyWait<1>();
      SyncBlock();
      const std::int32_t left = restore_.tokens - at;
      const int tokens = left < Stage::kTokens ? static_cast<int>(left) : Stage::kTokens;
      if constexpr (kFolded) {
        Fold(stage, tokens);
        SyncBlock();
        Forget(stage);
      }
      CAIRN_ROLLED
      for (int t = 0; t < tokens; ++t) {
        Token(stage, t);
      }
      SyncBlock();  // Nobody reads the stage any more.
    }
    WriteState();
  }

 private:
  static constexpr int kSide = 8;  ///< Of a thread's part, in columns and in channels.

  /// Column i and channel c of this thread's part, within the block's.
  CAIRN_DEVICE_MEMBER int Column(int i) const {
    return i / 4 * (kReplayColumns / 2) + 4 * column_lane_ + i % 4;
  }
  CAIRN_DEVICE_MEMBER int Channel(int c) const { return c / 4 * (K / 2) + 4 * key_lane_ + c % 4; }
  CAIRN_DEVICE_MEMBER bool There(int i) const {
    return first_column_ + Column(i) < args_.value_dim;
  }
  CAIRN_DEVICE_MEMBER std::int64_t Row(std::int64_t slot_stride, std::int64_t slot, int i) const {
    return slot * slot_stride +
           (std::int64_t{head_} * args_.value_dim + first_column_ + Column(i)) * K;
  }

  CAIRN_DEVICE_MEMBER void ReadState() {
    const bool zero = restore_.base < 0;
    const float* from = zero ? nullptr : LayerOf<const float>(args_.base, layer_);
    CAIRN_UNROLL
    for (int i = 0; i < kSide; ++i) {
      CAIRN_UNROLL
      for (int c = 0; c < kSide; c += 4) {
        Float4 s{0, 0, 0, 0};
        if (!zero && There(i)) {
          s = *reinterpret_cast<const Float4*>(
              from + Row(args_.base.slot_stride, restore_.base, i) + Channel(c));
        }
        s_[i][c] = s.x;
        s_[i][c + 1] = s.y;
        s_[i][c + 2] = s.z;
        s_[i][c + 3] = s.w;
      }
    }
  }
  CAIRN_DEVICE_MEMBER void WriteState() const {
    float* to = LayerOf<float>(args_.target, layer_);
    CAIRN_UNROLL
    for (int i = 0; i < kSide; ++i) {
      CAIRN_UNROLL
      for (int c = 0; c < kSide; c += 4) {
        if (There(i)) {
          *reinterpret_cast<Float4*>(to + Row(args_.target.slot_stride, restore_.target, i) +
                                     Channel(c)) = {s_[i][c], s_[i][c + 1], s_[i][c + 2],
                                                    s_[i][c + 3]};
        }
      }
    }
  }

  /// Begins to copy the rows of the stage at token `at`; none past the end.
  CAIRN_DEVICE_MEMBER void Fetch(std::int32_t at) const {
    Stage& stage = stages_[at / Stage::kTokens % 2];
    const int key_head = head_ / (args_.value_heads / args_.key_heads);
    CAIRN_ROLLED
    for (int i = ThreadIndex(); i < Stage::kTokens * K / 4; i += K) {
      const int t = i / (K / 4);
      const int k = i % (K / 4) * 4;
      if (at + t < restore_.tokens) {
        const std::int64_t token = restore_.first_token + at + t;
        CopyAsync(&stage.key[t][k],
                  LogRow(args_.key, args_.key_layer_stride, layer_, token, key_head) + k);
        if constexpr (kChannel) {
          CopyAsync(&stage.decay[t][k],
                    LogRow(args_.gate, args_.gate_layer_stride, layer_, token, head_) + k);
        }
      }
    }
    CAIRN_ROLLED
    for (int i = ThreadIndex(); i < Stage::kTokens * kReplayColumns / 4; i += K) {
      const int t = i / (kReplayColumns / 4);
      const int v = i % (kReplayColumns / 4) * 4;
      if (at + t < restore_.tokens && first_column_ + v < args_.value_dim) {
        CopyAsync(&stage.value[t][v], LogRow(args_.value, args_.value_layer_stride, layer_,
                                             restore_.first_token + at + t, head_) +
                                          first_column_ + v);
      }
    }
    const int t = ThreadIndex();
    if (!kChannel && t < Stage::kTokens && at + t < restore_.tokens) {
      CopyWordAsync(&stage.factor[t], LogRow(args_.gate, args_.gate_layer_stride, layer_,
                                             restore_.first_token + at + t, head_));
    }
  }

  /// Multiplies every key by the decays after it. There is one thread for each channel.
  CAIRN_DEVICE_MEMBER void Fold(Stage& stage, int tokens) const {
    const int k = ThreadIndex();
    float weight = 1;
    CAIRN_ROLLED
    for (int t = tokens - 1; t >= 0; --t) {
      stage.key[t][k] = stage.key[t][k] * weight;
      weight = weight * (kChannel ? stage.decay[kChannel ? t : 0][k] : stage.factor[t]);
    }
    stage.total[k] = weight;
  }
  CAIRN_DEVICE_MEMBER void Forget(const Stage& stage) {
    float total[kSide];
    Take(stage.total, total);
    CAIRN_UNROLL
    for (int i = 0; i < kSide; ++i) {
      CAIRN_UNROLL
      for (int c = 0; c < kSide; ++c) {
        s_[i][c] = total[c] * s_[i][c];
      }
    }
  }

  CAIRN_DEVICE_MEMBER static void Take(const float* row, int first, int second,
                                       float (&to)[kSide]) {
    const Float4 a = *reinterpret_cast<const Float4*>(row + first);
    const Float4 b = *reinterpret_cast<const Float4*>(row + second);
    to[0] = a.x;
    to[1] = a.y;
    to[2] = a.z;
    to[3] = a.w;
    to[4] = b.x;
    to[5] = b.y;
    to[6] = b.z;
    to[7] = b.w;
  }
  /// This thread's channels of a row in shared memory.
  CAIRN_DEVICE_MEMBER void Take(const float* row, float (&to)[kSide]) const {
    Take(row, Channel(0), Channel(4), to);
  }

  CAIRN_DEVICE_MEMBER void Token(const Stage& stage, int t) {
    float key[kSide];
    float u[kSide];
    Take(stage.key[t], key);
    Take(stage.value[t], Column(0), Column(4), u);
    float decay[kSide];
    if constexpr (kChannel && !kFolded) {
      Take(stage.decay[t], decay);
    } else {
      CAIRN_UNROLL
      for (int c = 0; c < kSide; ++c) {
        decay[c] = kFolded ? 1.0F : stage.factor[t];
      }
    }
    CAIRN_UNROLL
    for (int i = 0; i < kSide; ++i) {
      CAIRN_UNROLL
      for (int c = 0; c < kSide; ++c) {
        s_[i][c] = fmaf(key[c], u[i], kFolded ? s_[i][c] : decay[c] * s_[i][c]);
      }
    }
  }

  const cairn_kernels_replay& args_;
  const Restore restore_;
  const int layer_;
  const int head_;
  const int first_column_;
  const int key_lane_;
  const int column_lane_;
  Stage* const stages_;
  float s_[kSide][kSide];
};

CAIRN_BOTH int ReplayTiles(const cairn_kernels_replay& args) {
  return (args.value_dim + kReplayColumns - 1) / kReplayColumns;
}

/// Heads side by side: blocks that read the same keys run at the same time.
template <int K, bool kChannel, bool kFolded>
CAIRN_DEVICE void ReplayBlock(const cairn_kernels_replay& args) {
  const int tiles = ReplayTiles(args);
  const int tile = BlockX() % tiles;
  const int head = BlockX() / tiles % args.value_heads;
  const int layer = BlockX() / tiles / args.value_heads % args.layers;
  Restore restore;
  int error = ReadRestore(args, BlockX() / tiles / args.value_heads / args.layers, restore);
  if (error == CAIRN_KERNELS_OK && restore.target >= 0) {
    error = LayerError(args.target, layer, 16);
    if (error == CAIRN_KERNELS_OK && restore.base >= 0) {
      error = LayerError(args.base, layer, 16);
    }
  }
  if (error != CAIRN_KERNELS_OK) {
    if (args.device_error != nullptr && ThreadIndex() == 0) {
      *args.device_error = error;
    }
    return;
  }
  if (restore.target >= 0) {
    TileReplay<K, kChannel, kFolded>(args, restore, layer, head, tile * kReplayColumns, Shared())
        .Run();
  }
}

}  // namespace cairn::kernels
