// What operators ask: statistics, the tree, pins, eviction.
#include <algorithm>
#include <unordered_set>
#include <utility>

#include "libcache/cache/cache.h"

namespace cairn {

CacheStats Cache::Stats() const {
  CacheStats stats;
  {
    const MutexLock lock(mu_);
    stats = stats_;
    stats.arena_used_bytes = arena_->used_bytes();
    stats.index_bytes = index_.memory_bytes();
    stats.nodes = index_.nodes();
    stats.ghosts = index_.ghosts();
    stats.reservations = reservations_.size();
    stats.sessions = sessions_.size();
    if (gpu_ != nullptr) {
      gpu_->AddTo(stats.gpu);
    }
    for (const auto& [id, lease] : leases_) {
      (lease.is_pin ? stats.pins : stats.leases) += 1;
    }
    if (trie_ != nullptr) {
      const PlacementSummary learned = trie_->Summary(0);
      stats.learns = true;
      stats.places = learned.places;
      stats.placement_bytes = learned.memory_bytes;
      stats.price_per_byte_s = learned.price_per_byte_s;
      stats.planned_bytes = static_cast<std::uint64_t>(learned.planned_bytes);
      stats.engine_written_bytes = learned.engine_written_bytes;
    }
  }
  stats.arena_capacity_bytes = arena_->capacity_bytes();
  stats.draining = draining_;
  stats.has_cold = cold_ != nullptr;
  if (cold_ != nullptr) {
    stats.cold_store = cold_->Stats();
    stats.cold_queue_bytes = writer_ == nullptr ? 0 : writer_->queued_bytes();
  }
  return stats;
}

std::vector<LeaseView> Cache::Leases() const {
  const MutexLock lock(mu_);
  const TimePoint now = config_.clock->Now();
  const auto left = [now](TimePoint expires) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(expires - now).count();
  };
  std::vector<LeaseView> views;
  views.reserve(leases_.size() + reservations_.size());
  for (const auto& [id, lease] : leases_) {
    views.push_back({.id = id,
                     .session = lease.session,
                     .request = lease.request,
                     .position = index_.node(lease.best).position,
                     .expires_in_ms = lease.is_pin ? -1 : left(lease.expires),
                     .kind = lease.is_pin ? "pin" : "read"});
  }
  for (const auto& [token, reservation] : reservations_) {
    const NodeId node = index_.object(reservation.object).node;
    views.push_back({.id = token,
                     .session = reservation.session,
                     .request = reservation.request,
                     .position = index_.node(node).position,
                     .expires_in_ms = left(reservation.expires),
                     .kind = "write"});
  }
  std::sort(views.begin(), views.end(),
            [](const LeaseView& a, const LeaseView& b) { return a.id < b.id; });
  return views;
}

std::vector<Cache::NamespaceView> Cache::Namespaces() const {
  const MutexLock lock(mu_);
  std::vector<NamespaceView> views;
  views.reserve(namespaces_.size());
  for (std::size_t id = 0; id < namespaces_.size(); ++id) {
    const NamespaceState& state = namespaces_[id];
    views.push_back({.id = static_cast<NamespaceId>(id),
                     .spec = state.spec,
                     .seed = state.seed,
                     .cold_codecs = {UsualCodec(state, ObjectKind::kKv),
                                     UsualCodec(state, ObjectKind::kCheckpoint)}});
  }
  return views;
}

Cache::Way Cache::Extended(Way way, NodeId id) const {
  const Node& n = index_.node(id);
  if (n.Has(Node::kRoot)) {
    return way;
  }
  way.depth += 1;
  way.kv_whole = way.kv_whole && n.kv != kNoId && index_.object(n.kv).Readable();
  way.kv_bytes += n.kv == kNoId ? 0 : index_.object(n.kv).bytes;
  return way;
}

Cache::Way Cache::WayTo(NodeId id) const {
  std::vector<NodeId> up;
  for (; id != kNoId; id = index_.node(id).parent) {
    up.push_back(id);
  }
  Way way;
  std::for_each(up.rbegin(), up.rend(),
                [&](NodeId at) CAIRN_REQUIRES(mu_) { way = Extended(way, at); });
  return way;
}

