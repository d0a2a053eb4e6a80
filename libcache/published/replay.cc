#include "libcache/published/replay.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "libcache/published/published_strategies.h"

namespace cairn {
namespace {

struct Lookup {
  std::uint32_t match = 0;
  std::optional<std::size_t> source = std::nullopt;
};

/// In a recorded run what was found is known; in a synthetic one it follows from the divergences.
Lookup Find(const PublishedRun& run, std::size_t now) {
  const PublishedRequest& request = run.requests[now];
  if (!run.synthetic) {
    return {.match = request.match, .source = request.source};
  }
  Lookup found;
  for (std::size_t i = now - std::min(now, run.cache_requests); i < now; ++i) {
    const PublishedRequest& stored = run.requests[i];
    const std::uint32_t overlap = std::min(stored.divergence, request.divergence);
    if (stored.group == request.group && (!found.source || overlap > found.match)) {
      found = {.match = overlap, .source = i};
    }
  }
  return found;
}

std::uint32_t Deepest(const std::vector<std::uint32_t>& positions, std::uint32_t limit) {
  const auto above = std::upper_bound(positions.begin(), positions.end(), limit);
  return above == positions.begin() ? 0 : *std::prev(above);
}

/// A histogram as the warm-up left it. Where that was not recorded, the run's own overlaps stand in
/// for those before it: a guess, whose effect decays with the run.
Status EndWarmUp(const PublishedRun& run, PublishedStrategy& strategy) {
  OverlapHistogram* histogram = strategy.Histogram();
  if (histogram == nullptr) {
    return {};
  }
  std::vector<OverlapHistogram::BinCount> counts;
  if (run.histogram) {
    counts = *run.histogram;
  } else {
    for (std::size_t i = run.first_measured; !run.synthetic && i < run.requests.size(); ++i) {
      histogram->Observe(run.requests[i].match);
    }
    for (std::uint32_t bin = 0; bin < histogram->Counts().size(); ++bin) {
      counts.push_back({.bin = bin, .count = histogram->Counts()[bin]});
    }
  }
  if (const auto restored = histogram->Restore(counts, run.observed_before); !restored) {
    return Fail(restored.error());
  }
  return histogram->Solve();
}

}  // namespace

Result<ReplayResult> ReplayStrategy(const PublishedRun& run, const PublishedReference& reference) {
  const PublishedStrategy::Options options = {
      .grid_tokens = run.grid_tokens,
      .histogram = {.max_tokens = run.max_tokens,
                    .bin_tokens = run.grid_tokens,
                    .gamma = run.gamma,
                    .replan_interval = run.replan_interval,
                    .adaptive_backtrack = reference.adaptive_backtrack,
                    // To the token matters only where all else is known.
                    .published_rounding = run.synthetic || run.histogram.has_value()}};
  auto strategy = PublishedStrategy::Create(reference.strategy, options);
  if (!strategy) {
    return Fail(strategy.error());
  }
  ReplayResult result;
  if (strategy->StoresNothing()) {
    result.saved_by_request.assign(run.requests.size() - run.first_measured, 0);
    return result;
  }
  std::vector<std::vector<std::uint32_t>> stored;
  stored.reserve(run.requests.size());
  for (std::size_t i = 0; i < run.requests.size(); ++i) {
    if (i == run.first_measured) {
      if (const auto ended = EndWarmUp(run, *strategy); !ended) {
        return Fail(ended.error());
      }
    }
    const PublishedRequest& request = run.requests[i];
    const Lookup found = Find(run, i);
    strategy->Observe(found.match);
    auto positions = strategy->Positions(request.tokens);
    if (!positions) {
      return Fail(positions.error());
    }
    if (i >= run.first_measured) {
      std::uint64_t saved = 0;
      if (found.source) {
        ++result.hits;
        const std::uint32_t limit =
            std::min({found.match, request.tokens, run.requests[*found.source].tokens});
        saved = Deepest(stored[*found.source], limit);
      }
      result.saved_tokens += saved;
      result.saved_by_request.push_back(saved);
      result.checkpoints += positions->size();
    }
    stored.push_back(*std::move(positions));
  }
  return result;
}

}  // namespace cairn
