#include "libcache/sim/simulator.h"
#include "libcache/trace/mix.h"

namespace cairn::sim {
namespace {

void Append(std::vector<std::uint64_t>& words, std::uint64_t id) {
  const std::uint64_t last = words.empty() ? 0x6A09E667F3BCC908ULL : words.back();
  words.push_back(Mix(last * kGoldenRatio + id + 1));
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
  const auto chain = [&words](const std::vector<TraceSegment>& path) {
    words.reserve(path.size());
    for (const TraceSegment& segment : path) {
      Append(words, segment.id);
    }
  };
  if (!request.exact && request.block_tokens == block_tokens) {
    chain(request.path);  // As it is: most traces are replayed in their own blocks.
  } else {
    chain(AsBlocks(request, block_tokens).path);
  }
  return words;
}

}  // namespace cairn::sim
