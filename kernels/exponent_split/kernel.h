#pragma once

#include <cstdint>

#include "kernels/exponent_split/chunk.h"
#include "kernels/simt/device.h"
#include "kernels/simt/warp.h"

// Decoding as device code: a warp a chunk, so that 75 MB are 576 warps. The 32 lanes of rANS are
// the 32 threads; all coded planes of a chunk advance together, so that whole elements are in
// registers when they are stored, and no plane is in memory. What is read ahead: the words of each
// stream, 256 bytes in registers, and four steps of the planes that are stored as they are.
//
// Floor: the bytes of both forms over the bandwidth.
namespace cairn::kernels {

constexpr int kSplitThreads = 32;
constexpr int kSplitAhead = 4;  ///< Steps of 32 elements.

struct SplitShared {
  RansTable table[kMaxPlanes];
};

CAIRN_DEVICE int BitsBelow(std::uint32_t bits, int lane) {
  return CountBits(bits & ((1U << static_cast<unsigned>(lane)) - 1U));
}
/// Of the lanes below this one.
CAIRN_DEVICE std::uint32_t SumBelow(std::uint32_t value, int lane) {
  std::uint32_t sum = value;
  for (int distance = 1; distance < 32; distance *= 2) {
    const std::uint32_t other = Shuffle(sum, lane < distance ? lane : lane - distance);
    sum += lane < distance ? 0 : other;
  }
  return sum - value;
}

/// False in all lanes if the model is damaged.
CAIRN_DEVICE bool BuildTable(const std::uint8_t* model, RansTable& table) {
  const int lane = ThreadIndex() % 32;
  const std::uint32_t present = model[lane];  // Of symbols 8 lane and after.
  const auto* const frequencies = reinterpret_cast<const std::uint16_t*>(model + 32) +
                                  SumBelow(static_cast<std::uint32_t>(CountBits(present)), lane);
  std::uint32_t sum = 0;
  bool good = true;
  for (int i = 0, read = 0; i < 8; ++i) {
    if ((present >> i & 1U) != 0) {
      const std::uint32_t frequency = frequencies[read++];
      good = good && frequency > 0 && frequency < kRansTotal;
      table.entry[8 * lane + i] = frequency | sum << 12U;  // The lane's start is added below.
      sum += frequency;
    }
  }
  const std::uint32_t start = SumBelow(sum, lane);
  good = Ballot(!good || (lane == 31 && start + sum != kRansTotal)) == 0;
  if (!good) {
    return false;
  }
  for (int i = 0; i < 8; ++i) {
    if ((present >> i & 1U) != 0) {
      table.entry[8 * lane + i] += start << 12U;
    }
  }
  SyncBlock();
  for (int symbol = 0; symbol < 256; ++symbol) {  // All lanes fill one's slots, as some have many.
    if ((model[symbol / 8] >> (symbol % 8) & 1U) != 0) {
      const std::uint32_t entry = table.entry[symbol];
      for (std::uint32_t i = static_cast<std::uint32_t>(lane); i < (entry & 0xFFFU); i += 32) {
        table.symbol[(entry >> 12U) + i] = static_cast<std::uint8_t>(symbol);
      }
    }
  }
  SyncBlock();
  return true;
}

/// One plane's stream, this lane's part of it.
class RansWarp {
 public:
  CAIRN_DEVICE_MEMBER bool Begin(const PlaneSource& plane, RansTable& table) {
    lane_ = ThreadIndex() % 32;
    table_ = &table;
    pairs_ = plane.word_pairs;
    count_ = plane.word_count;
    state_ = plane.states[lane_];
    now_ = PairAt(0);
    ahead_ = PairAt(64);
    const bool good = state_ >= kRansLow && state_ < 1U << 31U;
    return BuildTable(plane.model, table) && Ballot(!good) == 0;
  }
  /// The next symbol, of lanes that are `active`. Words past the end are zeros, and show at the
  /// end.
  CAIRN_DEVICE_MEMBER std::uint32_t Take(bool active) {
    const std::uint32_t symbol = table_->symbol[state_ & (kRansTotal - 1)];
    const std::uint32_t state = RansAdvance(table_->entry[symbol], state_);
    const bool low = active && state < kRansLow;
    const std::uint32_t who = Ballot(low);
    const std::uint32_t at = next_ - first_ + static_cast<std::uint32_t>(BitsBelow(who, lane_));
    const int from = static_cast<int>(at / 2 % 32);
    const std::uint32_t one = Shuffle(now_, from);
    const std::uint32_t two = Shuffle(ahead_, from);
    const std::uint32_t word = (at < 64 ? one : two) >> (at % 2 * 16) & 0xFFFFU;
    state_ = low ? state << 16U | word : active ? state : state_;
    next_ += static_cast<std::uint32_t>(CountBits(who));
    if (next_ - first_ >= 64) {
      first_ += 64;
      now_ = ahead_;
      ahead_ = PairAt(first_ + 64);
    }
    return symbol;
  }
  CAIRN_DEVICE_MEMBER bool End() const {
    return next_ == count_ && Ballot(state_ != kRansLow) == 0;
  }

