#pragma once

#include <cstdint>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/published/run.h"

namespace cairn {

struct ReplayResult {
  std::uint64_t hits = 0;  ///< Requests that found one of their group, if it saved nothing even.
  std::uint64_t saved_tokens = 0;
  std::vector<std::uint64_t> saved_by_request;  ///< The measured ones.
  std::uint64_t checkpoints = 0;                ///< Stored by the measured ones.
};

/// Runs the published cache, which keeps the last `cache_requests` requests whole, with one of its
/// strategies over a run. Its rules:
///
///  * a request resumes at the deepest checkpoint, of the stored request that it overlaps most and
///    of these the oldest, that is not beyond the overlap;
///  * the histogram sees the overlap before the request's own positions are chosen;
///  * before the run, the strategies that learn store balanced positions, and plan once at its
///  start.
///
/// O(requests * checkpoints), for a histogram also its plans.
/// Errors: those of PublishedStrategy::Create and Positions.
Result<ReplayResult> ReplayStrategy(const PublishedRun& run, const PublishedReference& strategy);

}  // namespace cairn
