#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "libcache/trace/trace.h"

namespace cairn::sim {

/// Small exact traces with much in common: prompts repeat, extend and cut short one another, some
/// are shorter than a block or empty, and some end with a block.
inline std::vector<TraceRequest> AnyTrace(std::mt19937_64& random, std::size_t requests) {
  constexpr std::uint32_t kTokens[] = {1, 3, 4, 8, 13};
  const auto ids = 1 + random() % 4;
  const auto depth = 1 + random() % 10;
  const bool pauses = random() % 2 == 0;
  std::vector<TraceRequest> trace;
  double now_s = 0;
  for (std::size_t i = 0; i < requests; ++i) {
    TraceRequest request;
    now_s += pauses && random() % 16 == 0 ? 5000.0 : static_cast<double>(random() % 5);
    request.arrival_s = now_s;
    request.exact = true;
    request.output_tokens = static_cast<std::uint32_t>(random() % 1000);
    if (!trace.empty() && random() % 4 == 0) {
      request.path = trace[random() % trace.size()].path;
      if (random() % 2 == 0 && !request.path.empty()) {
        request.path.pop_back();
      }
    }
    for (auto more = random() % (depth + 1); more > 0; --more) {
      const auto id = 1 + random() % ids;
      request.path.push_back({.id = id, .tokens = kTokens[id % 5]});
    }
    for (const TraceSegment& segment : request.path) {
      request.input_tokens += segment.tokens;
    }
    trace.push_back(request);
  }
  return trace;
}

}  // namespace cairn::sim
