#include "libcache/published/byte_placements.h"

#include <algorithm>
#include <utility>

namespace cairn {
namespace {

/// Half of what is remembered is of the last 34 events.
constexpr double kDecay = 0.98;
constexpr std::size_t kMaxPlaces = 1024;

OverlapHistogram::Options ColdHistogram(const PublishedRun& run) {
  return {.max_tokens = run.max_tokens,
          .bin_tokens = run.grid_tokens,
          .gamma = run.gamma,
          .replan_interval = run.replan_interval,
          .adaptive_backtrack = true,
          .cold_start = true,
          .published_rounding = true};
}

/// Position 0 needs no checkpoint.
std::vector<std::uint32_t> WithoutZero(std::vector<std::uint32_t> positions) {
  std::erase(positions, 0U);
  return positions;
}

}  // namespace

Result<PublishedBytes> PublishedBytes::Create(std::string_view strategy, const PublishedRun& run,
                                              ByteCacheKind kind) {
  auto created = PublishedStrategy::Create(
      strategy, {.grid_tokens = run.grid_tokens, .histogram = ColdHistogram(run)});
  if (!created) {
    return Fail(created.error());
  }
  return PublishedBytes(*std::move(created), kind);
}

Result<StoredPlan> PublishedBytes::Plan(const PublishedRequest& request, const Context& context) {
  strategy_.Observe(context.found);
  auto positions = strategy_.Positions(request.tokens);
  if (!positions) {
    return Fail(positions.error());
  }
  StoredPlan plan = {.positions = WithoutZero(*std::move(positions)), .kv_tokens = request.tokens};
  if (kind_ == ByteCacheKind::kDedup && context.seen) {
    plan.kv_tokens = request.divergence;
    std::erase_if(plan.positions,
                  [&](std::uint32_t position) { return position > request.divergence; });
  }
  return plan;
}

Result<HybridBytes> HybridBytes::Create(const PublishedRun& run, ByteCacheKind kind) {
  auto options = ColdHistogram(run);
  options.budget = 3;
  auto prior = OverlapHistogram::Create(options);
  if (!prior) {
    return Fail(prior.error());
  }
  return HybridBytes(*std::move(prior), run, kind);
}

Result<StoredPlan> HybridBytes::Plan(const PublishedRequest& request, const Context& context) {
  StoredPlan plan;
  plan.kv_tokens = request.tokens;
  if (context.seen) {
    // Of groups that were seen the overlap is known, cached or not; first requests say nothing.
    prior_.Observe(request.divergence);
    plan.positions = {request.divergence / grid_tokens_ * grid_tokens_};
    if (kind_ == ByteCacheKind::kDedup) {
      plan.kv_tokens = request.divergence;
    }
  } else {
    auto positions = prior_.Positions(request.tokens);
    if (!positions) {
      return Fail(positions.error());
    }
    plan.positions = ClipToGrid(*std::move(positions), grid_tokens_);
  }
  plan.positions = WithoutZero(std::move(plan.positions));
  return plan;
}

void BranchBytes::Places::Add(std::uint32_t place) {
  for (auto& [_, weight] : weights_) {
    weight *= kDecay;
  }
  weights_[place] += 1;
  if (weights_.size() > kMaxPlaces) {
    weights_.erase(
        std::min_element(weights_.begin(), weights_.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
}

std::vector<RealChainPoint> BranchBytes::PointsOf(const Group& group) const {
  std::map<std::uint32_t, double> weights = group.overlaps.Weights();
  if (weights.empty()) {
    // Without any experience the place is the prompt's end, as far as it can be resumed.
    const auto& tails = tails_.Weights();
    const std::map<std::uint32_t, double> none = {{1, 1.0}};
    for (const auto& [tail, weight] : tails.empty() ? none : tails) {
      const std::uint32_t place = group.first_tokens - std::min(group.first_tokens, tail);
      weights[place / grid_tokens_ * grid_tokens_] += weight;
    }
  }
  double total = 0;
  for (const auto& [_, weight] : weights) {
    total += weight;
  }
  std::vector<RealChainPoint> points;
  for (const auto& [place, weight] : weights) {
    if (place > 0) {
      points.push_back(
          {.position = place, .potential = static_cast<double>(place), .weight = weight / total});
    }
  }
  return points;
}

Result<StoredPlan> BranchBytes::Plan(const PublishedRequest& request, const Context& context) {
  Group& group = groups_[request.group];
  if (!context.seen) {
    group.first_tokens = request.tokens;
  } else {
    const std::uint32_t overlap = std::min(request.divergence, std::max(request.tokens, 1U) - 1);
    if (group.overlaps.Weights().empty()) {
      tails_.Add(group.first_tokens - std::min(group.first_tokens, overlap));
    }
    group.overlaps.Add(overlap / grid_tokens_ * grid_tokens_);
  }
  auto positions = PlaceForBytes(PointsOf(group), kPublishedBytes, Price());
  if (!positions) {
    return Fail(positions.error());
  }
  const std::uint32_t deepest = positions->empty() ? 0 : positions->back();
  return StoredPlan{.positions = *std::move(positions), .kv_tokens = deepest};
}

void BranchBytes::Stored(const CacheFlow& flow) {
  inserted_bytes_ = kDecay * inserted_bytes_ + flow.inserted_bytes;
  displaced_saving_ = kDecay * displaced_saving_ + flow.displaced_saving;
}

}  // namespace cairn
