#pragma once

#include <cstdint>

#include "kernels/kv/plan.h"
#include "kernels/kv/rope.h"
#include "kernels/kv/warp_digest.h"
#include "kernels/simt/warp.h"

// Pack and unpack as device code: a warp for each leaf of 4 KiB of an object, every lane eight
// pieces of 16 bytes, all on their way before the first is used. Neighbouring lanes have
// neighbouring bytes on both sides, as far as the pages have them side by side. A grid of any size
// walks over all leaves, so that the caller says how many multiprocessors this may take.
//
// Floor: every byte is read once and written once, 94 us for 201 MB at 4.3 TB/s; digests and
// checks are made of what is in registers. A turned key's partner is read again, from the cache.
// 64 KiB are 16 leaves, 2 blocks: 132 multiprocessors are full from some 8 MB on.
namespace cairn::kernels {

constexpr int kKvThreads = 256;
constexpr int kKvWarps = kKvThreads / 32;

struct KvShared {
  std::uint64_t secret[xxh3::kSecretWords];
};

template <bool kNarrow, bool kUnpack, bool kDigest, bool kRope>
class LeafCopy {
 public:
  CAIRN_DEVICE_MEMBER LeafCopy(const KvPlan& plan, const std::uint64_t* secret)
      : plan_(plan), secret_(secret), lane_(ThreadIndex() % 32) {}

  /// All lanes with the same leaf.
  CAIRN_DEVICE_MEMBER void Run(std::int64_t leaf) {
    const int error = Find(leaf);
    if (error != CAIRN_KERNELS_OK) {
      Report(error);
      return;
    }
    Words4 pieces[kPieces];
    if constexpr (kUnpack) {
      Unpack(leaf, pieces);
    } else {
      Pack(leaf, pieces);
    }
  }

 private:
  static constexpr int kPieces = CAIRN_KERNELS_LEAF_BYTES / 16 / 32;

  CAIRN_DEVICE_MEMBER void Report(int error) const {
    if (plan_.args.device_error != nullptr) {
      *plan_.args.device_error = error;
    }
  }

  /// The range that has this leaf: the last that begins at or before it and has any.
  CAIRN_DEVICE_MEMBER int Find(std::int64_t leaf) {
    int low = 0;
    int high = plan_.args.range_count;
    while (high - low > 1) {
      const int middle = low + (high - low) / 2;
      if (plan_.args.ranges[middle].leaf_at <= leaf) {
        low = middle;
      } else {
        high = middle;
      }
    }
    if (const int error = ReadKvObject(plan_, plan_.args.ranges[low], object_)) {
      return error;
    }
    first_ = (leaf - object_.range.leaf_at) * CAIRN_KERNELS_LEAF_BYTES;
    bytes_ = static_cast<unsigned char*>(plan_.args.objects) + object_.range.object_at;
    return first_ >= 0 && first_ < object_.bytes ? CAIRN_KERNELS_OK : CAIRN_KERNELS_LENGTHS;
  }

  /// Where piece j of this lane is in the object, in bytes.
  CAIRN_DEVICE_MEMBER std::int64_t At(int j) const { return first_ + (j * 32 + lane_) * 16; }

  CAIRN_DEVICE_MEMBER unsigned char* Paged(const KvPlace& place) const {
    int error = CAIRN_KERNELS_OK;
    unsigned char* paged = PagedAt(plan_, object_, place, error);
    if (error != CAIRN_KERNELS_OK) {
      Report(error);
    }
    return paged;
  }

  /// Turns what is at `place` and was read from `from`, if it is to be turned.
  CAIRN_DEVICE_MEMBER void Turn(const KvPlace& place, const unsigned char* from,
                                Words4& piece) const {
    if constexpr (kRope) {
      const float* angles = AnglesOf(plan_, object_, place);
      if (angles == nullptr) {
        return;
      }
      const std::int32_t partner_at = PartnerAt(plan_, place.byte);
      Words4 partner = piece;
      if (partner_at % 16 == 0 && partner_at != 0) {
        partner = LoadOnce(from + partner_at);
      } else if (partner_at != 0) {  // Neighbours: pairs of f32 elements.
        partner = {{piece.w[1], piece.w[0], piece.w[3], piece.w[2]}};
      }
      CAIRN_UNROLL
      for (int i = 0; i < 4; ++i) {
        piece.w[i] = TurnedWord(plan_, angles, place.byte + 4 * i, piece.w[i], partner.w[i]);
      }
    }
  }
  CAIRN_DEVICE_MEMBER void TurnNarrow(const KvPlace& place, const unsigned char* from,
                                      std::uint32_t& word) const {
    if constexpr (kRope) {
      if (const float* angles = AnglesOf(plan_, object_, place)) {
        const std::uint32_t partner = LoadWordOnce(from + PartnerAt(plan_, place.byte));
        word = TurnedWord(plan_, angles, place.byte, word, partner);
      }
    }
  }

