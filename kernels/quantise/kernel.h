#pragma once

#include <cstdint>

#include "kernels/quantise/kivi.h"
#include "kernels/quantise/layout.h"
#include "kernels/quantise/number.h"
#include "kernels/simt/device.h"

// The codecs of cairn_kernels_quantise as device code: blocks of 256 threads that go through all
// work in strides, so that any number of blocks does it. Every value is read from memory once (a
// second time from the caches) and written once; floor: the bytes of both forms over the bandwidth.
namespace cairn::kernels {

constexpr int kQuantiseThreads = 256;
constexpr int kQuantiseWarps = kQuantiseThreads / 32;

struct QuantiseShared {
  float most[kQuantiseWarps][32];
};

/// 32 columns of a matrix a block: a lane has a column, a warp every eighth row.
template <class T, bool kDecode>
CAIRN_DEVICE void QuantiseColumns(const cairn_kernels_quantise& args) {
  auto& shared = *reinterpret_cast<QuantiseShared*>(Shared());
  auto* const scales = static_cast<float*>(args.payload);
  auto* const codes = static_cast<std::uint8_t*>(args.payload) + 4 * ScaleCount(args);
  const int lane = ThreadIndex() % 32;
  const int warp = ThreadIndex() / 32;
  const std::int64_t across = (args.columns + 31) / 32;
  for (std::int64_t at = BlockX(); at < args.matrices * across; at += GridX()) {
    const std::int64_t matrix = at / across;
    const std::int64_t column = at % across * 32 + lane;
    const bool there = column < args.columns;
    const std::int64_t first = matrix * args.rows * args.columns + column;
    T* const values = static_cast<T*>(args.values) + first;
    float scale = 0.0F;
    if constexpr (kDecode) {
      scale = there ? scales[matrix * args.columns + column] : 0.0F;
    } else {
      float most = 0.0F;
      for (std::int64_t i = warp; there && i < args.rows; i += kQuantiseWarps) {
        const float x = ToFloat(values[i * args.columns]);
        const float size = Magnitude(x);
        most = IsFinite(x) && size > most ? size : most;
      }
      shared.most[warp][lane] = most;
      SyncBlock();
      for (int w = 0; w < kQuantiseWarps; ++w) {
        most = shared.most[w][lane] > most ? shared.most[w][lane] : most;
      }
      SyncBlock();  // Before the next columns' values come here.
      scale = ScaleOf(most, kInt8Max);
      if (there && warp == 0) {
        scales[matrix * args.columns + column] = scale;
      }
    }
    for (std::int64_t i = warp; there && i < args.rows; i += kQuantiseWarps) {
      if constexpr (kDecode) {
        values[i * args.columns] =
            StoredElement<T>(Int8Code::Get(codes[first + i * args.columns], scale));
      } else {
        codes[first + i * args.columns] = Int8Code::Put(ToFloat(values[i * args.columns]), scale);
      }
    }
  }
}

/// 128 columns of a row a warp, every 32nd of them a lane.
template <class Code, class T, bool kDecode>
CAIRN_DEVICE void QuantiseRows(const cairn_kernels_quantise& args) {
  auto* const scales = static_cast<float*>(args.payload);
  const std::int64_t count = ScaleCount(args);
  auto* const codes = static_cast<std::uint8_t*>(args.payload) + 4 * count;
  const int lane = ThreadIndex() % 32;
  const std::int64_t across = (args.columns + kRowGroup - 1) / kRowGroup;
  const std::int64_t warps = std::int64_t{GridX()} * kQuantiseWarps;
  for (std::int64_t at = std::int64_t{BlockX()} * kQuantiseWarps + ThreadIndex() / 32; at < count;
       at += warps) {
    const std::int64_t column = at % across * kRowGroup + lane;
    const std::int64_t first = at / across * args.columns + column;
    T* const values = static_cast<T*>(args.values);
    if constexpr (kDecode) {
      const float scale = scales[at];
      CAIRN_UNROLL
      for (int j = 0; j < kRowGroup; j += 32) {
        if (column + j < args.columns) {
          values[first + j] = StoredElement<T>(Code::Get(codes[first + j], scale));
        }
      }
    } else {
      float x[kRowGroup / 32];
      float most = 0.0F;
      CAIRN_UNROLL
      for (int j = 0; j < kRowGroup / 32; ++j) {
        x[j] = column + 32 * j < args.columns ? ToFloat(values[first + 32 * j]) : 0.0F;
        const float size = Magnitude(x[j]);
        most = IsFinite(x[j]) && size > most ? size : most;
      }
      for (int mask = 16; mask > 0; mask /= 2) {
        const float other = ShuffleXor(most, mask);
        most = other > most ? other : most;
      }
      const float scale = ScaleOf(most, Code::kMost);
      if (lane == 0) {
        scales[at] = scale;
      }
      CAIRN_UNROLL
      for (int j = 0; j < kRowGroup / 32; ++j) {
        if (column + 32 * j < args.columns) {
          codes[first + 32 * j] = Code::Put(x[j], scale);
        }
      }
    }
  }
}

/// A group a thread. Neighbours have neighbouring columns of keys; of values each reads a line of
/// its own.
template <class T, int kBits, bool kDecode>
CAIRN_DEVICE void QuantiseKivi(const cairn_kernels_quantise& args) {
  const std::int32_t kept_rows = KeptRows(args);
  const std::int64_t thread = std::int64_t{BlockX()} * kQuantiseThreads + ThreadIndex();
  const std::int64_t threads = std::int64_t{GridX()} * kQuantiseThreads;
  if (kept_rows < 0) {
    if (thread == 0 && args.device_error != nullptr) {
      *args.device_error = CAIRN_KERNELS_DAMAGED;
    }
    return;
  }
  const KiviLayout layout(args, kept_rows);
  auto* const payload = static_cast<unsigned char*>(args.payload);
  T* const values = static_cast<T*>(args.values);
  T* const lows = reinterpret_cast<T*>(payload + layout.lows);
  auto* const scales = reinterpret_cast<std::uint16_t*>(payload + layout.scales);
  auto* const codes = reinterpret_cast<std::uint32_t*>(payload + layout.codes);
  for (std::int64_t g = thread; g < layout.groups; g += threads) {
    const KiviGroup group = KiviGroupAt(args, layout, g);
    const KiviValues<T> in_group = {values + group.first, group.apart, group.count};
    const KiviCoded<T> coded = {lows + g, scales + g, codes + g * kBits};
    if constexpr (kDecode) {
      DecodeKiviGroup<T, kBits>(coded, in_group);
    } else {
      EncodeKiviGroup<T, kBits>(in_group, coded);
    }
  }
  T* const kept = reinterpret_cast<T*>(payload + layout.kept);
  const std::int64_t each = std::int64_t{kept_rows} * args.columns;
  for (std::int64_t i = thread; i < args.matrices * each; i += threads) {
    const std::int64_t in = ((i / each + 1) * args.rows - kept_rows) * args.columns + i % each;
    if constexpr (kDecode) {
      values[in] = kept[i];
    } else {
      kept[i] = values[in];
    }
  }
  if (!kDecode && thread == 0) {
    auto* const head = static_cast<std::uint32_t*>(args.payload);
    head[0] = kKiviGroup;
    head[1] = static_cast<std::uint32_t>(kept_rows);
    for (std::int64_t i = layout.lows + layout.groups * std::int64_t{sizeof(T)}; i < layout.scales;
         ++i) {
      payload[i] = 0;
    }
    for (std::int64_t i = layout.scales + layout.groups * 2; i < layout.codes; ++i) {
      payload[i] = 0;
    }
  }
}

template <class T, int kCodec, bool kDecode>
CAIRN_DEVICE void QuantiseBlock(const cairn_kernels_quantise& args) {
  if constexpr (kCodec == CAIRN_KERNELS_INT8_COLUMN) {
    QuantiseColumns<T, kDecode>(args);
  } else if constexpr (kCodec == CAIRN_KERNELS_FP8_KV) {
    QuantiseRows<Fp8Code, T, kDecode>(args);
  } else if constexpr (kCodec == CAIRN_KERNELS_INT8_KV) {
    QuantiseRows<Int8Code, T, kDecode>(args);
  } else {
    QuantiseKivi<T, kCodec == CAIRN_KERNELS_KIVI2 ? 2 : 4, kDecode>(args);
  }
}

/// Blocks that have work, as many as may be.
inline int QuantiseBlocks(const cairn_kernels_quantise& args) {
  std::int64_t blocks = 0;
  switch (args.codec) {
    case CAIRN_KERNELS_INT8_COLUMN:
      blocks = std::int64_t{args.matrices} * ((args.columns + 31) / 32);
      break;
    case CAIRN_KERNELS_FP8_KV:
    case CAIRN_KERNELS_INT8_KV: blocks = (ScaleCount(args) - 1) / kQuantiseWarps + 1; break;
    default:  // About a thread for 32 values, and one for a few kept ones.
      blocks = std::int64_t{args.matrices} * args.rows * args.columns / (32 * kQuantiseThreads) + 1;
  }
  constexpr std::int64_t kMost = 1 << 16;
  const std::int64_t most =
      args.max_blocks > 0 && args.max_blocks < kMost ? args.max_blocks : kMost;
  return static_cast<int>(blocks < most ? blocks : most);
}

/// Calls run.template operator()<T, codec, decode>() with what `args` asks for.
template <class T, bool kDecode, class Run>
void WithQuantiseCodec(const cairn_kernels_quantise& args, const Run& run) {
  switch (args.codec) {
    case CAIRN_KERNELS_INT8_COLUMN:
      run.template operator()<T, CAIRN_KERNELS_INT8_COLUMN, kDecode>();
      break;
    case CAIRN_KERNELS_FP8_KV: run.template operator()<T, CAIRN_KERNELS_FP8_KV, kDecode>(); break;
    case CAIRN_KERNELS_INT8_KV: run.template operator()<T, CAIRN_KERNELS_INT8_KV, kDecode>(); break;
    case CAIRN_KERNELS_KIVI2: run.template operator()<T, CAIRN_KERNELS_KIVI2, kDecode>(); break;
    default: run.template operator()<T, CAIRN_KERNELS_KIVI4, kDecode>();
  }
}
template <class T, class Run>
void WithQuantiseType(const cairn_kernels_quantise& args, const Run& run) {
  args.decode == 0 ? WithQuantiseCodec<T, false>(args, run) : WithQuantiseCodec<T, true>(args, run);
}
template <class Run>
void WithQuantiseVariant(const cairn_kernels_quantise& args, const Run& run) {
  switch (args.dtype) {
    case CAIRN_KERNELS_F32: WithQuantiseType<float>(args, run); break;
    case CAIRN_KERNELS_BF16: WithQuantiseType<Bf16>(args, run); break;
    default: WithQuantiseType<F16>(args, run);
  }
}

}  // namespace cairn::kernels
