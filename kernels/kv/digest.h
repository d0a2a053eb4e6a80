#pragma once

#include <cstdint>

#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels.h"

// The digest of a leaf: XXH3-128 (xxHash's specification, version 0.8), what Cairn takes of whole
// objects too, so that a host checks leaves with any xxHash. Its eight sums are independent and so
// are the stripes of a KiB, which suits a warp; always taking 4,096 bytes spares the seven other
// forms that XXH3 has for other lengths.
namespace cairn::kernels {

/// The eight sums and the steps of XXH3. A stripe is 64 bytes, a block 16 stripes; at the end of
/// each block but the last the sums are scrambled.
namespace xxh3 {

constexpr std::uint32_t kPrime32A = 0x9E3779B1U;
constexpr std::uint32_t kPrime32B = 0x85EBCA77U;
constexpr std::uint32_t kPrime32C = 0xC2B2AE3DU;
constexpr std::uint64_t kPrime64A = 0x9E3779B185EBCA87U;
constexpr std::uint64_t kPrime64B = 0xC2B2AE3D27D4EB4FU;
constexpr std::uint64_t kPrime64C = 0x165667B19E3779F9U;
constexpr std::uint64_t kPrime64D = 0x85EBCA77C2B2AE63U;
constexpr std::uint64_t kPrime64E = 0x27D4EB2F165667C5U;

constexpr int kSecretWords = 24;
constexpr int kLength = CAIRN_KERNELS_LEAF_BYTES;
constexpr int kBlocks = kLength / 1024;
// Where in the secret these begin, in bytes.
constexpr int kScrambleAt = 128;
constexpr int kLastStripeAt = 121;
constexpr int kLowAt = 11;
constexpr int kHighAt = 117;

/// The default secret, as little-endian words.
CAIRN_BOTH std::uint64_t SecretWord(int i) {
  static constexpr std::uint64_t kWords[kSecretWords] = {
      0xBE4BA423396CFEB8U, 0x1CAD21F72C81017CU, 0xDB979083E96DD4DEU, 0x1F67B3B7A4A44072U,
      0x78E5C0CC4EE679CBU, 0x2172FFCC7DD05A82U, 0x8E2443F7744608B8U, 0x4C263A81E69035E0U,
      0xCB00C391BB52283CU, 0xA32E531B8B65D088U, 0x4EF90DA297486471U, 0xD8ACDEA946EF1938U,
      0x3F349CE33F76FAA8U, 0x1D4F0BC7C7BBDCF9U, 0x3159B4CD4BE0518AU, 0x647378D9C97E9FC8U,
      0xC3EBD33483ACC5EAU, 0xEB6313FAFFA081C5U, 0x49DAF0B751DD0D17U, 0x9E68D429265516D3U,
      0xFCA1477D58BE162BU, 0xCE31D07AD1B8F88FU, 0x280416958F3ACB45U, 0x7E404BBBCAFBD7AFU};
  return kWords[i];
}
/// Eight bytes of the secret from any place in it.
CAIRN_BOTH std::uint64_t SecretAt(const std::uint64_t* secret, int at) {
  const int shift = at % 8 * 8;
  return shift == 0 ? secret[at / 8] : secret[at / 8] >> shift | secret[at / 8 + 1] << (64 - shift);
}

CAIRN_BOTH std::uint64_t First(int i) {  // What sum i begins with.
  static constexpr std::uint64_t kFirst[8] = {kPrime32C, kPrime64A, kPrime64B, kPrime64C,
                                              kPrime64D, kPrime32B, kPrime64E, kPrime32A};
  return kFirst[i];
}
CAIRN_BOTH std::uint64_t Product(std::uint64_t keyed) {
  return (keyed & 0xFFFFFFFFU) * (keyed >> 32U);
}
CAIRN_BOTH std::uint64_t Scrambled(std::uint64_t sum, std::uint64_t secret) {
  return (sum ^ sum >> 47U ^ secret) * kPrime32A;
}
CAIRN_BOTH std::uint64_t Fold(std::uint64_t a, std::uint64_t b) {
#ifdef __CUDA_ARCH__
  return a * b ^ __umul64hi(a, b);
#else
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
#endif
}
CAIRN_BOTH std::uint64_t Avalanche(std::uint64_t x) {
  x = (x ^ x >> 37U) * 0x165667919E3779F9U;
  return x ^ x >> 32U;
}
constexpr std::uint64_t kLowStart = kLength * kPrime64A;
constexpr std::uint64_t kHighStart = ~(kLength * kPrime64B);

}  // namespace xxh3

/// Of 4,096 bytes, on the CPU.
cairn_kernels_digest LeafDigest(const void* leaf);

}  // namespace cairn::kernels
