#include "libcache/sim/simulator.h"
#include "libcache/trace/blocks.h"
#include "libcache/trace/mix.h"

namespace cairn::sim {
namespace {

/// Appends the word of the prefix that ends with block `id`. A polynomial in the mixed ids: the
/// mixing of one block does not wait for that of the block before.
class Chain {
 public:
  explicit Chain(std::vector<std::uint64_t>& words) : words_(words) {}
  void Append(std::uint64_t id) {
    last_ = last_ * kGoldenRatio + Mix(id + kGoldenRatio);
    words_.push_back(last_);
  }

 private:
  std::vector<std::uint64_t>& words_;
  std::uint64_t last_ = 0x6A09E667F3BCC908ULL;
};

}  // namespace

std::vector<std::uint64_t> ChainWords(const TraceRequest& request, std::uint32_t block_tokens) {
  std::vector<std::uint64_t> words;
  Chain chain(words);
  if (!request.exact && request.block_tokens >= block_tokens &&
      request.block_tokens % block_tokens == 0) {
    // As it is, which is how most traces are replayed, or finer.
    const std::uint32_t pieces = request.block_tokens / block_tokens;
    words.reserve(request.path.size() * pieces);
    for (const TraceSegment& segment : request.path) {
      for (std::uint32_t i = 0; i < pieces; ++i) {
        chain.Append(segment.id * pieces + i);
      }
    }
    return words;
  }
  words.reserve(request.input_tokens / block_tokens);
  VisitBlocks(request, block_tokens, [&chain](std::uint64_t id) { chain.Append(id); });
  return words;
}

}  // namespace cairn::sim
