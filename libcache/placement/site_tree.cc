#include "libcache/placement/site_tree.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "libcache/base/check.h"

namespace cairn {
namespace {

/// Looking for a leaf to forget never walks over more places than this.
constexpr int kForgetProbes = 64;

}  // namespace

SiteTree::SiteTree(std::uint32_t max_sites, double mass_half_life_s)
    : max_sites_(max_sites), mass_half_life_s_(mass_half_life_s) {
  CAIRN_CHECK(max_sites > 1);
}

void SiteTree::CountReturn(SiteId id) {
  Site& s = sites_[id];
  if (s.uses == 0 && !s.came_back && s.parent != kNoSite) {
    s.came_back = true;
    ++sites_[s.parent].continued;
  }
}

double SiteTree::MassAt(SiteId id, double now_s) const {
  const Site& s = sites_[id];
  return s.mass * std::exp2(-std::max(now_s - s.mass_as_of_s, 0.0) / mass_half_life_s_);
}

void SiteTree::AddMass(SiteId id, double mass, double at_s) {
  Site& s = sites_[id];
  const double as_of_s = std::max(s.mass_as_of_s, at_s);
  s.mass = MassAt(id, as_of_s) + mass * std::exp2(-(as_of_s - at_s) / mass_half_life_s_);
  s.mass_as_of_s = as_of_s;
}

std::uint32_t SiteTree::EdgeTokens(SiteId id) const {
  const Site& s = sites_[id];
  return s.parent == kNoSite ? s.position : s.position - sites_[s.parent].position;
}

SiteKind SiteTree::KindOf(SiteId id) const {
  const Site& s = sites_[id];
  if (s.is_tip) {
    return SiteKind::kTip;
  }
  return s.children >= 2 ? SiteKind::kJunction : SiteKind::kTurn;
}

void SiteTree::PushNewest(SiteId id) {
  Site& s = sites_[id];
  s.older = newest_;
  s.newer = kNoSite;
  if (newest_ != kNoSite) {
    sites_[newest_].newer = id;
  } else {
    oldest_ = id;
  }
  newest_ = id;
}

void SiteTree::RemoveFromList(SiteId id) {
  Site& s = sites_[id];
  (s.older == kNoSite ? oldest_ : sites_[s.older].newer) = s.newer;
  (s.newer == kNoSite ? newest_ : sites_[s.newer].older) = s.older;
}

void SiteTree::Touch(SiteId id) {
  if (sites_[id].parent == kNoSite) {
    return;  // Roots are never forgotten.
  }
  RemoveFromList(id);
  PushNewest(id);
}

void SiteTree::SortByUse() {
  // With what is compared beside it: places lie scattered in memory.
  std::vector<std::pair<double, SiteId>> places;
  places.reserve(live_sites_);
  for (SiteId id = oldest_; id != kNoSite; id = sites_[id].newer) {
    places.emplace_back(sites_[id].last_use_s, id);
  }
  std::stable_sort(places.begin(), places.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  oldest_ = kNoSite;
  newest_ = kNoSite;
  for (const auto& place : places) {
    PushNewest(place.second);
  }
}

void SiteTree::LinkChild(SiteId parent, SiteId child) {
  Site& p = sites_[parent];
  Site& c = sites_[child];
  c.parent = parent;
  c.prev_sibling = kNoSite;
  c.next_sibling = p.first_child;
  if (p.first_child != kNoSite) {
    sites_[p.first_child].prev_sibling = child;
  }
  p.first_child = child;
  ++p.children;
}

void SiteTree::UnlinkChild(SiteId child) {
  Site& c = sites_[child];
  Site& p = sites_[c.parent];
  (c.prev_sibling == kNoSite ? p.first_child : sites_[c.prev_sibling].next_sibling) =
      c.next_sibling;
  if (c.next_sibling != kNoSite) {
    sites_[c.next_sibling].prev_sibling = c.prev_sibling;
  }
  --p.children;
}

bool SiteTree::ForgetOldest(SiteId keep) {
  SiteId id = oldest_;
  for (int probe = 0; id != kNoSite && probe < kForgetProbes; ++probe) {
    Site& s = sites_[id];
    const SiteId next = s.newer;
    if (s.first_child == kNoSite && s.checkpoints_below == 0 && id != keep) {
      // What is known of a forgotten place is known of the one above it: an overlap that ends on
      // its edge will end there as far as we can tell.
      AddMass(s.parent, s.mass, s.mass_as_of_s);
      sites_[s.parent].continued -= s.came_back ? 1 : 0;
      UnlinkChild(id);
      RemoveFromList(id);
      s.live = false;
      ++s.generation;
      --live_sites_;
      free_sites_.push_back(id);
      return true;
    }
    // It is needed by something younger, so it is as young.
    Touch(id);
    id = next;
  }
  return false;
}

SiteId SiteTree::Allocate(double now_s) {
  SiteId id = kNoSite;
  if (!free_sites_.empty()) {
    id = free_sites_.back();
    free_sites_.pop_back();
    const std::uint32_t generation = sites_[id].generation;
    sites_[id] = Site{};
    sites_[id].generation = generation;
  } else {
    id = static_cast<SiteId>(sites_.size());
    sites_.emplace_back();
  }
  Site& s = sites_[id];
  s.last_use_s = now_s;
  s.mass_as_of_s = now_s;
  s.live = true;
  ++live_sites_;
  return id;
}

SiteId SiteTree::AddRoot(double now_s, std::uint16_t owner) {
  const SiteId id = Allocate(now_s);
  sites_[id].owner = owner;
  return id;
}

SiteId SiteTree::AddTip(SiteId parent, std::uint32_t position, double now_s) {
  CAIRN_CHECK(position > sites_[parent].position);
  if (live_sites_ >= max_sites_ && !ForgetOldest(parent)) {
    return kNoSite;
  }
  const SiteId id = Allocate(now_s);
  Site& s = sites_[id];
  s.position = position;
  s.is_tip = true;
  s.owner = sites_[parent].owner;
  sites_[parent].is_tip = false;
  LinkChild(parent, id);
  PushNewest(id);
  return id;
}

SiteId SiteTree::Split(SiteId below, std::uint32_t position, double now_s) {
  CAIRN_CHECK(sites_[below].parent != kNoSite && position < sites_[below].position &&
              position > sites_[sites_[below].parent].position);
  if (live_sites_ >= max_sites_ && !ForgetOldest(below)) {
    return kNoSite;
  }
  const SiteId id = Allocate(now_s);
  const SiteId parent = sites_[below].parent;
  UnlinkChild(below);
  LinkChild(parent, id);
  LinkChild(id, below);
  Site& upper = sites_[id];
  Site& lower = sites_[below];
  upper.position = position;
  upper.owner = lower.owner;
  upper.checkpoints_below = lower.checkpoints_below;
  // The lower part came back to the place above, which no longer has it as a child.
  upper.came_back = lower.came_back;
  lower.came_back = false;
  // The checkpoints hang together: cut the chain at the position.
  upper.deepest = AtOrAbove(below, position);
  if (upper.deepest != kNoCheckpoint) {
    CheckpointId& first_below = checkpoints_[upper.deepest].below;
    upper.shallowest = lower.shallowest;
    lower.shallowest = first_below;
    if (first_below == kNoCheckpoint) {
      lower.deepest = kNoCheckpoint;
    } else {
      checkpoints_[first_below].above = kNoCheckpoint;
      first_below = kNoCheckpoint;
    }
  }
  for (CheckpointId c = upper.deepest; c != kNoCheckpoint; c = checkpoints_[c].above) {
    checkpoints_[c].site = id;
    --lower.checkpoints_below;
  }
  PushNewest(id);
  return id;
}

CheckpointId SiteTree::AtOrAbove(SiteId site, std::uint32_t position) const {
  CheckpointId c = sites_[site].deepest;
  while (c != kNoCheckpoint && checkpoints_[c].position > position) {
    c = checkpoints_[c].above;
  }
  return c;
}

CheckpointId SiteTree::CheckpointAt(SiteId site, std::uint32_t position) const {
  const CheckpointId c = AtOrAbove(site, position);
  return c != kNoCheckpoint && checkpoints_[c].position == position ? c : kNoCheckpoint;
}

CheckpointId SiteTree::AddCheckpoint(SiteId site, std::uint32_t position, std::uint32_t user) {
  CAIRN_CHECK(position <= sites_[site].position &&
              sites_[site].position - position < EdgeTokens(site));
  CheckpointId id = kNoCheckpoint;
  if (!free_checkpoints_.empty()) {
    id = free_checkpoints_.back();
    free_checkpoints_.pop_back();
  } else {
    id = static_cast<CheckpointId>(checkpoints_.size());
    checkpoints_.emplace_back();
  }
  const CheckpointId above = AtOrAbove(site, position);
  CAIRN_CHECK(above == kNoCheckpoint || checkpoints_[above].position < position);
  const CheckpointId below =
      above == kNoCheckpoint ? sites_[site].shallowest : checkpoints_[above].below;
  checkpoints_[id] = {.site = site,
                      .position = position,
                      .above = above,
                      .below = below,
                      .user = user,
                      .live = true};
  (above == kNoCheckpoint ? sites_[site].shallowest : checkpoints_[above].below) = id;
  (below == kNoCheckpoint ? sites_[site].deepest : checkpoints_[below].above) = id;
  for (SiteId up = site; up != kNoSite; up = sites_[up].parent) {
    ++sites_[up].checkpoints_below;
  }
  ++live_checkpoints_;
  return id;
}

void SiteTree::RemoveCheckpoint(CheckpointId id) {
  ResidentCheckpoint& gone = checkpoints_[id];
  CAIRN_CHECK(gone.live);
  Site& at = sites_[gone.site];
  (gone.above == kNoCheckpoint ? at.shallowest : checkpoints_[gone.above].below) = gone.below;
  (gone.below == kNoCheckpoint ? at.deepest : checkpoints_[gone.below].above) = gone.above;
  for (SiteId up = gone.site; up != kNoSite; up = sites_[up].parent) {
    --sites_[up].checkpoints_below;
  }
  gone.live = false;
  free_checkpoints_.push_back(id);
  --live_checkpoints_;
}

CheckpointId SiteTree::NearestAbove(SiteId site) const {
  for (SiteId up = sites_[site].parent; up != kNoSite; up = sites_[up].parent) {
    if (sites_[up].deepest != kNoCheckpoint) {
      return sites_[up].deepest;
    }
  }
  return kNoCheckpoint;
}

std::uint32_t SiteTree::PositionAbove(CheckpointId id) const {
  const ResidentCheckpoint& c = checkpoints_[id];
  const CheckpointId above = c.above != kNoCheckpoint ? c.above : NearestAbove(c.site);
  return above == kNoCheckpoint ? 0 : checkpoints_[above].position;
}

std::uint32_t SiteTree::NeededAbove(CheckpointId id) const {
  const auto on_edge = [this](const Site& site) {
    std::uint32_t count = 0;
    for (CheckpointId i = site.deepest; i != kNoCheckpoint; i = checkpoints_[i].above) {
      ++count;
    }
    return count;
  };
  const ResidentCheckpoint& c = checkpoints_[id];
  const Site& own = sites_[c.site];
  if (own.deepest != id || own.checkpoints_below > on_edge(own)) {
    return c.position;
  }
  if (c.above != kNoCheckpoint) {
    return checkpoints_[c.above].position;
  }
  // Up to where somebody else branches off or stands.
  for (SiteId up = own.parent; up != kNoSite; up = sites_[up].parent) {
    const Site& s = sites_[up];
    if (s.checkpoints_below > own.checkpoints_below) {
      return s.checkpoints_below > own.checkpoints_below + on_edge(s)
                 ? s.position
                 : checkpoints_[s.deepest].position;
    }
  }
  return 0;
}

std::uint64_t SiteTree::memory_bytes() const {
  return sites_.capacity() * sizeof(Site) + free_sites_.capacity() * sizeof(SiteId) +
         checkpoints_.capacity() * sizeof(ResidentCheckpoint) +
         free_checkpoints_.capacity() * sizeof(CheckpointId);
}

}  // namespace cairn
