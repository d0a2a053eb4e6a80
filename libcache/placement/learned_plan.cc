// The plan for one request: an exact dynamic program over the few places where a checkpoint could
// pay.
#include <algorithm>
#include <cmath>

#include "libcache/base/check.h"
#include "libcache/placement/learned_placement.h"

namespace cairn {
namespace {

/// Known places on the path that may get a checkpoint, deepest first.
constexpr std::size_t kPathCandidates = 32;
/// Share of what engines have written that must be left unwritten before extra writes cost no more
/// than others; with less they cost in proportion more.
constexpr double kFullReserve = 0.1;
constexpr double kUsuallyScarce = 3;
constexpr double kMostScarce = 1000;

}  // namespace

ChainCandidate LearnedPlacement::CandidateAt(SiteId id, std::uint32_t position, double share,
                                             double price, double write_price) const {
  const Site& site = tree_.site(id);
  ChainCandidate candidate{.site = id, .position = position};
  const double returns =
      config_.learn_reuse ? reuse_.ReturnProbability(site.traits, site.age_bin) : 0.5;
  candidate.returns = returns * share;
  if (config_.admission) {
    // What is held costs its price until it is used or given up: the probability of a use over the
    // uses per second is how long that takes.
    const double density = Density(id);
    const double held_s = density > 0 ? returns / density : 0;
    candidate.cost_per_byte = write_price + price * held_s;
  }
  return candidate;
}

/// Ascending. `returns` of each is the probability of overlaps that end between it and the next.
std::vector<ChainCandidate> LearnedPlacement::CandidatesOf(const Request& request,
                                                           const Places& places, double price,
                                                           double write_price) const {
  std::vector<ChainCandidate> candidates;
  for (SiteId id = places.junction.id;
       tree_.site(id).parent != kNoSite && tree_.site(id).position > request.resume &&
       candidates.size() < kPathCandidates;
       id = tree_.site(id).parent) {
    const std::uint32_t position = tree_.site(id).position;
    candidates.push_back(CandidateAt(id, position, ShareFrom(id, position), price, write_price));
  }
  std::reverse(candidates.begin(), candidates.end());
  // What ends before a place, on its edge, can use the place above.
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    const double share = ShareFrom(candidates[i].site, candidates[i].position);
    if (share > 0) {
      candidates[i - 1].returns += candidates[i].returns * (1 - share) / share;
    }
  }
  if (!tree_.Valid(places.tip)) {
    return candidates;
  }
  const SiteId tip = places.tip.id;
  const std::uint32_t end = tree_.site(tip).position;
  const std::uint32_t base = std::max(request.resume, tree_.site(tree_.site(tip).parent).position);
  const std::uint64_t grain = OwnerOf(tip).grain_tokens;
  const std::size_t first = candidates.size();
  double within = 0;
  for (std::uint64_t back = 0; end > base + back; back = back == 0 ? grain : 2 * back) {
    const auto position = static_cast<std::uint32_t>(end - back);
    const double share = ShareFrom(tip, position);
    candidates.push_back(CandidateAt(tip, position, share - within, price, write_price));
    within = share;
  }
  std::reverse(candidates.begin() + static_cast<std::ptrdiff_t>(first), candidates.end());
  return candidates;
}

std::vector<LearnedPlacement::Planned> LearnedPlacement::Plan(const Request& request,
                                                              const Places& places, double price) {
  const Owner& owner = OwnerOf(places.junction.id);
  const std::uint32_t kv_resident = std::max(request.kv_resident, request.resume);
  const ChainCosts chain{.cost = owner.cost,
                         .checkpoint_bytes = owner.checkpoint_bytes,
                         .kv_bytes_per_token = owner.kv_bytes_per_token,
                         .resume = request.resume,
                         .kv_resident = kv_resident};
  std::vector<Planned> plan;
  double bytes = 0;
  const auto solve = [&](const std::vector<ChainCandidate>& candidates, std::size_t limit) {
    plan.clear();
    bytes = 0;
    for (const std::size_t i : BestChain(candidates, chain, limit)) {
      const ChainCandidate& chosen = candidates[i];
      if (tree_.CheckpointAt(chosen.site, chosen.position) == kNoCheckpoint) {
        plan.push_back({.site = chosen.site, .position = chosen.position});
      }
    }
    if (!plan.empty()) {
      const std::uint32_t deepest = plan.back().position;
      bytes = static_cast<double>(plan.size()) * static_cast<double>(owner.checkpoint_bytes) +
              static_cast<double>(owner.kv_bytes_per_token) *
                  (deepest - std::min(deepest, kv_resident));
    }
  };
  // What may be written is what an engine of today would have written. The less of that was left
  // unwritten so far, the more must a byte be expected to save, and what is written beyond what the
  // engine writes for this very request must be worth most.
  const auto engines = static_cast<double>(shadow_.written_bytes());
  const double allowed = engines - planned_bytes_;
  const double reserve = std::max(allowed - engine_bytes_, 0.0) / std::max(engines, 1.0);
  const double scarcity = config_.bounded_writes
                              ? std::clamp(kFullReserve / std::max(reserve, 1e-9), 1.0, kMostScarce)
                              : 1.0;
  const double byte_s = 1 / config_.write_bytes_per_s;
  const std::vector<ChainCandidate> usual =
      CandidatesOf(request, places, price, std::min(scarcity, kUsuallyScarce) * byte_s);
  solve(usual, config_.max_plan);
  if (config_.bounded_writes && bytes > engine_bytes_) {
    std::size_t limit = plan.size();
    solve(CandidatesOf(request, places, price, scarcity * byte_s), config_.max_plan);
    const std::vector<Planned> dear = plan;
    const double dear_bytes = bytes;
    do {
      solve(usual, --limit);
    } while (bytes > engine_bytes_ && limit > 0);
    if (dear_bytes <= allowed && dear.size() > plan.size()) {
      plan = dear;
      bytes = dear_bytes;
    }
  }
  planned_bytes_ += bytes;
  engine_bytes_ = 0;  // Spent, should the same request be planned again.
  return plan;
}

}  // namespace cairn
