#include "libcache/published/byte_cache.h"

#include <algorithm>
#include <list>
#include <set>
#include <utility>

namespace cairn {
namespace {

struct Entry {
  std::uint32_t group = 0;
  double bytes = 0;
  std::vector<std::uint32_t> positions;
};

class ByteCache {
 public:
  ByteCache(ByteCacheKind kind, double capacity_bytes) : kind_(kind), capacity_(capacity_bytes) {}

  [[nodiscard]] bool Holds(std::uint32_t group) const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [group](const Entry& entry) { return entry.group == group; });
  }

  /// The deepest checkpoint of the group that is not beyond `overlap`.
  [[nodiscard]] std::uint32_t Resume(std::uint32_t group, std::uint32_t overlap) const {
    std::uint32_t deepest = 0;
    for (const Entry& entry : entries_) {
      if (entry.group == group) {
        const auto above =
            std::upper_bound(entry.positions.begin(), entry.positions.end(), overlap);
        if (above != entry.positions.begin()) {
          deepest = std::max(deepest, *std::prev(above));
        }
      }
    }
    return deepest;
  }

  CacheFlow Store(std::uint32_t group, StoredPlan plan) {
    CacheFlow flow;
    double replaced = 0;
    if (kind_ == ByteCacheKind::kDedup) {
      const auto old = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.group == group; });
      if (old != entries_.end()) {
        replaced = old->bytes;
        used_ -= old->bytes;
        entries_.erase(old);
      }
    }
    const double bytes =
        kPublishedBytes.per_checkpoint * static_cast<double>(plan.positions.size()) +
        kPublishedBytes.per_token * plan.kv_tokens;
    if (bytes > capacity_ || bytes == 0) {
      return flow;
    }
    flow.inserted_bytes = std::max(bytes - replaced, 0.0);
    used_ += bytes;
    entries_.push_back({.group = group, .bytes = bytes, .positions = std::move(plan.positions)});
    while (used_ > capacity_) {
      const Entry& victim = entries_.front();
      flow.displaced_saving += victim.positions.empty() ? 0 : victim.positions.back();
      used_ -= victim.bytes;
      entries_.pop_front();
    }
    return flow;
  }

 private:
  ByteCacheKind kind_;
  double capacity_;
  double used_ = 0;
  // In the order in which they go. With dedup every request of a group stores it anew, so that the
  // order of storing is the order of use.
  std::list<Entry> entries_;
};

}  // namespace

Result<double> SavedShare(const PublishedRun& run, ByteCacheKind kind, double capacity_bytes,
                          BytePlacement& placement) {
  ByteCache cache(kind, capacity_bytes);
  std::set<std::uint32_t> seen;
  std::uint64_t saved = 0;
  for (std::size_t i = run.first_measured; i < run.requests.size(); ++i) {
    const PublishedRequest& request = run.requests[i];
    const bool whole = placement.LeavesOneToken() && request.tokens > 0;
    const std::uint32_t overlap =
        std::min(request.divergence, whole ? request.tokens - 1 : request.tokens);
    const bool held = cache.Holds(request.group);
    saved += cache.Resume(request.group, overlap);
    auto plan = placement.Plan(request,
                               {.seen = seen.contains(request.group), .found = held ? overlap : 0});
    if (!plan) {
      return Fail(plan.error());
    }
    seen.insert(request.group);
    placement.Stored(cache.Store(request.group, *std::move(plan)));
  }
  const std::uint64_t tokens = run.MeasuredTokens();
  return tokens == 0 ? 0.0 : static_cast<double>(saved) / static_cast<double>(tokens);
}

}  // namespace cairn