NodeView Cache::ViewOfNode(NodeId id, const Way& way) const {
  const Node& n = index_.node(id);
  const NamespaceSpec& spec = namespaces_[n.name_space].spec;
  NodeView view;
  view.key = n.key;
  view.position = n.position;
  view.pins = n.pins;
  view.name_space = n.name_space;
  if (n.parent != kNoId) {
    view.parent = index_.node(n.parent).key;
  }
  for (const ObjectId object_id : {n.kv, n.checkpoint}) {
    if (object_id != kNoId) {
      const Object& object = index_.object(object_id);
      const auto kind = static_cast<std::size_t>(object.kind);
      view.present[kind] = true;
      view.on_host[kind] = object.Has(Object::kHost);
      view.on_cold[kind] = object.Has(Object::kCold);
      view.bytes += object.bytes;
    }
  }
  for (const NodeId first : {n.first_child, n.first_tail}) {
    for (NodeId child = first; child != kNoId; child = index_.node(child).next_sibling) {
      view.children += 1;
    }
  }
  view.depth = way.depth;
  const bool state = spec.checkpoint_bytes == 0 ||
                     (n.checkpoint != kNoId && index_.object(n.checkpoint).Readable());
  view.restorable = !n.Has(Node::kRoot) && state && (spec.kv_bytes_per_token == 0 || way.kv_whole);
  view.restore_bytes = view.restorable ? spec.checkpoint_bytes + way.kv_bytes : 0;
  return view;
}

Result<NodeId> Cache::FindByHex(const std::string& key_hex) const {
  if (key_hex.empty() || key_hex.size() > 2 * PrefixKey::kBytes ||
      key_hex.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                "'" + key_hex + "' is no key; give its first digits in lower-case hex");
  }
  if (PrefixKey whole; whole.Assign(FromHex(key_hex).value_or(""))) {  // No need to look at all.
    if (const NodeId id = index_.Find(whole); id != kNoId) {
      return id;
    }
  }
  const std::vector<NodeId> found = index_.StartingWith(key_hex, 2);
  if (found.size() > 1) {
    return Fail(ErrorCode::kInvalidArgument,
                "several keys start with " + key_hex + "; give more digits");
  }
  if (found.empty()) {
    return Fail(ErrorCode::kNotFound, "no key starts with " + key_hex + "; see cairnctl tree");
  }
  return found.front();
}

std::vector<NodeView> Cache::Tree(const std::string& key_hex, std::size_t max_nodes) const {
  const MutexLock lock(mu_);
  struct Next {
    NodeId id;
    Way above;
  };
  std::vector<Next> stack;
  if (key_hex.empty()) {
    for (const NamespaceState& name_space : namespaces_) {
      stack.push_back({.id = name_space.root, .above = {}});
    }
  } else {
    const std::vector<NodeId> matches = index_.StartingWith(key_hex, max_nodes);
    const std::unordered_set<NodeId> known(matches.begin(), matches.end());
    for (const NodeId id : matches) {
      // What hangs below another match is reached from there.
      NodeId up = index_.node(id).parent;
      while (up != kNoId && !known.contains(up)) {
        up = index_.node(up).parent;
      }
      if (up == kNoId) {
        const NodeId parent = index_.node(id).parent;
        stack.push_back({.id = id, .above = parent == kNoId ? Way{} : WayTo(parent)});
      }
    }
  }
  std::reverse(stack.begin(), stack.end());
  std::vector<NodeView> views;
  while (!stack.empty() && views.size() < max_nodes) {
    const auto [id, above] = stack.back();
    stack.pop_back();
    const Node& n = index_.node(id);
    const Way way = Extended(above, id);
    if (!n.Has(Node::kGhost)) {
      views.push_back(ViewOfNode(id, way));
    }
    for (const NodeId first : {n.first_child, n.first_tail}) {
      for (NodeId child = first; child != kNoId; child = index_.node(child).next_sibling) {
        stack.push_back({.id = child, .above = way});
      }
    }
  }
  return views;
}

Result<NodeView> Cache::Lookup(const std::string& key_hex) const {
  const MutexLock lock(mu_);
  const auto id = FindByHex(key_hex);
  if (!id) {
    return Fail(id.error());
  }
  return ViewOfNode(*id, WayTo(*id));
}

