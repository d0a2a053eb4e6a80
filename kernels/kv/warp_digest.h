#pragma once

#include "kernels/kv/digest.h"
#include "kernels/simt/warp.h"

namespace cairn::kernels {

/// The digest of a leaf whose pieces of 16 bytes a warp holds in registers: lane l has pieces
/// 32 j + l, j = 0 .. 7. Every lane gets the whole digest. Four pieces are a stripe, so lane l
/// keeps sums 2 (l % 4) and 2 (l % 4) + 1 over every eighth stripe; sums of a block meet in three
/// shuffles, before each scrambling, and the four pairs in two at the end.
class WarpDigest {
 public:
  /// `secret`: xxh3::kSecretWords in shared memory.
  CAIRN_DEVICE_MEMBER WarpDigest(const std::uint64_t* secret, int lane)
      : secret_(secret), pair_(lane % 4), stripe_(lane / 4) {}

  CAIRN_DEVICE_MEMBER cairn_kernels_digest Of(const Words4 (&pieces)[8]) const {
    std::uint64_t even = xxh3::First(2 * pair_);
    std::uint64_t odd = xxh3::First(2 * pair_ + 1);
    CAIRN_UNROLL
    for (int block = 0; block < xxh3::kBlocks; ++block) {
      std::uint64_t more_even = 0;
      std::uint64_t more_odd = 0;
      CAIRN_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Words4& piece = pieces[2 * block + half];
        const std::uint64_t first = std::uint64_t{piece.w[1]} << 32U | piece.w[0];
        const std::uint64_t second = std::uint64_t{piece.w[3]} << 32U | piece.w[2];
        const int stripe = 8 * half + stripe_;
        std::uint64_t first_key = secret_[stripe + 2 * pair_];
        std::uint64_t second_key = secret_[stripe + 2 * pair_ + 1];
        if (block + 1 == xxh3::kBlocks && stripe == 15) {
          first_key = xxh3::SecretAt(secret_, xxh3::kLastStripeAt + 16 * pair_);
          second_key = xxh3::SecretAt(secret_, xxh3::kLastStripeAt + 16 * pair_ + 8);
        }
        more_even += second + xxh3::Product(first ^ first_key);
        more_odd += first + xxh3::Product(second ^ second_key);
      }
      CAIRN_UNROLL
      for (int mask = 4; mask <= 16; mask *= 2) {
        more_even += ShuffleXor(more_even, mask);
        more_odd += ShuffleXor(more_odd, mask);
      }
      even += more_even;
      odd += more_odd;
      if (block + 1 < xxh3::kBlocks) {
        even = xxh3::Scrambled(even, secret_[xxh3::kScrambleAt / 8 + 2 * pair_]);
        odd = xxh3::Scrambled(odd, secret_[xxh3::kScrambleAt / 8 + 2 * pair_ + 1]);
      }
    }
    return {Merged(even, odd, xxh3::kLowAt, xxh3::kLowStart),
            Merged(even, odd, xxh3::kHighAt, xxh3::kHighStart)};
  }

 private:
  CAIRN_DEVICE_MEMBER std::uint64_t Merged(std::uint64_t even, std::uint64_t odd, int at,
                                           std::uint64_t start) const {
    const int place = at + 16 * pair_;
    std::uint64_t part =
        xxh3::Fold(even ^ xxh3::SecretAt(secret_, place), odd ^ xxh3::SecretAt(secret_, place + 8));
    part += ShuffleXor(part, 1);
    part += ShuffleXor(part, 2);
    return xxh3::Avalanche(start + part);
  }

  const std::uint64_t* const secret_;
  const int pair_;
  const int stripe_;
};

}  // namespace cairn::kernels
