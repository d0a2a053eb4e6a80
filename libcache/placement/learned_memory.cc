// What outlives the process: places and models, written down and taken back or merged.
#include <algorithm>
#include <cmath>

#include "libcache/placement/learned_placement.h"

namespace cairn {

LearnedPlacement::Remembered LearnedPlacement::Remember(SiteId id, double now_s) const {
  const Site& site = tree_.site(id);
  const double age_s = std::max(now_s - site.last_use_s, 0.0);
  return {.mass = site.mass * std::exp2(-age_s / config_.mass_half_life_s),
          .age_s = age_s,
          .uses = site.uses,
          .turns = site.turns,
          .gap_bin = site.gap_bin,
          .is_tip = site.is_tip};
}

SiteRef LearnedPlacement::Recall(SiteId parent, std::uint32_t position, const Remembered& what,
                                 double now_s) {
  now_s_ = std::max(now_s_, now_s);
  const bool parent_is_tip = tree_.site(parent).is_tip;
  const SiteId id = tree_.AddTip(parent, position, now_s_ - what.age_s);
  if (id == kNoSite) {
    return {};
  }
  shadow_.OnTip(id);
  tree_.site(parent).is_tip = parent_is_tip;  // As it was written down itself.
  Site& site = tree_.site(id);
  site.mass = what.mass;
  site.uses = what.uses;
  site.turns = what.turns;
  site.gap_bin = what.gap_bin;
  site.is_tip = what.is_tip;
  site.age_bin = static_cast<std::uint8_t>(AgeBins::Of(what.age_s));
  if (what.uses != 0) {
    ++tree_.site(parent).continued;
  }
  site.traits = TraitsOf(id);
  site.waits = true;
  waiting_[site.age_bin].push_back(
      {.site = id, .generation = site.generation, .since_s = site.last_use_s});
  caught_up_s_ = -1;  // It may be due already.
  return tree_.RefOf(id);
}

void LearnedPlacement::Merge(SiteId id, const Remembered& what, double now_s) {
  now_s_ = std::max(now_s_, now_s);
  Site& site = tree_.site(id);
  const Remembered ours = Remember(id, now_s_);
  const double mass = ours.mass + what.mass;
  if (what.age_s < ours.age_s) {
    site.last_use_s = now_s_ - what.age_s;
    site.gap_bin = what.gap_bin;
    site.turns = what.turns;
    site.age_bin = static_cast<std::uint8_t>(AgeBins::Of(what.age_s));
    waiting_[site.age_bin].push_back(
        {.site = id, .generation = site.generation, .since_s = site.last_use_s});
    caught_up_s_ = -1;
  }
  // Masses are as of the last use.
  site.mass = mass * std::exp2(std::min(what.age_s, ours.age_s) / config_.mass_half_life_s);
  site.uses += what.uses;
  site.traits = TraitsOf(id);
  site.density = -1;
  RefreshEdge(id);
}

Status LearnedPlacement::MergeModels(std::span<const double> reuse,
                                     std::span<const double> distance) {
  ReuseModel other_reuse;
  DistanceModel other_distance;
  if (const Status restored = other_reuse.Restore(reuse); !restored) {
    return restored;
  }
  if (const Status restored = other_distance.Restore(distance); !restored) {
    return restored;
  }
  reuse_.Merge(other_reuse);
  distance_.Merge(other_distance);
  return {};
}

}  // namespace cairn