Status Cache::PinPrefix(const std::string& key_hex) {
  const MutexLock lock(mu_);
  const auto id = FindByHex(key_hex);
  if (!id) {
    return Fail(id.error());
  }
  if (!ViewOfNode(*id, WayTo(*id)).restorable) {
    return Fail(ErrorCode::kInvalidArgument,
                "there is no restorable boundary at this key; see cairnctl tree");
  }
  for (const auto& [lease_id, lease] : leases_) {
    if (lease.is_pin && lease.deepest == *id) {
      return Fail(ErrorCode::kExists, "it is pinned already");
    }
  }
  if (!host_.CanPin(*id)) {
    return Fail(ErrorCode::kOverloaded, "too many requests hold this very prefix");
  }
  const LeaseId lease_id = next_id_++;
  Lease& lease = leases_[lease_id];
  lease.session = kOperatorSession;
  lease.is_pin = true;
  lease.best = *id;
  lease.deepest = *id;
  lease.pinned = {*id};
  host_.Pin(*id);
  // A pin holds what is in host memory; an SSD segment goes as a whole, whoever likes a part of it.
  Status brought = CollectObjects(lease, *id, 0);
  for (std::size_t i = 0; brought && i < lease.objects.size(); ++i) {
    if (!index_.object(lease.objects[i]).Has(Object::kHost)) {
      brought = Promote(lease.objects[i], nullptr);
    }
  }
  lease.objects.clear();
  if (!brought) {
    EndLease(lease_id);
  }
  return brought;
}

Status Cache::UnpinPrefix(const std::string& key_hex) {
  const MutexLock lock(mu_);
  const auto id = FindByHex(key_hex);
  if (!id) {
    return Fail(id.error());
  }
  for (const auto& [lease_id, lease] : leases_) {
    if (lease.is_pin && lease.deepest == *id) {
      EndLease(lease_id);
      return {};
    }
  }
  return Fail(ErrorCode::kNotFound, "it is not pinned; see cairnctl leases");
}

void Cache::DropObject(ObjectId id, const EvictScope& scope, Evicted& evicted,
                       std::vector<ColdLocation>& cold_drops) {
  if (id == kNoId) {
    return;
  }
  Object& object = index_.object(id);
  const std::uint64_t bytes = object.bytes;
  if (object.io_pins != 0 || !object.Readable() ||
      object.kind != scope.only.value_or(object.kind)) {
    return;
  }
  const bool cold = object.Has(Object::kCold) && !scope.host_only;
  const bool host = object.Has(Object::kHost);
  if (!cold && !host) {
    return;
  }
  evicted.objects += 1;
  evicted.bytes += bytes;
  if (cold) {
    cold_drops.push_back(object.cold);
    ForgetCold(id);  // Removes the object if host memory does not have it.
  }
  if (host) {
    host_.Drop(id, EvictReason::kOperator);
  }
}

void Cache::EvictBelow(NodeId top, const EvictScope& scope, Evicted& evicted,
                       std::vector<ColdLocation>& cold_drops) {
  // Post-order without recursion: prompts are thousands of blocks deep.
  std::vector<NodeId> order = {top};
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Node& n = index_.node(order[i]);
    for (const NodeId first : {n.first_child, n.first_tail}) {
      for (NodeId child = first; child != kNoId; child = index_.node(child).next_sibling) {
        order.push_back(child);
      }
    }
  }
  std::unordered_set<NodeId> pinned;  // Or with something pinned below.
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& n = index_.node(*it);
    // A pin holds the path up to it. So does what could not be dropped, unless it stays on purpose.
    bool held = n.pins != 0;
    for (const NodeId first : {n.first_child, n.first_tail}) {
      for (NodeId child = first; child != kNoId && !held; child = index_.node(child).next_sibling) {
        held = scope.only ? pinned.count(child) != 0 : index_.node(child).Has(Node::kNeeded);
      }
    }
    if (held) {
      pinned.insert(*it);
    } else {
      DropObject(n.checkpoint, scope, evicted, cold_drops);
      DropObject(n.kv, scope, evicted, cold_drops);
    }
  }
}

Result<Cache::Evicted> Cache::EvictPrefix(const std::string& key_hex, const EvictScope& scope) {
  Evicted evicted;
  std::vector<ColdLocation> cold_drops;
  {
    const MutexLock lock(mu_);
    const auto id = FindByHex(key_hex);
    if (!id) {
      return Fail(id.error());
    }
    EvictBelow(*id, scope, evicted, cold_drops);
  }
  for (const ColdLocation location : cold_drops) {
    cold_->Drop(location);
  }
  return evicted;
}

Cache::Evicted Cache::Clear() {
  Evicted evicted;
  std::vector<ColdLocation> cold_drops;
  {
    const MutexLock lock(mu_);
    for (const NamespaceState& name_space : namespaces_) {
      EvictBelow(name_space.root, {}, evicted, cold_drops);
    }
  }
  for (const ColdLocation location : cold_drops) {
    cold_->Drop(location);
  }
  return evicted;
}

}  // namespace cairn