 private:
  /// This lane's two of the 64 words from `first` on. A last pair may be half a word and zeros.
  CAIRN_DEVICE_MEMBER std::uint32_t PairAt(std::uint32_t first) const {
    const std::uint32_t at = first + 2 * static_cast<std::uint32_t>(lane_);
    return at < count_ ? pairs_[at / 2] : 0;
  }

  int lane_ = 0;
  const RansTable* table_ = nullptr;
  const std::uint32_t* pairs_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t state_ = 0;
  std::uint32_t next_ = 0;   ///< Words taken by all lanes.
  std::uint32_t first_ = 0;  ///< Of the words in now_, 64 of all lanes together;
  std::uint32_t now_ = 0;
  std::uint32_t ahead_ = 0;  ///< these follow.
};

template <int kPlanes>
struct PlaneElement;
template <>
struct PlaneElement<1> {
  using Word = std::uint8_t;
};
template <>
struct PlaneElement<2> {
  using Word = std::uint16_t;
};
template <>
struct PlaneElement<4> {
  using Word = std::uint32_t;
};

template <int kPlanes>
class SplitWarp {
 public:
  CAIRN_DEVICE_MEMBER SplitWarp(const SplitChunk& chunk, SplitShared& shared)
      : chunk_(chunk), shared_(shared), lane_(ThreadIndex() % 32) {
    CAIRN_UNROLL
    for (int p = 0; p < kPlanes; ++p) {  // In registers: they are asked at every step.
      mode_[p] = chunk.plane[p].mode;
      bytes_[p] = chunk.plane[p].bytes;
      constant_[p] = chunk.plane[p].constant;
    }
  }

  /// False in all lanes if the chunk is damaged.
  CAIRN_DEVICE_MEMBER bool Decode(void* object) {
    CAIRN_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      if (mode_[p] == PlaneMode::kRans && !streams_[p].Begin(chunk_.plane[p], shared_.table[p])) {
        return false;
      }
    }
    using Word = typename PlaneElement<kPlanes>::Word;
    auto* const to = static_cast<Word*>(object);
    std::uint8_t raw[kPlanes][kSplitAhead] = {};
    ReadAhead(0, raw);
    for (std::int32_t first = 0; first < chunk_.elements; first += kSplitAhead * 32) {
      std::uint8_t now[kPlanes][kSplitAhead];
      CAIRN_UNROLL
      for (int p = 0; p < kPlanes; ++p) {
        CAIRN_UNROLL
        for (int step = 0; step < kSplitAhead; ++step) {
          now[p][step] = raw[p][step];
        }
      }
      ReadAhead(first + kSplitAhead * 32, raw);
      CAIRN_UNROLL
      for (int step = 0; step < kSplitAhead; ++step) {
        const std::int32_t i = first + 32 * step + lane_;
        const bool active = i < chunk_.elements;
        std::uint32_t word = 0;
        CAIRN_UNROLL
        for (int p = 0; p < kPlanes; ++p) {
          std::uint32_t byte = now[p][step];
          if (mode_[p] == PlaneMode::kRans) {
            byte = streams_[p].Take(active);
          }
          word = word << 8U | byte;
        }
        if (active) {
          to[i] = static_cast<Word>(Unrotated(word, chunk_.kind));
        }
      }
    }
    if (lane_ < chunk_.rest) {
      reinterpret_cast<std::uint8_t*>(to + chunk_.elements)[lane_] = chunk_.tail[lane_];
    }
    bool good = true;
    CAIRN_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      if (mode_[p] == PlaneMode::kRans) {
        good = streams_[p].End() && good;
      }
    }
    return good;
  }

 private:
  /// Four steps of the planes that need no decoding.
  CAIRN_DEVICE_MEMBER void ReadAhead(std::int32_t first,
                                     std::uint8_t (&raw)[kPlanes][kSplitAhead]) const {
    CAIRN_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      CAIRN_UNROLL
      for (int step = 0; step < kSplitAhead; ++step) {
        const std::int32_t i = first + 32 * step + lane_;
        if (mode_[p] == PlaneMode::kRaw) {
          raw[p][step] = i < chunk_.elements ? bytes_[p][i] : std::uint8_t{0};
        } else {
          raw[p][step] = constant_[p];
        }
      }
    }
  }

  const SplitChunk& chunk_;
  SplitShared& shared_;
  const int lane_;
  PlaneMode mode_[kPlanes];
  const std::uint8_t* bytes_[kPlanes];
  std::uint8_t constant_[kPlanes];
  RansWarp streams_[kPlanes];
};