  CAIRN_DEVICE_MEMBER void Pack(std::int64_t leaf, Words4 (&pieces)[kPieces]) const {
    std::uint32_t copied = 0;  // A bit for each word.
    CAIRN_UNROLL
    for (int j = 0; j < kPieces; ++j) {
      pieces[j] = {};
      CAIRN_UNROLL
      for (int i = 0; i < (kNarrow ? 4 : 1); ++i) {
        const std::int64_t at = At(j) + 4 * i;
        if (at >= object_.bytes) {
          continue;
        }
        const KvPlace place = PlaceOf(plan_, object_, at);
        const unsigned char* paged = Paged(place);
        copied |= paged != nullptr ? 1U << (4 * j + i) : 0U;
        const unsigned char* from = paged != nullptr ? paged : bytes_ + at;
        if constexpr (kNarrow) {
          pieces[j].w[i] = LoadWordOnce(from);
          if (paged != nullptr) {
            TurnNarrow(place, from, pieces[j].w[i]);
          }
        } else {
          pieces[j] = LoadOnce(from);
          if (paged != nullptr) {
            Turn(place, from, pieces[j]);
          }
        }
      }
    }
    if constexpr (kDigest) {
      const cairn_kernels_digest digest = WarpDigest(secret_, lane_).Of(pieces);
      if (lane_ == 0) {
        plan_.args.leaves[leaf] = digest;
      }
    }
    CAIRN_UNROLL
    for (int j = 0; j < kPieces; ++j) {
      if constexpr (kNarrow) {
        CAIRN_UNROLL
        for (int i = 0; i < 4; ++i) {
          if ((copied >> (4 * j + i) & 1U) != 0) {
            StoreWordOnce(bytes_ + At(j) + 4 * i, pieces[j].w[i]);
          }
        }
      } else if ((copied >> (4 * j) & 1U) != 0) {
        StoreOnce(bytes_ + At(j), pieces[j]);
      }
    }
  }

  CAIRN_DEVICE_MEMBER void Unpack(std::int64_t leaf, Words4 (&pieces)[kPieces]) const {
    CAIRN_UNROLL
    for (int j = 0; j < kPieces; ++j) {
      pieces[j] = {};
      if constexpr (kNarrow) {
        CAIRN_UNROLL
        for (int i = 0; i < 4; ++i) {
          if (At(j) + 4 * i < object_.bytes) {
            pieces[j].w[i] = LoadWordOnce(bytes_ + At(j) + 4 * i);
          }
        }
      } else if (At(j) < object_.bytes) {
        pieces[j] = LoadOnce(bytes_ + At(j));
      }
    }
    if constexpr (kDigest) {
      const cairn_kernels_digest digest = WarpDigest(secret_, lane_).Of(pieces);
      const cairn_kernels_digest expected = plan_.args.leaves[leaf];
      if (digest.low != expected.low || digest.high != expected.high) {
        Report(CAIRN_KERNELS_CHECKSUM);
        return;
      }
    }
    CAIRN_UNROLL
    for (int j = 0; j < kPieces; ++j) {
      CAIRN_UNROLL
      for (int i = 0; i < (kNarrow ? 4 : 1); ++i) {
        const std::int64_t at = At(j) + 4 * i;
        if (at >= object_.bytes) {
          continue;
        }
        const KvPlace place = PlaceOf(plan_, object_, at);
        unsigned char* paged = Paged(place);
        if (paged == nullptr) {
          continue;
        }
        if constexpr (kNarrow) {
          TurnNarrow(place, bytes_ + at, pieces[j].w[i]);
          StoreWordOnce(paged, pieces[j].w[i]);
        } else {
          Turn(place, bytes_ + at, pieces[j]);
          StoreOnce(paged, pieces[j]);
        }
      }
    }
  }

  const KvPlan& plan_;
  const std::uint64_t* const secret_;
  const int lane_;
  KvObject object_;
  std::int64_t first_ = 0;
  unsigned char* bytes_ = nullptr;
};

template <bool kNarrow, bool kUnpack, bool kDigest, bool kRope>
CAIRN_DEVICE void KvBlock(const KvPlan& plan) {
  auto* secret = reinterpret_cast<KvShared*>(Shared())->secret;
  if constexpr (kDigest) {
    if (ThreadIndex() < xxh3::kSecretWords) {
      secret[ThreadIndex()] = xxh3::SecretWord(ThreadIndex());
    }
    SyncBlock();
  }
  LeafCopy<kNarrow, kUnpack, kDigest, kRope> copy(plan, secret);
  const std::int64_t step = std::int64_t{GridX()} * kKvWarps;
  for (std::int64_t leaf = std::int64_t{BlockX()} * kKvWarps + ThreadIndex() / 32;
       leaf < plan.args.leaf_count; leaf += step) {
    copy.Run(leaf);
  }
}

/// How many blocks a call takes.
CAIRN_BOTH std::int64_t KvBlocks(const cairn_kernels_kv& args) {
  const std::int64_t all = (args.leaf_count + kKvWarps - 1) / kKvWarps;
  const std::int64_t most = args.max_blocks > 0 ? args.max_blocks : INT32_MAX;
  return all < most ? all : most;
}

/// Calls `run` with the four things a kernel is compiled for.
template <class Run>
void WithKvVariant(const KvPlan& plan, const Run& run) {
  const auto rope = [&]<bool kNarrow, bool kUnpack, bool kDigest>() {
    plan.args.rope_table != nullptr ? run.template operator()<kNarrow, kUnpack, kDigest, true>()
                                    : run.template operator()<kNarrow, kUnpack, kDigest, false>();
  };
  const auto digest = [&]<bool kNarrow, bool kUnpack>() {
    plan.args.leaves != nullptr ? rope.template operator()<kNarrow, kUnpack, true>()
                                : rope.template operator()<kNarrow, kUnpack, false>();
  };
  const auto direction = [&]<bool kNarrow>() {
    plan.args.direction == CAIRN_KERNELS_KV_UNPACK ? digest.template operator()<kNarrow, true>()
                                                   : digest.template operator()<kNarrow, false>();
  };
  plan.word_bytes == 4 ? direction.template operator()<true>()
                       : direction.template operator()<false>();
}

}  // namespace cairn::kernels
