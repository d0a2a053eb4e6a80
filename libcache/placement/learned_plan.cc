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

/// Which candidates to take, ascending: the set of at most `limit` with the greatest gain
///   sum of P(a later overlap ends here or deeper) x (seconds saved over the choice above)
///   - cost of the states, and of the KV down to the deepest.
/// Exact: O(n^2) without a limit that binds, else O(limit n^2).
template <class Candidate>
std::vector<std::size_t> BestChain(const std::vector<Candidate>& candidates,
                                   const LearnedPlacement::Owner& owner, std::uint32_t resume,
                                   std::uint32_t kv_resident, std::size_t limit) {
  struct Choice {
    double gain = 0;
    std::size_t above = 0;  // Index of the choice above plus one; 0 for the resumed boundary.
  };
  const std::size_t n = candidates.size();
  std::vector<double> from(n + 1, 0);
  for (std::size_t i = n; i > 0; --i) {
    from[i - 1] = from[i] + candidates[i - 1].returns;
  }
  const auto step = [&](std::size_t i, std::uint32_t above) {
    return from[i] * owner.cost.Between(above, candidates[i].position) -
           candidates[i].cost_per_byte * static_cast<double>(owner.checkpoint_bytes);
  };
  // Row m, place i: the best with m + 1 checkpoints of which the deepest is i. Without a limit one
  // row does, which looks back at itself.
  const bool unlimited = limit >= n;
  const std::size_t rows = unlimited ? 1 : limit;
  std::vector<Choice> choices(rows * n);
  double best = 0;
  std::size_t best_end = rows * n;
  for (std::size_t m = 0; m < rows; ++m) {
    for (std::size_t i = m; i < n; ++i) {
      Choice& choice = choices[m * n + i];
      choice.gain = step(i, resume);
      const std::size_t back = m == 0 ? 0 : (m - 1) * n;
      for (std::size_t j = 0; j < i && (unlimited || m > 0); ++j) {
        const double gain = choices[back + j].gain + step(i, candidates[j].position);
        if (gain > choice.gain) {
          choice = {.gain = gain, .above = back + j + 1};
        }
      }
      const std::uint32_t kv_tokens =
          candidates[i].position - std::min(candidates[i].position, kv_resident);
      const double kv_cost =
          candidates[i].cost_per_byte * static_cast<double>(owner.kv_bytes_per_token) * kv_tokens;
      if (choice.gain - kv_cost > best) {
        best = choice.gain - kv_cost;
        best_end = m * n + i;
      }
    }
  }
  std::vector<std::size_t> chosen;
  if (best_end < rows * n) {
    for (std::size_t at = best_end + 1; at > 0; at = choices[at - 1].above) {
      chosen.push_back((at - 1) % n);
    }
    std::reverse(chosen.begin(), chosen.end());
  }
  return chosen;
}

}  // namespace

LearnedPlacement::Candidate LearnedPlacement::CandidateAt(SiteId id, std::uint32_t position,
                                                          double share, double price,
                                                          double write_price) const {
  const Site& site = tree_.site(id);
  Candidate candidate{.site = id, .position = position};
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
std::vector<LearnedPlacement::Candidate> LearnedPlacement::CandidatesOf(const Request& request,
                                                                        const Places& places,
                                                                        double price,
                                                                        double write_price) const {
  std::vector<Candidate> candidates;
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
  std::vector<Planned> plan;
  double bytes = 0;
  const auto solve = [&](const std::vector<Candidate>& candidates, std::size_t limit) {
    plan.clear();
    bytes = 0;
    for (const std::size_t i : BestChain(candidates, owner, request.resume, kv_resident, limit)) {
      const Candidate& chosen = candidates[i];
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
  const std::vector<Candidate> usual =
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
  return plan;
}

}  // namespace cairn