CAIRN_DEVICE bool DecodeSplitChunk(const std::uint8_t* at, std::int64_t bytes, std::uint8_t* object,
                                   std::int64_t object_bytes) {
  auto& shared = *reinterpret_cast<SplitShared*>(Shared());
  SplitChunk chunk;
  if (!ReadSplitChunk(at, bytes, object_bytes, chunk)) {
    return false;
  }
  switch (chunk.planes) {
    case 1: return SplitWarp<1>(chunk, shared).Decode(object);
    case 2: return SplitWarp<2>(chunk, shared).Decode(object);
    default: return SplitWarp<4>(chunk, shared).Decode(object);
  }
}

/// Bytes of the chunks before `end`.
CAIRN_DEVICE std::int64_t ChunksBefore(const std::uint8_t* sizes, std::int64_t end) {
  std::uint64_t sum = 0;
  for (std::int64_t i = ThreadIndex() % 32; i < end; i += 32) {
    sum += WordAt(sizes + 4 * i);
  }
  for (int mask = 16; mask > 0; mask /= 2) {
    sum += ShuffleXor(sum, mask);
  }
  return static_cast<std::int64_t>(sum);
}

CAIRN_DEVICE void ExponentSplitBlock(const cairn_kernels_exponent_split& args) {
  const auto* const payload = static_cast<const std::uint8_t*>(args.payload);
  const auto* const sizes = payload + kSplitPrefixBytes;
  const std::int64_t chunks = SplitChunks(args.object_bytes);
  const std::int64_t first = kSplitPrefixBytes + 4 * chunks;
  bool good = WordAt(payload) == kSplitChunkBytes && WordAt(payload + 4) == chunks;
  if (good && BlockX() == 0) {
    good = first + ChunksBefore(sizes, chunks) == args.payload_bytes;
  }
  for (std::int64_t i = BlockX(); good && i < chunks; i += GridX()) {
    const std::int64_t at = first + ChunksBefore(sizes, i);
    const std::int64_t bytes = WordAt(sizes + 4 * i);
    const std::int64_t object_at = i * kSplitChunkBytes;
    const std::int64_t left = args.object_bytes - object_at;
    good =
        at % 4 == 0 && at <= args.payload_bytes && bytes <= args.payload_bytes - at &&
        DecodeSplitChunk(payload + at, bytes, static_cast<std::uint8_t*>(args.object) + object_at,
                         left < kSplitChunkBytes ? left : kSplitChunkBytes);
    SyncBlock();  // The tables are the next chunk's.
  }
  if (!good && ThreadIndex() == 0 && args.device_error != nullptr) {
    *args.device_error = CAIRN_KERNELS_DAMAGED;
  }
}

inline int ExponentSplitBlocks(const cairn_kernels_exponent_split& args) {
  constexpr std::int64_t kMost = 1 << 16;
  const std::int64_t chunks = SplitChunks(args.object_bytes);
  const std::int64_t most =
      args.max_blocks > 0 && args.max_blocks < kMost ? args.max_blocks : kMost;
  const std::int64_t blocks = chunks < most ? chunks : most;
  return static_cast<int>(blocks > 0 ? blocks : 1);  // One looks at the head in any case.
}

}  // namespace cairn::kernels
