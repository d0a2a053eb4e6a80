#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libcache/published/byte_cache.h"
#include "libcache/published/published_strategies.h"

namespace cairn {

/// A published strategy. Its histogram plans for the request's length and from a cold start. Where
/// the cache shares prefixes, a group that was seen keeps nothing beyond its divergence.
class PublishedBytes final : public BytePlacement {
 public:
  /// Errors: those of PublishedStrategy::Create.
  static Result<PublishedBytes> Create(std::string_view strategy, const PublishedRun& run,
                                       ByteCacheKind kind);
  Result<StoredPlan> Plan(const PublishedRequest& request, const Context& context) override;

 private:
  PublishedBytes(PublishedStrategy strategy, ByteCacheKind kind)
      : strategy_(std::move(strategy)), kind_(kind) {}

  PublishedStrategy strategy_;
  ByteCacheKind kind_;
};

/// One checkpoint where a group that was seen is known to divide; three by the published histogram
/// where it was not.
class HybridBytes final : public BytePlacement {
 public:
  /// Errors: those of OverlapHistogram::Create.
  static Result<HybridBytes> Create(const PublishedRun& run, ByteCacheKind kind);
  Result<StoredPlan> Plan(const PublishedRequest& request, const Context& context) override;

 private:
  HybridBytes(OverlapHistogram prior, const PublishedRun& run, ByteCacheKind kind)
      : prior_(std::move(prior)), grid_tokens_(run.grid_tokens), kind_(kind) {}

  OverlapHistogram prior_;
  std::uint32_t grid_tokens_;
  ByteCacheKind kind_;
};

/// Ours. Overlaps end at places: where earlier requests of the group have left it, or, of a group
/// seen for the first time, as far back from its prompt's end as other groups turned out to divide.
/// Among these, checkpoints and the KV up to the deepest are bought at the price of a byte, which
/// is what the cache's last evictions would have saved per byte of what drove them out: nothing
/// while there is room. All statistics are decayed by event; nothing is set for a workload.
class BranchBytes final : public BytePlacement {
 public:
  explicit BranchBytes(std::uint32_t grid_tokens) : grid_tokens_(grid_tokens) {}
  Result<StoredPlan> Plan(const PublishedRequest& request, const Context& context) override;
  void Stored(const CacheFlow& flow) override;
  [[nodiscard]] bool LeavesOneToken() const override { return true; }
  /// Tokens per byte.
  [[nodiscard]] double Price() const {
    return inserted_bytes_ > 0 ? displaced_saving_ / inserted_bytes_ : 0;
  }

 private:
  /// Weights by place, which forget by a factor an event. Bounded: the lightest place goes.
  class Places {
   public:
    void Add(std::uint32_t place);
    [[nodiscard]] const std::map<std::uint32_t, double>& Weights() const { return weights_; }

   private:
    std::map<std::uint32_t, double> weights_;
  };
  struct Group {
    std::uint32_t first_tokens = 0;
    Places overlaps;  // Grid positions; empty until the second request.
  };

  [[nodiscard]] std::vector<RealChainPoint> PointsOf(const Group& group) const;

  std::uint32_t grid_tokens_;
  std::unordered_map<std::uint32_t, Group> groups_;
  Places tails_;  // Tokens from where a group divided to the end of its first prompt.
  double inserted_bytes_ = 0;
  double displaced_saving_ = 0;
};

}  // namespace cairn
