// What operators see of the learned placement, and what of it is written down.
#include <algorithm>

#include "libcache/cache/trie_placement.h"

namespace cairn {

PlaceView TriePlacement::ViewOf(SiteId id) const {
  const SiteTree& tree = learned_.tree();
  const Site& site = tree.site(id);
  const LearnedPlacement::Remembered now = learned_.Remember(id, NowSeconds());
  PlaceView view;
  view.key = KeyOf(id).value_or(PrefixKey{});
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
  summary.waiting_places = remembered_.size() + homeless_.size();
  summary.checkpoints = tree.checkpoints();
  summary.plain = heap_.Size();
  summary.memory_bytes = learned_.memory_bytes() + site_of_.capacity() * sizeof(SiteRef) +
                         end_of_.capacity() * sizeof(NodeId) + plain_.capacity() * sizeof(Plain) +
                         checkpoints_.size() * (sizeof(NodeId) + sizeof(CheckpointId) + 16) +
                         remembered_.size() * (2 * sizeof(PrefixKey) + sizeof(SiteRef) + 48) +
                         homeless_.capacity() * sizeof(Homeless);
  summary.price_per_byte_s = ShownPrice();
  summary.engine_written_bytes = learned_.shadow().written_bytes();
  summary.engine_served_tokens = learned_.shadow().served_tokens();
  summary.planned_bytes = learned_.planned_bytes();
  std::vector<std::pair<double, SiteId>> by_mass;
  for (SiteId id = 0; most_places != 0 && id < tree.end(); ++id) {
    if (tree.site(id).live && tree.site(id).parent != kNoSite) {
      by_mass.emplace_back(-learned_.Remember(id, NowSeconds()).mass, id);
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
  path.price_per_byte_s = ShownPrice();
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

std::optional<PrefixKey> TriePlacement::KeyOf(SiteId id) const {
  if (const NodeId end = EndOf(id); end != kNoId) {
    return config_.index->node(end).key;
  }
  const auto found = remembered_keys_.find(id);
  if (found == remembered_keys_.end()) {
    return std::nullopt;
  }
  // The place may have been forgotten since, and its number another's.
  const auto still = remembered_.find(found->second);
  const bool same =
      still != remembered_.end() && still->second.id == id && learned_.tree().Valid(still->second);
  return same ? std::optional(found->second) : std::nullopt;
}

std::optional<PlaceRecord> TriePlacement::RecordOf(SiteId id) const {
  const SiteTree& tree = learned_.tree();
  const auto key = KeyOf(id);
  if (!key || tree.site(id).parent == kNoSite) {
    return std::nullopt;
  }
  // A place whose prefix is no longer known cannot be named; the one above it can.
  SiteId above = tree.site(id).parent;
  auto above_key = KeyOf(above);
  while (!above_key && tree.site(above).parent != kNoSite) {
    above = tree.site(above).parent;
    above_key = KeyOf(above);
  }
  if (!above_key) {
    return std::nullopt;
  }
  return PlaceRecord{.key = *key,
                     .above = *above_key,
                     .position = tree.site(id).position,
                     .what = learned_.Remember(id, NowSeconds())};
}

PlaceRecord TriePlacement::Aged(PlaceRecord record, double since_s) const {
  record.what.age_s += std::max(NowSeconds() - since_s, 0.0);
  return record;
}

std::uint32_t TriePlacement::Places(std::uint32_t from, std::uint32_t count,
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
  // Then those that wait.
  for (; from >= tree.end() && from - tree.end() < homeless_.size() && count > 0; ++from, --count) {
    const Homeless& waiting = homeless_[from - tree.end()];
    places.push_back(Aged(waiting.record, waiting.since_s));
  }
  return from < tree.end() + homeless_.size() ? from : 0;
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

void TriePlacement::Remembering(const PrefixKey& key, SiteRef site) {
  const SiteTree& tree = learned_.tree();
  // At most as many are valid as there are places, so a sweep makes room for as many again.
  if (remembered_.size() >= 2 * std::size_t{tree.max_sites()}) {
    std::erase_if(remembered_, [&tree](const auto& place) { return !tree.Valid(place.second); });
    std::erase_if(remembered_keys_,
                  [this](const auto& place) { return !remembered_.contains(place.second); });
  }
  remembered_[key] = site;
  remembered_keys_[site.id] = key;
}

bool TriePlacement::MergePlace(const PlaceRecord& record) {
  const SiteTree& tree = learned_.tree();
  const SiteRef same = PlaceWithKey(record.key);
  if (tree.Valid(same)) {
    learned_.Merge(same.id, record.what, NowSeconds());
    return true;
  }
  const SiteRef above = PlaceWithKey(record.above);
  if (tree.Valid(above)) {
    return MergeBelow(above, record);
  }
  // A prefix that is known without being a place lies in the middle of an edge.
  if (homeless_.size() >= tree.max_sites() || config_.index->Find(record.above) != kNoId ||
      record.key == record.above) {
    return false;
  }
  homeless_.push_back({.record = record, .since_s = NowSeconds()});
  return true;
}

bool TriePlacement::MergeBelow(SiteRef above, const PlaceRecord& record) {
  const SiteTree& tree = learned_.tree();
  const NodeId node = config_.index->Find(record.key);
  if (record.position <= tree.site(above.id).position) {
    return false;
  }
  if (node != kNoId) {
    // In the middle of an edge of ours it would say nothing new: nobody parted there that we know.
    // And whose a prefix is, the prefix says, not the statistics.
    const Node& n = config_.index->node(node);
    if (Known(node) || n.position != record.position || n.name_space != tree.site(above.id).owner) {
      return false;
    }
  }
  const SiteRef site = learned_.Recall(above.id, record.position, record.what, NowSeconds());
  if (!tree.Valid(site)) {
    return false;
  }
  if (node == kNoId) {
    Remembering(record.key, site);
  } else {
    FillUp(node, site);
    SetEnd(site, node);
  }
  return true;
}

/// Those whose namespace is open now find their place; others go on waiting.
void TriePlacement::TakeInHomeless() {
  std::vector<Homeless> waiting;
  waiting.swap(homeless_);
  for (const Homeless& place : waiting) {
    if (learned_.tree().Valid(PlaceWithKey(place.record.above))) {
      MergePlace(Aged(place.record, place.since_s));
    } else {
      homeless_.push_back(place);
    }
  }
  learned_.SortByUse();
}

}  // namespace cairn
