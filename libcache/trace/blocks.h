#pragma once

#include <cstdint>

#include "libcache/trace/mix.h"
#include "libcache/trace/trace.h"

namespace cairn {

/// Cuts the path of a request into whole blocks: calls `visit(id)` for each. The place where a
/// block ends, in the segment that holds it, names all tokens before it.
template <class Visit>
void VisitBlocks(const TraceRequest& request, std::uint32_t block_tokens, Visit visit) {
  std::uint64_t position = 0;
  std::uint64_t block_end = block_tokens;
  for (const TraceSegment& segment : request.path) {
    const std::uint64_t salt = Mix(segment.id * kGoldenRatio + block_tokens);
    for (; block_end <= position + segment.tokens; block_end += block_tokens) {
      visit(Mix(salt + block_end - position));
    }
    position += segment.tokens;
  }
}

}  // namespace cairn
