// Who goes first: values in one unit, prefill seconds saved per byte and second.
#include <algorithm>
#include <limits>

#include "libcache/base/check.h"
#include "libcache/cache/trie_placement.h"

namespace cairn {
namespace {

/// A full arena has free bytes too, between objects of different sizes: about this part of it.
constexpr std::uint64_t kScatteredShare = 16;
/// Boundaries whose value turns out to have risen since it was computed, before one is taken
/// anyway.
constexpr int kVictimProbes = 16;
/// Values fall with age as well. Each eviction looks at some, all in turn.
constexpr std::size_t kProbesPerVictim = 8;

}  // namespace

double TriePlacement::ValueOf(NodeId id) const {
  const Plain& plain = plain_[id];
  const Node& n = config_.index->node(id);
  const Space& space = spaces_[n.name_space];
  const NodeId at = n.Has(Node::kTail) ? n.parent : id;
  double uses_per_s = 0;
  if (Known(at) && at != space.root_node) {
    const SiteId site = SiteOf(at).id;
    uses_per_s = learned_.RateFrom({.site = site,
                                    .position = std::min(config_.index->node(at).position,
                                                         learned_.tree().site(site).position)});
  } else {
    SiteTraits traits;
    traits.tenant = space.tenant;
    uses_per_s = learned_.reuse().Density(traits, AgeBins::Of(NowSeconds() - plain.last_use_s));
  }
  const double saved_s =
      space.cost.Between(std::max(n.position - plain.saved_tokens, 0.0), n.position);
  return uses_per_s * saved_s / std::max(plain.bytes, 1.0);
}

void TriePlacement::Refresh(NodeId id) {
  plain_[id].value = ValueOf(id);
  heap_.Moved(id);
}

void TriePlacement::RefreshSome(std::size_t probes) {
  probes = heap_.Size() == 0 ? 0 : std::min(probes, plain_.size());
  for (; probes > 0; --probes) {
    hand_ = hand_ + 1 < plain_.size() ? hand_ + 1 : 0;
    const auto id = static_cast<NodeId>(hand_);
    if (heap_.Contains(id)) {
      Refresh(id);
    }
  }
}

void TriePlacement::Insert(UnitId id, const EvictionUnit& unit) {
  const Node& n = config_.index->node(id);
  const SiteTree& tree = learned_.tree();
  if (spaces_[n.name_space].checkpoint_bytes != 0 && !n.Has(Node::kTail) && Known(id)) {
    const SiteId site = SiteOf(id).id;
    const Site& s = tree.site(site);
    const bool on_edge = s.parent != kNoSite && n.position <= s.position &&
                         n.position > tree.site(s.parent).position;
    if (on_edge && tree.CheckpointAt(site, n.position) == kNoCheckpoint) {
      checkpoints_[id] = learned_.Add({.site = site, .position = n.position}, id, NowSeconds());
      return;
    }
  }
  if (id >= plain_.size()) {
    plain_.resize(std::size_t{id} + 1);
  }
  plain_[id] = {.bytes = static_cast<double>(unit.bytes),
                .saved_tokens = unit.saved_tokens,
                .last_use_s = NowSeconds(),
                .value = 0};
  plain_[id].value = ValueOf(id);
  heap_.Push(id);
}

void TriePlacement::Touch(UnitId id) {
  // Uses of places were learned when the request came (PlanFor).
  if (heap_.Contains(id)) {
    plain_[id].last_use_s = NowSeconds();
    Refresh(id);
  }
}

void TriePlacement::Update(UnitId id, const EvictionUnit& unit) {
  if (heap_.Contains(id)) {
    plain_[id].bytes = static_cast<double>(unit.bytes);
    plain_[id].saved_tokens = unit.saved_tokens;
    Refresh(id);
  }
}

void TriePlacement::Erase(UnitId id) {
  if (const auto found = checkpoints_.find(id); found != checkpoints_.end()) {
    learned_.Remove(found->second);
    checkpoints_.erase(found);
  } else if (heap_.Contains(id)) {
    heap_.Erase(id);
  }
}

std::optional<UnitId> TriePlacement::PickVictim(const std::function<bool(UnitId)>& evictable,
                                                std::size_t max_refused) {
  RefreshSome(kProbesPerVictim);
  std::optional<UnitId> plain;
  for (int probe = 0; probe < kVictimProbes; ++probe) {
    plain = FirstAccepted(heap_, evictable, max_refused);
    if (!plain) {
      break;
    }
    const double before = plain_[*plain].value;
    Refresh(*plain);
    if (plain_[*plain].value <= before) {
      break;
    }
  }
  const auto node_of = [this](CheckpointId id) { return learned_.tree().checkpoint(id).user; };
  const auto checkpoint = learned_.Victim(
      NowSeconds(), [&](CheckpointId id) { return evictable(node_of(id)); }, max_refused);
  if (checkpoint && (!plain || learned_.LastValue(*checkpoint) <= plain_[*plain].value)) {
    price_.Evicted(learned_.LastValue(*checkpoint), learned_.BytesFreed(*checkpoint));
    return node_of(*checkpoint);
  }
  if (plain) {
    price_.Evicted(plain_[*plain].value, plain_[*plain].bytes);
  }
  return plain;
}

double TriePlacement::Worth(UnitId id) const {
  if (const auto found = checkpoints_.find(id); found != checkpoints_.end()) {
    return learned_.LastValue(found->second);
  }
  return heap_.Contains(id) ? plain_[id].value : 0;
}

bool TriePlacement::HasRoomFor(std::uint64_t bytes) const {
  const std::uint64_t capacity = config_.arena->capacity_bytes();
  return capacity - config_.arena->used_bytes() >= bytes + capacity / kScatteredShare;
}

/// What a byte of memory is worth a second: nothing while there is room for more.
double TriePlacement::Price(const Space& space) {
  if (HasRoomFor(Arena::SlotBytes(space.checkpoint_bytes))) {
    return 0;
  }
  const auto checkpoint = learned_.Victim(NowSeconds());
  const auto plain = FirstAccepted(
      heap_, [](UnitId) { return true; }, 0);
  double least = std::numeric_limits<double>::infinity();
  if (checkpoint) {
    least = learned_.LastValue(*checkpoint);
  }
  if (plain) {
    least = std::min(least, plain_[*plain].value);
  }
  if (!checkpoint && !plain) {
    return price_.value();
  }
  return price_.Asked(least, learned_.engine_bytes());
}

}  // namespace cairn
