#include "libcache/placement/learned_placement.h"

#include <algorithm>
#include <cmath>

#include "libcache/base/check.h"

namespace cairn {
namespace {

/// Children that a checkpoint's value looks at, latest first, and places in all: the rest are old
/// and there would be thousands below the end of a popular template.
constexpr int kChildrenSeen = 16;
constexpr int kPlacesSeen = 64;
/// An overlap that ends this close before a prompt's end still continues that prompt, in blocks of
/// any size: the last tokens of a turn are often written differently when it comes back.
constexpr std::uint32_t kTurnSlackTokens = 1024;
/// Places are aged in the order of their last use, which is none in memory: each would be waited
/// for.
constexpr std::size_t kLookAhead = 8;
/// Victims whose value turns out to have risen since it was computed, before one is taken anyway.
constexpr int kVictimProbes = 32;

}  // namespace

LearnedPlacement::LearnedPlacement(const Config& config)
    : config_(config),
      tree_(config.max_sites, config.mass_half_life_s),
      shadow_(config.capacity_bytes),
      write_price_(1 / config.write_bytes_per_s) {}

SiteRef LearnedPlacement::AddOwner(const Owner& owner, double now_s) {
  CAIRN_CHECK(owners_.size() < std::numeric_limits<std::uint16_t>::max());
  owners_.push_back(owner);
  owners_.back().grain_tokens = std::max(owner.grain_tokens, 1U);
  return tree_.RefOf(tree_.AddRoot(now_s, static_cast<std::uint16_t>(owners_.size() - 1)));
}

void LearnedPlacement::SetCost(SiteRef root, const PrefillCost& cost) {
  owners_[tree_.site(root.id).owner].cost = cost;
}

SiteTraits LearnedPlacement::TraitsOf(SiteId id) const {
  const Site& site = tree_.site(id);
  SiteTraits traits;
  traits.kind = tree_.KindOf(id);
  traits.uses = SiteTraits::CountBin(site.uses);
  traits.turns = static_cast<std::uint8_t>(std::min<std::uint32_t>(site.turns, 15));
  traits.children = SiteTraits::CountBin(site.children);
  traits.segment = SiteTraits::LogBin(tree_.EdgeTokens(id));
  traits.depth = SiteTraits::LogBin(site.position);
  traits.tenant = OwnerOf(id).tenant;
  traits.gap_bin = site.gap_bin;
  if (site.parent != kNoSite) {
    const Site& parent = tree_.site(site.parent);
    traits.siblings = SiteTraits::LogBin(parent.children);
    const double share = (parent.continued + 0.5) / (parent.children + 1.0);
    traits.continued =
        static_cast<std::uint8_t>(std::clamp(-2.0 * std::log2(std::min(share, 1.0)), 0.0, 15.0));
  }
  return traits;
}

void LearnedPlacement::Restart(SiteId id, double now_s) {
  Site& site = tree_.site(id);
  // Requests may all arrive at once, and a clock may stand still: one entry per place and moment.
  const bool queued = site.waits && site.last_use_s == now_s && site.age_bin == 0;
  site.last_use_s = now_s;
  site.age_bin = 0;
  site.traits = TraitsOf(id);
  site.density = -1;
  if (!queued) {
    site.waits = true;
    waiting_[0].push_back({.site = id, .generation = site.generation, .since_s = now_s});
  }
  tree_.Touch(id);
  RefreshEdge(id);
}

void LearnedPlacement::AdvanceTo(double now_s) { CatchUp(now_s, config_.aged_per_call); }

bool LearnedPlacement::CatchUp(double now_s, std::size_t most) {
  now_s_ = std::max(now_s_, now_s);
  if (now_s_ == caught_up_s_) {
    return true;
  }
  for (std::size_t bin = 0; bin + 1 < waiting_.size(); ++bin) {
    const double end_s = AgeBins::EndSeconds(bin);
    while (!waiting_[bin].empty() && waiting_[bin].front().since_s + end_s <= now_s_) {
      if (most == 0) {
        return false;
      }
      --most;
      const Waiting due = waiting_[bin].front();
      waiting_[bin].pop_front();
      if (waiting_[bin].size() > kLookAhead) {
        tree_.Prefetch(waiting_[bin][kLookAhead].site);
      }
      if (!tree_.Valid({due.site, due.generation})) {
        continue;
      }
      Site& site = tree_.site(due.site);
      if (site.last_use_s != due.since_s || site.age_bin != bin) {
        continue;  // Used since; it waits elsewhere.
      }
      reuse_.Survived(site.traits, bin);
      site.age_bin = static_cast<std::uint8_t>(bin + 1);
      site.density = -1;
      if (bin + 2 < waiting_.size()) {  // Nothing ends the last bin.
        waiting_[bin + 1].push_back(due);
      }
      RefreshEdge(due.site);
    }
  }
  caught_up_s_ = now_s_;
  return true;
}

void LearnedPlacement::Use(SiteId id, std::uint32_t overlap) {
  const Site& site = tree_.site(id);
  const SiteKind kind = tree_.KindOf(id);
  reuse_.Used(site.traits, site.age_bin);
  distance_.Observe(kind, OwnerOf(id).tenant, site.position - overlap);
}

LearnedPlacement::Places LearnedPlacement::Observe(const Request& request) {
  AdvanceTo(request.now_s);
  const double now_s = now_s_;
  SiteId at = request.edge.id;
  Places places;
  std::uint8_t turns = 0;
  std::uint8_t gap_bin = SiteTraits::kNoGap;
  if (tree_.site(at).parent != kNoSite) {
    const Site& used = tree_.site(at);
    CAIRN_CHECK(request.overlap <= used.position);
    const std::uint32_t back = used.position - request.overlap;
    gap_bin = static_cast<std::uint8_t>(AgeBins::Of(now_s - used.last_use_s));
    if (!used.is_tip) {
      turns = std::min<std::uint8_t>(used.turns, 1);
    } else if (back <= kTurnSlackTokens) {
      turns = static_cast<std::uint8_t>(std::min(used.turns + 1, 255));
    }
    Use(at, request.overlap);
    tree_.CountReturn(at);
    SiteId upper = at;
    if (back > 0) {
      upper = tree_.Split(at, request.overlap, now_s);
      if (upper != kNoSite) {
        places.junction_is_new = true;
      }
    }
    if (upper == kNoSite) {
      upper = tree_.site(at).parent;  // No room for a new place: the one above has to do.
    }
    ++tree_.site(upper).uses;
    tree_.AddMass(upper, 1, now_s);
    tree_.site(upper).gap_bin = gap_bin;
    at = upper;
  }
  const EngineShadow::Sizes sizes{.checkpoint_bytes = OwnerOf(at).checkpoint_bytes,
                                  .kv_bytes_per_token = OwnerOf(at).kv_bytes_per_token};
  if (places.junction_is_new) {
    shadow_.OnSplit(tree_, at, request.edge.id, sizes);
  }
  places.junction = tree_.RefOf(at);
  const std::uint32_t base = tree_.site(at).position;
  SiteId tip = kNoSite;
  if (request.extends && request.end > base) {
    tip = tree_.AddTip(at, request.end, now_s);
  }
  if (tip != kNoSite) {
    tree_.site(tip).turns = turns;
    tree_.site(tip).gap_bin = gap_bin;
    places.tip = tree_.RefOf(tip);
    shadow_.OnTip(tip);
  }
  ++observed_;
  const auto before = static_cast<double>(shadow_.written_bytes());
  shadow_.OnRequest(tree_, at, tip == kNoSite ? at : tip, sizes);
  engine_bytes_ = static_cast<double>(shadow_.written_bytes()) - before;
  if (tree_.site(at).parent != kNoSite) {
    Restart(at, now_s);
  }
  if (tip != kNoSite) {
    Restart(tip, now_s);
  }
  return places;
}

void LearnedPlacement::Answered(SiteRef tip, std::uint32_t answer_tokens) {
  if (!tree_.Valid(tip) || !tree_.site(tip.id).is_tip) {
    return;
  }
  Site& site = tree_.site(tip.id);
  site.traits.answer = static_cast<std::uint8_t>(SiteTraits::LogBin(answer_tokens) + 1);
  site.density = -1;
  RefreshEdge(tip.id);
}

double LearnedPlacement::Density(SiteId id) const {
  const Site& site = tree_.site(id);
  if (site.parent == kNoSite) {
    return 0;
  }
  if (site.density < 0) {
    site.density = config_.learn_reuse ? reuse_.Density(site.traits, site.age_bin)
                                       : 1.0 / AgeBins::EndSeconds(site.age_bin);
  }
  return site.density;
}

double LearnedPlacement::ShareFrom(SiteId id, std::uint32_t position) const {
  if (!config_.learn_distance) {
    return 1;
  }
  const Site& site = tree_.site(id);
  const Owner& owner = OwnerOf(id);
  return distance_.ShareWithin(tree_.KindOf(id), owner.tenant, site.position - position,
                               tree_.EdgeTokens(id), owner.grain_tokens);
}

double LearnedPlacement::RateBelow(SiteId id, int& budget) const {
  double rate = 0;
  int seen = 0;
  for (SiteId child = tree_.site(id).first_child; child != kNoSite && seen < kChildrenSeen;
       child = tree_.site(child).next_sibling, ++seen) {
    if (--budget < 0) {
      break;
    }
    const CheckpointId shallowest = tree_.site(child).shallowest;
    if (shallowest == kNoCheckpoint) {
      rate += Density(child) + RateBelow(child, budget);
      continue;
    }
    rate += Density(child) * (1 - ShareFrom(child, tree_.checkpoint(shallowest).position));
  }
  return rate;
}

double LearnedPlacement::RateServed(CheckpointId id) const {
  const ResidentCheckpoint& c = tree_.checkpoint(id);
  const double from_here = ShareFrom(c.site, c.position);
  if (c.below != kNoCheckpoint) {
    const double from_below = ShareFrom(c.site, tree_.checkpoint(c.below).position);
    return Density(c.site) * std::max(0.0, from_here - from_below);
  }
  int budget = kPlacesSeen;
  return Density(c.site) * from_here + RateBelow(c.site, budget);
}

double LearnedPlacement::BytesFreed(CheckpointId id) const {
  const ResidentCheckpoint& c = tree_.checkpoint(id);
  const Owner& owner = OwnerOf(c.site);
  const std::uint32_t kv_tokens = c.position - tree_.NeededAbove(id);
  return static_cast<double>(owner.checkpoint_bytes) +
         static_cast<double>(owner.kv_bytes_per_token) * kv_tokens;
}

LearnedPlacement::Appraisal LearnedPlacement::Appraise(CheckpointId id) const {
  const ResidentCheckpoint& c = tree_.checkpoint(id);
  return {.uses_per_s = RateServed(id),
          .saved_s = OwnerOf(c.site).cost.Between(tree_.PositionAbove(id), c.position),
          .bytes = BytesFreed(id)};
}

double LearnedPlacement::Value(CheckpointId id) const { return Appraise(id).value(); }

LearnedPlacement::Appraisal LearnedPlacement::AppraiseNew(const Planned& at) {
  // As if it were there; nobody looks at the tree meanwhile.
  const CheckpointId id = tree_.AddCheckpoint(at.site, at.position, 0);
  const Appraisal appraisal = Appraise(id);
  tree_.RemoveCheckpoint(id);
  return appraisal;
}

double LearnedPlacement::RateFrom(const Planned& at) const {
  int budget = kPlacesSeen;
  return Density(at.site) * ShareFrom(at.site, at.position) + RateBelow(at.site, budget);
}

void LearnedPlacement::Refresh(CheckpointId id) {
  values_[id] = Value(id);
  heap_.Moved(id);
}

void LearnedPlacement::RefreshEdge(SiteId id) {
  for (CheckpointId c = tree_.site(id).deepest; c != kNoCheckpoint; c = tree_.checkpoint(c).above) {
    if (heap_.Contains(c)) {
      Refresh(c);
    }
  }
}

/// What stands above and below on the path: what they serve or free has changed. Those on other
/// edges below are seen to when their time comes; there may be thousands.
void LearnedPlacement::RefreshNeighbours(SiteId site, CheckpointId above, CheckpointId below) {
  if (below != kNoCheckpoint) {
    Refresh(below);
  }
  if (above == kNoCheckpoint) {
    above = tree_.NearestAbove(site);
  }
  if (above != kNoCheckpoint) {
    Refresh(above);
  }
}

CheckpointId LearnedPlacement::Add(const Planned& at, std::uint32_t user, double now_s) {
  AdvanceTo(now_s);
  const CheckpointId id = tree_.AddCheckpoint(at.site, at.position, user);
  if (id >= values_.size()) {
    values_.resize(std::size_t{id} + 1);
  }
  values_[id] = Value(id);
  heap_.Push(id);
  RefreshNeighbours(at.site, tree_.checkpoint(id).above, tree_.checkpoint(id).below);
  return id;
}

void LearnedPlacement::Remove(CheckpointId id) {
  heap_.Erase(id);
  const ResidentCheckpoint gone = tree_.checkpoint(id);
  tree_.RemoveCheckpoint(id);
  RefreshNeighbours(gone.site, gone.above, gone.below);
}

std::optional<CheckpointId> LearnedPlacement::Victim(double now_s) {
  return Victim(
      now_s, [](CheckpointId) { return true; }, 0);
}

std::optional<CheckpointId> LearnedPlacement::Victim(
    double now_s, const std::function<bool(CheckpointId)>& accept, std::size_t max_refused) {
  AdvanceTo(now_s);
  std::optional<CheckpointId> victim;
  for (int probe = 0; probe < kVictimProbes; ++probe) {
    victim = FirstAccepted(heap_, accept, max_refused);
    if (!victim) {
      break;
    }
    const double before = values_[*victim];
    Refresh(*victim);
    if (values_[*victim] <= before) {
      break;
    }
  }
  return victim;
}

std::uint64_t LearnedPlacement::memory_bytes() const {
  std::uint64_t bytes = tree_.memory_bytes() + shadow_.memory_bytes() +
                        values_.capacity() * sizeof(double) +
                        heap_.Size() * 2 * sizeof(std::uint32_t);
  for (const auto& queue : waiting_) {
    bytes += queue.size() * sizeof(Waiting);
  }
  return bytes;
}

}  // namespace cairn
