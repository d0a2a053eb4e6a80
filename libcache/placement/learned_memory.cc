// What outlives the process: places and models, written down and taken back or merged.
#include <algorithm>
#include <string>

#include "libcache/placement/learned_placement.h"

namespace cairn {

namespace {

/// A sum of many daemons' counts stays a count.
void AddUses(Site& site, std::uint32_t uses) {
  constexpr std::uint32_t kMost = 1U << 30U;
  site.uses = std::min(kMost, std::min(kMost, site.uses) + std::min(kMost, uses));
}

}  // namespace

LearnedPlacement::Remembered LearnedPlacement::Remember(SiteId id, double now_s) const {
  const Site& site = tree_.site(id);
  const double age_s = std::max(now_s - site.last_use_s, 0.0);
  return {.mass = tree_.MassAt(id, now_s),
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
  out_of_order_ = true;
  shadow_.OnTip(id);
  tree_.site(parent).is_tip = parent_is_tip;  // As it was written down itself.
  Site& site = tree_.site(id);
  tree_.AddMass(id, what.mass, now_s_);
  if (what.uses != 0) {
    tree_.CountReturn(id);
  }
  AddUses(site, what.uses);
  site.turns = what.turns;
  site.gap_bin = what.gap_bin;
  site.is_tip = what.is_tip;
  site.age_bin = static_cast<std::uint8_t>(AgeBins::Of(what.age_s));
  site.traits = TraitsOf(id);
  Wait(id);
  return tree_.RefOf(id);
}

void LearnedPlacement::Merge(SiteId id, const Remembered& what, double now_s) {
  now_s_ = std::max(now_s_, now_s);
  Site& site = tree_.site(id);
  const double age_s = std::max(now_s_ - site.last_use_s, 0.0);
  if (what.age_s < age_s) {
    out_of_order_ = true;
    site.last_use_s = now_s_ - what.age_s;
    site.gap_bin = what.gap_bin;
    site.turns = what.turns;
    site.age_bin = static_cast<std::uint8_t>(AgeBins::Of(what.age_s));
    Wait(id);
  }
  tree_.AddMass(id, what.mass, now_s_);
  if (what.uses != 0) {
    tree_.CountReturn(id);
  }
  AddUses(site, what.uses);
  site.traits = TraitsOf(id);
  site.density = -1;
  RefreshEdge(id);
}

/// For the end of its age bin, which the last one does not have.
void LearnedPlacement::Wait(SiteId id) {
  Site& site = tree_.site(id);
  site.waits = site.age_bin == 0;
  if (site.age_bin + std::size_t{1} < waiting_.size()) {
    waiting_[site.age_bin].push_back(
        {.site = id, .generation = site.generation, .since_s = site.last_use_s});
    caught_up_s_ = -1;  // It may be due already.
  }
}

void LearnedPlacement::SortByUse() {
  if (!out_of_order_) {
    return;
  }
  out_of_order_ = false;
  tree_.SortByUse();
  for (auto& queue : waiting_) {
    std::stable_sort(queue.begin(), queue.end(),
                     [](const Waiting& a, const Waiting& b) { return a.since_s < b.since_s; });
  }
}

Status LearnedPlacement::MergeModels(std::span<const double> reuse,
                                     std::span<const double> distance) {
  ReuseModel other_reuse;
  DistanceModel other_distance;
  const Status has_reuse = other_reuse.Restore(reuse);
  const Status has_distance = other_distance.Restore(distance);
  std::string left_out;
  for (const Status& has : {has_reuse, has_distance}) {
    if (has) {
      continue;
    }
    if (has.error().code != ErrorCode::kUnsupported) {
      return has;
    }
    left_out += (left_out.empty() ? "" : "; ") + has.error().message;
  }
  if (has_reuse) {
    reuse_.Merge(other_reuse);
  }
  if (has_distance) {
    distance_.Merge(other_distance);
  }
  if (!left_out.empty()) {
    return Fail(ErrorCode::kUnsupported, left_out);
  }
  return {};
}

}  // namespace cairn
