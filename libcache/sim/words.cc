#include "libcache/sim/simulator.h"

namespace cairn::sim {
namespace {

/// SplitMix64's finaliser.
std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

void Append(std::vector<std::uint64_t>& words, std::uint64_t id) {
  const std::uint64_t last = words.empty() ? 0x6A09E667F3BCC908ULL : words.back();
  words.push_back(Mix(last * 0x9E3779B97F4A7C15ULL + id + 1));
}

}  // namespace

std::vector<std::uint64_t> ChainWords(const TraceRequest& request, std::uint32_t block_tokens) {
  std::vector<std::uint64_t> words;
  const bool finer = !request.exact && request.block_tokens > block_tokens &&
                     request.block_tokens % block_tokens == 0;
  if (finer) {
    const std::uint32_t pieces = request.block_tokens / block_tokens;
    words.reserve(request.path.size() * pieces);
    for (const TraceSegment& segment : request.path) {
      for (std::uint32_t i = 0; i < pieces; ++i) {
        Append(words, segment.id * pieces + i);
      }
    }
    return words;
  }
  if (!request.exact && request.block_tokens == block_tokens) {
    words.reserve(request.path.size());
    for (const TraceSegment& segment : request.path) {
      Append(words, segment.id);
    }
    return words;
  }
  const TraceRequest blocks = AsBlocks(request, block_tokens);
  words.reserve(blocks.path.size());
  for (const TraceSegment& segment : blocks.path) {
    Append(words, segment.id);
  }
  return words;
}

}  // namespace cairn::sim
