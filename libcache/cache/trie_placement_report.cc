// What operators see of the learned placement, and what of it is written down.
#include <algorithm>

#include "libcache/cache/trie_placement.h"

namespace cairn {

PlaceView TriePlacement::ViewOf(SiteId id) const {
  const SiteTree& tree = learned_.tree();
  const Site& site = tree.site(id);
  const LearnedPlacement::Remembered now = learned_.Remember(id, Now_s());
  PlaceView view;
  if (const NodeId end = EndOf(id); end != kNoId) {
    view.key = config_.index->node(end).key;
  }
  view.position = site.position;
  view.kind = tree.KindOf(id);
  view.name_space = site.owner;  // Owners are added in the order of namespaces.
  view.uses = site.uses;
  view.mass = now.mass;
  view.uses_per_s = learned_.Density(id);
  view.idle_s = now.age_s;
  view.children = site.children;
  return view;
}

PlacementSummary TriePlacement::Summary(std::size_t most_places) {
  const SiteTree& tree = learned_.tree();
  PlacementSummary summary;
  summary.places = tree.sites();
  summary.most_places = tree.max_sites();
  summary.waiting_places = remembered_.size();
  summary.checkpoints = tree.checkpoints();
  summary.plain = heap_.Size();
  summary.memory_bytes = learned_.memory_bytes() + site_of_.capacity() * sizeof(SiteRef) +
                         end_of_.capacity() * sizeof(NodeId) + plain_.capacity() * sizeof(Plain) +
                         checkpoints_.size() * (sizeof(NodeId) + sizeof(CheckpointId) + 16) +
                         remembered_.size() * (sizeof(PrefixKey) + sizeof(SiteRef) + 16);
  summary.price_per_byte_s = last_price_;
  summary.engine_written_bytes = learned_.shadow().written_bytes();
  summary.engine_served_tokens = learned_.shadow().served_tokens();
  summary.planned_bytes = learned_.planned_bytes();
  std::vector<std::pair<double, SiteId>> by_mass;
  for (SiteId id = 0; id < tree.end(); ++id) {
    if (tree.site(id).live && tree.site(id).parent != kNoSite) {
      by_mass.emplace_back(-learned_.Remember(id, Now_s()).mass, id);
    }
  }
  const auto shown = std::min(most_places, by_mass.size());
  std::partial_sort(by_mass.begin(), by_mass.begin() + static_cast<std::ptrdiff_t>(shown),
                    by_mass.end());
  for (std::size_t i = 0; i < shown; ++i) {
    summary.top.push_back(ViewOf(by_mass[i].second));
  }
  return summary;
}

PathPlacement TriePlacement::Explain(NodeId id) {
  const SiteTree& tree = learned_.tree();
  PathPlacement path;
  path.price_per_byte_s = last_price_;
  while (id != kNoId && !Known(id)) {
    id = config_.index->node(id).parent;
  }
  if (id == kNoId) {
    return path;
  }
  const auto view = [](std::uint32_t position, const LearnedPlacement::Appraisal& appraisal) {
    return CheckpointView{.position = position,
                          .uses_per_s = appraisal.uses_per_s,
                          .saved_s = appraisal.saved_s,
                          .bytes = appraisal.bytes,
                          .value_per_byte_s = appraisal.value()};
  };
  const Space& space = spaces_[config_.index->node(id).name_space];
  for (SiteId site = SiteOf(id).id; tree.site(site).parent != kNoSite;
       site = tree.site(site).parent) {
    path.places.push_back(ViewOf(site));
    for (CheckpointId c = tree.site(site).deepest; c != kNoCheckpoint;
         c = tree.checkpoint(c).above) {
      path.kept.push_back(view(tree.checkpoint(c).position, learned_.Appraise(c)));
    }
    const std::uint32_t position = tree.site(site).position;
    if (space.checkpoint_bytes == 0 || tree.CheckpointAt(site, position) != kNoCheckpoint) {
      continue;
    }
    const CheckpointView candidate =
        view(position, learned_.AppraiseNew({.site = site, .position = position}));
    if (!path.next || candidate.value_per_byte_s > path.next->value_per_byte_s) {
      path.next = candidate;
    }
  }
  std::reverse(path.places.begin(), path.places.end());
  std::reverse(path.kept.begin(), path.kept.end());
  return path;
}

PlacementModels TriePlacement::Models() const {
  return {.reuse = learned_.reuse().Snapshot(), .distance = learned_.distance().Snapshot()};
}

Status TriePlacement::MergeModels(const PlacementModels& models) {
  return learned_.MergeModels(models.reuse, models.distance);
}

std::optional<PlaceRecord> TriePlacement::RecordOf(SiteId id) const {
  const SiteTree& tree = learned_.tree();
  const NodeId end = EndOf(id);
  if (end == kNoId || tree.site(id).parent == kNoSite) {
    return std::nullopt;
  }
  // A place whose prefix is no longer known cannot be named; the one above it can.
  SiteId above = tree.site(id).parent;
  while (EndOf(above) == kNoId) {
    above = tree.site(above).parent;
    if (above == kNoSite) {
      return std::nullopt;
    }
  }
  return PlaceRecord{.key = config_.index->node(end).key,
                     .above = config_.index->node(EndOf(above)).key,
                     .position = tree.site(id).position,
                     .what = learned_.Remember(id, Now_s())};
}

SiteId TriePlacement::Places(SiteId from, std::uint32_t count,
                             std::vector<PlaceRecord>& places) const {
  const SiteTree& tree = learned_.tree();
  for (; from < tree.end() && count > 0; ++from, --count) {
    if (!tree.site(from).live) {
      continue;
    }
    if (auto record = RecordOf(from)) {
      places.push_back(*record);
    }
  }
  return from < tree.end() ? from : 0;
}

SiteRef TriePlacement::PlaceWithKey(const PrefixKey& key) const {
  if (const NodeId node = config_.index->Find(key); node != kNoId) {
    const SiteRef site = SiteOf(node);
    const bool ends_here = learned_.tree().Valid(site) && learned_.tree().site(site.id).position ==
                                                              config_.index->node(node).position;
    return ends_here ? site : SiteRef{};
  }
  const auto found = remembered_.find(key);
  return found != remembered_.end() && learned_.tree().Valid(found->second) ? found->second
                                                                            : SiteRef{};
}

bool TriePlacement::MergePlace(const PlaceRecord& record) {
  const SiteTree& tree = learned_.tree();
  const SiteRef same = PlaceWithKey(record.key);
  if (tree.Valid(same)) {
    learned_.Merge(same.id, record.what, Now_s());
    return true;
  }
  const NodeId node = config_.index->Find(record.key);
  const SiteRef above = PlaceWithKey(record.above);
  // In the middle of an edge of ours it would say nothing new: nobody parted there that we know.
  if (!tree.Valid(above) || record.position <= tree.site(above.id).position ||
      (node != kNoId && Known(node))) {
    return false;
  }
  const SiteRef site = learned_.Recall(above.id, record.position, record.what, Now_s());
  if (!tree.Valid(site)) {
    return false;
  }
  if (node == kNoId) {
    if (remembered_.size() >= tree.max_sites()) {
      std::erase_if(remembered_, [&tree](const auto& place) { return !tree.Valid(place.second); });
    }
    remembered_[record.key] = site;
  } else if (config_.index->node(node).position == record.position) {
    FillUp(node, site);
    SetEnd(site, node);
  }
  return true;
}

}  // namespace cairn
