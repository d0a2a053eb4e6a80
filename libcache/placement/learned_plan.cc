// The plan for one request: an exact dynamic program over the few places where a checkpoint could
// pay.
#include <algorithm>
#include <cmath>
#include <limits>

#include "libcache/base/check.h"
#include "libcache/placement/learned_placement.h"

namespace cairn {
namespace {

/// Known places on the path that may get a checkpoint, deepest first.
constexpr std::size_t kPathCandidates = 32;
/// How much the logarithm of the price of writing moves when a request asks for as much more than
/// an engine writes for it as an engine writes for a request: the price follows what the last
/// thirty or so brought.
constexpr double kPriceStep = 0.03;
constexpr double kMostUsual = 10;       ///< One request counts as so many at most.
constexpr double kDearestWrite = 1000;  ///< Times what writing costs by itself.

}  // namespace

void LearnedPlacement::AddCandidate(const Outlook& outlook, SiteId id, std::uint32_t position,
                                    double share) {
  candidates_.push_back(
      {.site = id, .position = position, .returns = outlook.returns * share, .cost_per_byte = 0});
  held_s_.push_back(outlook.held_s);
}

LearnedPlacement::Outlook LearnedPlacement::OutlookOf(SiteId id) const {
  const Site& site = tree_.site(id);
  Outlook outlook;
  outlook.returns = config_.learn_reuse ? reuse_.ReturnProbability(site.traits, site.age_bin) : 0.5;
  if (config_.admission) {
    // What is held costs its price until it is used or given up: the probability of a use over the
    // uses per second is how long that takes.
    const double density = Density(id);
    outlook.held_s = density > 0 ? outlook.returns / density : 0;
  }
  return outlook;
}

/// Ascending. `returns` of each is the probability of overlaps that end between it and the next.
void LearnedPlacement::FindCandidates(const Request& request, const Places& places) {
  candidates_.clear();
  held_s_.clear();
  // Deepest first. What ends before a place, on its edge, can use the place above.
  double returns_above = 0;
  for (SiteId id = places.junction.id;
       tree_.site(id).parent != kNoSite && tree_.site(id).position > request.resume &&
       candidates_.size() < kPathCandidates;
       id = tree_.site(id).parent) {
    const std::uint32_t position = tree_.site(id).position;
    const double share = ShareFrom(id, position);
    const Outlook outlook = OutlookOf(id);
    AddCandidate(outlook, id, position, share);
    candidates_.back().returns += returns_above;
    returns_above = outlook.returns * (1 - share);
  }
  std::reverse(candidates_.begin(), candidates_.end());
  std::reverse(held_s_.begin(), held_s_.end());
  if (!tree_.Valid(places.tip)) {
    return;
  }
  const SiteId tip = places.tip.id;
  const std::uint32_t end = tree_.site(tip).position;
  const std::uint32_t base = std::max(request.resume, tree_.site(tree_.site(tip).parent).position);
  const std::uint64_t grain = OwnerOf(tip).grain_tokens;
  const auto first = static_cast<std::ptrdiff_t>(candidates_.size());
  const Outlook outlook = OutlookOf(tip);
  double within = 0;
  for (std::uint64_t back = 0; end > base + back; back = back == 0 ? grain : 2 * back) {
    const auto position = static_cast<std::uint32_t>(end - back);
    const double share = ShareFrom(tip, position);
    AddCandidate(outlook, tip, position, share - within);
    within = share;
  }
  std::reverse(candidates_.begin() + first, candidates_.end());
}

void LearnedPlacement::PriceCandidates(double price, double write_price) {
  if (!config_.admission) {
    return;
  }
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    candidates_[i].cost_per_byte = write_price + price * held_s_[i];
  }
}

/// No set of more candidates needs to be tried when at most so many bytes may be new. What a set
/// gains is concave in its size (the gain of a step is a Monge array), so the best set of a limit
/// is as large as the limit, unless fewer gain as much.
std::size_t LearnedPlacement::MostStates(double bytes) const {
  std::size_t most = 0;
  for (const ChainCandidate& candidate : candidates_) {
    most += tree_.CheckpointAt(candidate.site, candidate.position) != kNoCheckpoint ? 1 : 0;
  }
  const auto size = static_cast<double>(OwnerOf(candidates_.front().site).checkpoint_bytes);
  return size > 0 && bytes < size * static_cast<double>(candidates_.size())
             ? most + static_cast<std::size_t>(bytes / size)
             : candidates_.size();
}

/// Dual ascent: the price that goes with the bound on writes rises while more is asked for than an
/// engine writes, and falls while it is less, down to what writing costs by itself.
void LearnedPlacement::AdjustWritePrice(double asked_bytes) {
  const auto engines = static_cast<double>(shadow_.written_bytes());
  if (!config_.bounded_writes || engines <= 0) {
    return;
  }
  const double usual = engines / static_cast<double>(observed_);
  const double excess = std::clamp((asked_bytes - engine_bytes_) / usual, -kMostUsual, kMostUsual);
  const double least = 1 / config_.write_bytes_per_s;
  write_price_ =
      std::clamp(write_price_ * std::exp(kPriceStep * excess), least, kDearestWrite * least);
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
  const auto take = [&](std::size_t limit) {
    plan.clear();
    bytes = 0;
    for (const std::size_t i : chain_choice_.Best(limit)) {
      const ChainCandidate& chosen = candidates_[i];
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
  // What may be written is what an engine of today would have written, for this request and for
  // those before it.
  const double left = static_cast<double>(shadow_.written_bytes()) - planned_bytes_;
  const double allowed = config_.bounded_writes ? std::max(left, engine_bytes_)
                                                : std::numeric_limits<double>::infinity();
  FindCandidates(request, places);
  PriceCandidates(price, write_price_);
  chain_choice_.Solve(candidates_, chain, config_.max_plan);
  take(config_.max_plan);
  const double price_before = write_price_;
  AdjustWritePrice(bytes);
  if (bytes > allowed) {
    std::size_t limit = std::min(plan.size() - 1, MostStates(allowed));
    chain_choice_.Solve(candidates_, chain, limit);
    for (take(limit); bytes > allowed && limit > 0;) {
      take(--limit);
    }
  }
  planned_bytes_ += bytes;
  last_spent_ = {.bytes = bytes, .price_factor = write_price_ / price_before};
  engine_bytes_ = 0;  // Spent, should the same request be planned again.
  return plan;
}

void LearnedPlacement::Forgo(const Spent& spent) {
  planned_bytes_ = std::max(planned_bytes_ - spent.bytes, 0.0);
  const double least = 1 / config_.write_bytes_per_s;
  write_price_ = std::clamp(write_price_ / spent.price_factor, least, kDearestWrite * least);
}

}  // namespace cairn
