#pragma once

#include <cstdint>

namespace cairn {

__extension__ using Uint128 = unsigned __int128;

/// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014), with its constants, in two steps because tokens.cc replaces the first.
inline constexpr std::uint64_t kGoldenRatio = 0x9E3779B97F4A7C15ULL;
inline constexpr std::uint64_t kMixFirst = 0xBF58476D1CE4E5B9ULL;
inline constexpr std::uint64_t kMixSecond = 0x94D049BB133111EBULL;

constexpr std::uint64_t MixTail(std::uint64_t x) {
  x = (x ^ (x >> 27U)) * kMixSecond;
  return x ^ (x >> 31U);
}

constexpr std::uint64_t Mix(std::uint64_t x) { return MixTail((x ^ (x >> 30U)) * kMixFirst); }

}  // namespace cairn
