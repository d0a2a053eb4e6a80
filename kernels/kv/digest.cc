#include "kernels/kv/digest.h"

#include <array>
#include <cstring>

namespace cairn::kernels {
namespace {

using Sums = std::array<std::uint64_t, 8>;
using Secret = std::array<std::uint64_t, xxh3::kSecretWords>;

void AddStripe(Sums& sums, const unsigned char* stripe, const std::uint64_t* secret, int at) {
  std::uint64_t data[8];
  std::memcpy(data, stripe, sizeof(data));  // Little-endian, as every machine we run on.
  for (unsigned i = 0; i < 8; ++i) {
    const std::uint64_t key = xxh3::SecretAt(secret, at + 8 * static_cast<int>(i));
    sums[i] += data[i ^ 1U] + xxh3::Product(data[i] ^ key);
  }
}

std::uint64_t Merged(const Sums& sums, const std::uint64_t* secret, int at, std::uint64_t start) {
  for (unsigned i = 0; i < 8; i += 2) {
    const int place = at + 8 * static_cast<int>(i);
    start += xxh3::Fold(sums[i] ^ xxh3::SecretAt(secret, place),
                        sums[i + 1] ^ xxh3::SecretAt(secret, place + 8));
  }
  return xxh3::Avalanche(start);
}

}  // namespace

cairn_kernels_digest LeafDigest(const void* leaf) {
  Secret secret{};
  Sums sums{};
  for (int i = 0; i < xxh3::kSecretWords; ++i) {
    secret[static_cast<unsigned>(i)] = xxh3::SecretWord(i);
  }
  for (int i = 0; i < 8; ++i) {
    sums[static_cast<unsigned>(i)] = xxh3::First(i);
  }
  const auto* at = static_cast<const unsigned char*>(leaf);
  for (int block = 0; block < xxh3::kBlocks; ++block) {
    const bool last = block + 1 == xxh3::kBlocks;
    for (int stripe = 0; stripe < 16; ++stripe, at += 64) {
      AddStripe(sums, at, secret.data(), last && stripe == 15 ? xxh3::kLastStripeAt : 8 * stripe);
    }
    for (int i = 0; !last && i < 8; ++i) {
      std::uint64_t& sum = sums[static_cast<unsigned>(i)];
      sum = xxh3::Scrambled(sum, xxh3::SecretAt(secret.data(), xxh3::kScrambleAt + 8 * i));
    }
  }
  return {Merged(sums, secret.data(), xxh3::kLowAt, xxh3::kLowStart),
          Merged(sums, secret.data(), xxh3::kHighAt, xxh3::kHighStart)};
}

}  // namespace cairn::kernels
