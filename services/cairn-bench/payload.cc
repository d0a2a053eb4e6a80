#include "services/cairn-bench/payload.h"

#include <cstring>

namespace cairn::bench {
namespace {

constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15ULL;
constexpr std::uint64_t kMultiplier = 0xD6E8FEB86659FD93ULL;
constexpr std::size_t kWord = sizeof(std::uint64_t);
/// Words compared before looking at the outcome, so that the loop has no branch per word.
constexpr std::size_t kRun = 64;

std::uint64_t SeedOf(const PrefixKey& key, ObjectKind kind) {
  std::uint64_t seed = static_cast<std::uint64_t>(kind) + 1;
  for (std::size_t at = 0; at < PrefixKey::kBytes; at += kWord) {
    std::uint64_t word = 0;
    std::memcpy(&word, key.bytes.data() + at, kWord);
    seed = (seed ^ word) * kMultiplier;
    seed ^= seed >> 32U;
  }
  return seed;
}

/// Word `i`: a multiply and two shifts, each word from its index alone, so that words can be made
/// side by side.
inline std::uint64_t Word(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t x = seed + i * kStep;
  x = (x ^ (x >> 32U)) * kMultiplier;
  return x ^ (x >> 29U);
}

}  // namespace

void FillPayload(const PrefixKey& key, ObjectKind kind, std::span<std::byte> out) {
  const std::uint64_t seed = SeedOf(key, kind);
  const std::size_t words = out.size() / kWord;
  for (std::size_t i = 0; i < words; ++i) {
    const std::uint64_t word = Word(seed, i);
    std::memcpy(out.data() + i * kWord, &word, kWord);
  }
  const std::uint64_t last = Word(seed, words);
  std::memcpy(out.data() + words * kWord, &last, out.size() % kWord);
}

bool IsPayload(const PrefixKey& key, ObjectKind kind, std::span<const std::byte> bytes) {
  const std::uint64_t seed = SeedOf(key, kind);
  const std::size_t words = bytes.size() / kWord;
  std::uint64_t difference = 0;
  for (std::size_t begin = 0; begin < words && difference == 0; begin += kRun) {
    const std::size_t end = begin + kRun < words ? begin + kRun : words;
    for (std::size_t i = begin; i < end; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + i * kWord, kWord);
      difference |= word ^ Word(seed, i);
    }
  }
  const std::uint64_t last = Word(seed, words);
  return difference == 0 &&
         std::memcmp(bytes.data() + words * kWord, &last, bytes.size() % kWord) == 0;
}

}  // namespace cairn::bench
