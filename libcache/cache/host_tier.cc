#include "libcache/cache/host_tier.h"

#include <algorithm>
#include <atomic>
#include <limits>

namespace cairn {
namespace {

constexpr std::size_t Index(ObjectKind kind) { return static_cast<std::size_t>(kind); }

// Refusals while looking for a victim: pinned boundaries are few (one per running request).
constexpr std::size_t kMaxRefused = 4096;
// A subtree larger than this is not worth clearing for one contiguous run. Every slot of the arena
// is asked about, so the walk must be short; children that hold nothing count too.
constexpr int kMaxSubtree = 16;
// Clearing a run walks the whole arena. It waits until this part of it is free but scattered, since
// boundaries evicted on the way often leave a run that is long enough.
constexpr std::uint64_t kScatteredShare = 64;

/// A child of `above` became needed, or is no longer.
void CountChild(Node& above, bool needed) {
  CAIRN_CHECK(needed ? above.needed_children < Node::kMaxChildren : above.needed_children != 0);
  above.needed_children =
      (needed ? above.needed_children + 1U : above.needed_children - 1U) & Node::kMaxChildren;
}

}  // namespace

bool HostTier::IsBoundary(const Node& node) const {
  const ObjectId id = c_.shape(node.name_space).recurrent ? node.checkpoint : node.kv;
  return id != kNoId && c_.index->object(id).Has(Object::kHost);
}

void HostTier::Refresh(NodeId id) {
  // Walk towards the root as long as "needed" changes: each step costs one counter, and the whole
  // path is only walked when its first boundary comes or its last one goes.
  while (id != kNoId) {
    Node& n = c_.index->node(id);
    const bool needed = n.pins != 0 || n.needed_children != 0 || IsBoundary(n);
    const bool kv_here = n.kv != kNoId && c_.index->object(n.kv).Has(Object::kHost);
    if (needed || !kv_here) {
      if (n.Has(Node::kOrphan)) {
        c_.index->Remove(orphans_, id, Node::kOrphan);
        c_.index->GhostIfBare(id);
      }
    } else if (!n.Has(Node::kOrphan) && !n.Has(Node::kGhost)) {
      c_.index->Push(orphans_, id, Node::kOrphan);
    }
    if (needed == n.Has(Node::kNeeded)) {
      return;
    }
    const NodeId parent = n.parent;
    if (needed) {
      n.Set(Node::kNeeded);
    } else {
      n.Reset(Node::kNeeded);
    }
    if (parent != kNoId) {
      CountChild(c_.index->node(parent), needed);
    }
    id = parent;
  }
}

void HostTier::Reparent(NodeId id, NodeId parent) {
  const NodeId before = c_.index->node(id).parent;
  const bool needed = c_.index->node(id).Has(Node::kNeeded);
  c_.index->Reparent(id, parent);
  if (needed) {
    CountChild(c_.index->node(parent), true);
    Refresh(parent);
    CountChild(c_.index->node(before), false);
    Refresh(before);
  }
}

EvictionUnit HostTier::Unit(NodeId id) const {
  const Node& n = c_.index->node(id);
  EvictionUnit unit;
  unit.key_word = n.key.Word();
  // The bytes that would go with it: its own, and KV up to the boundary before or a branch.
  for (const ObjectId object : {n.checkpoint, n.kv}) {
    if (object != kNoId) {
      unit.bytes += c_.index->object(object).bytes;
    }
  }
  NodeId up = n.parent;
  while (up != kNoId) {
    const Node& above = c_.index->node(up);
    if (above.Has(Node::kRoot) || IsBoundary(above)) {
      break;
    }
    if (above.kv != kNoId && above.needed_children <= 1) {
      unit.bytes += c_.index->object(above.kv).bytes;
    }
    up = above.parent;
  }
  const std::uint32_t before = up == kNoId ? 0 : c_.index->node(up).position;
  unit.saved_tokens = n.position - before;
  return unit;
}

void HostTier::UpdateUnit(NodeId id) {
  Node& n = c_.index->node(id);
  const bool boundary = IsBoundary(n);
  if (boundary && !n.Has(Node::kUnit)) {
    n.Set(Node::kUnit);
    c_.policy->Insert(id, Unit(id));
  } else if (!boundary && n.Has(Node::kUnit)) {
    n.Reset(Node::kUnit);
    c_.policy->Erase(id);
  }
}

void HostTier::Touch(NodeId id) {
  if (c_.index->node(id).Has(Node::kUnit)) {
    c_.policy->Update(id, Unit(id));  // Boundaries and branches may have come or gone above it.
    c_.policy->Touch(id);
  }
}

void HostTier::Pin(NodeId id) {
  Node& n = c_.index->node(id);
  CAIRN_CHECK(CanPin(id));
  ++n.pins;
  Refresh(id);
}

void HostTier::Unpin(NodeId id) {
  Node& n = c_.index->node(id);
  CAIRN_CHECK(n.pins > 0);
  --n.pins;
  Refresh(id);
}

Status HostTier::Allocate(ObjectId id, std::uint8_t flag) {
  Object& object = c_.index->object(id);
  const std::uint64_t bytes = object.bytes;
  const std::uint64_t slot = Arena::SlotBytes(bytes);
  if (slot > c_.arena->capacity_bytes()) {
    return Fail(ErrorCode::kNoSpace, "an object of " + FormatBytes(bytes) +
                                         " does not fit the host tier of " +
                                         FormatBytes(c_.arena->capacity_bytes()));
  }
  ++object.io_pins;  // It may be in the trie already, promoted from the cold tier.
  Result<std::uint64_t> offset = c_.arena->Allocate(bytes, id);
  bool cleared = false;
  while (!offset) {
    const std::uint64_t free = c_.arena->capacity_bytes() - c_.arena->used_bytes();
    // Enough is free but scattered: clear the cheapest run instead of evicting on and on.
    const bool scattered =
        !cleared && free >= slot + std::max(slot / 4, c_.arena->capacity_bytes() / kScatteredShare);
    cleared = cleared || scattered;  // It walks the arena: once per allocation.
    if (!(scattered && MakeContiguous(bytes)) && !EvictOne()) {
      --object.io_pins;
      return Fail(ErrorCode::kNoSpace, "host memory is full of objects in use");
    }
    offset = c_.arena->Allocate(bytes, id);
  }
  --object.io_pins;
  object.set_arena_offset(*offset);
  object.Set(flag);
  return {};
}

void HostTier::Publish(ObjectId id, std::uint8_t flag, const Digest& digest) {
  Object& object = c_.index->object(id);
  CAIRN_CHECK(object.Has(flag) && !object.Has(Object::kHost));
  object.Reset(flag);
  object.Set(Object::kHost);
  SlotHeader& header = c_.arena->Header(object.arena_offset());
  header.digest_low = digest.low;
  header.digest_high = digest.high;
  c_.arena->Publish(object.arena_offset());
  c_.stats->host.bytes[Index(object.kind)] += object.bytes;
  c_.stats->host.objects[Index(object.kind)] += 1;
  Refresh(object.node);
  UpdateUnit(object.node);
}

void HostTier::Abandon(ObjectId id, std::uint8_t flag) {
  Object& object = c_.index->object(id);
  CAIRN_CHECK(object.Has(flag) && !object.Has(Object::kHost));
  object.Reset(flag);
  c_.arena->Free(object.arena_offset());
  object.set_arena_offset(0);
}

bool HostTier::Drop(ObjectId id, EvictReason reason) {
  Object& object = c_.index->object(id);
  if (object.io_pins != 0 || !object.Has(Object::kHost)) {
    return false;
  }
  const NodeId node = object.node;
  object.Reset(Object::kHost | Object::kCoded);
  c_.arena->Free(object.arena_offset());
  object.set_arena_offset(0);
  c_.stats->host.bytes[Index(object.kind)] -= object.bytes;
  c_.stats->host.objects[Index(object.kind)] -= 1;
  c_.stats->evictions[static_cast<std::size_t>(reason)] += 1;
  c_.stats->evicted_bytes += object.bytes;
  c_.dropped(id);
  UpdateUnit(node);
  Refresh(node);
  if (!object.Has(Object::kCold)) {
    c_.index->RemoveObject(id);
  }
  return true;
}

bool HostTier::Evictable(NodeId id) const {
  const Node& n = c_.index->node(id);
  if (n.pins != 0) {
    return false;
  }
  const bool recurrent = c_.shape(n.name_space).recurrent;
  // Without recurrence a block's KV is part of every deeper boundary: leaves first.
  if (!recurrent && n.needed_children != 0) {
    return false;
  }
  const ObjectId object = recurrent ? n.checkpoint : n.kv;
  return object != kNoId && c_.index->object(object).io_pins == 0;
}

bool HostTier::EvictBoundary(NodeId id, EvictReason reason) {
  if (!Evictable(id)) {
    return false;
  }
  const ObjectId checkpoint = c_.index->node(id).checkpoint;
  if (checkpoint != kNoId && c_.index->object(checkpoint).Has(Object::kHost) &&
      !Drop(checkpoint, reason)) {
    return false;
  }
  // Its KV goes with it, up to the first node that something else needs.
  while (id != kNoId) {
    const Node n = c_.index->node(id);
    const bool leaf_kv = !c_.shape(n.name_space).recurrent && n.needed_children == 0 && n.pins == 0;
    if (n.Has(Node::kNeeded) && !leaf_kv) {
      break;
    }
    if (n.kv != kNoId && c_.index->object(n.kv).Has(Object::kHost) && !Drop(n.kv, reason)) {
      break;
    }
    if (leaf_kv && n.Has(Node::kNeeded)) {
      break;  // Without recurrence the parent is a boundary of its own.
    }
    id = n.parent;
  }
  return true;
}

bool HostTier::EvictOldestOrphan() {
  for (NodeId id = orphans_.oldest; id != kNoId; id = c_.index->node(id).list_prev) {
    if (Drop(c_.index->node(id).kv, EvictReason::kOrphanKv)) {
      return true;
    }
  }
  return false;
}

bool HostTier::EvictOne() {
  if (EvictOldestOrphan()) {
    return true;
  }
  const auto victim =
      c_.policy->PickVictim([this](NodeId id) { return Evictable(id); }, kMaxRefused);
  return victim.has_value() && EvictBoundary(*victim, EvictReason::kCapacity);
}

double HostTier::CostBelow(NodeId id, int& budget) const {
  constexpr double kHeld = std::numeric_limits<double>::infinity();
  const Node& n = c_.index->node(id);
  if (--budget < 0 || n.pins != 0) {
    return kHeld;
  }
  double cost = 0;
  for (const ObjectId object_id : {n.kv, n.checkpoint}) {
    if (object_id == kNoId) {
      continue;
    }
    const Object& object = c_.index->object(object_id);
    if (object.io_pins != 0 || object.Has(Object::kWriting | Object::kPromoting)) {
      return kHeld;
    }
    // KV that no boundary needs is worth nothing; the policy knows the others.
    cost += n.Has(Node::kUnit) ? object.bytes * c_.policy->Worth(id) : 0;
  }
  for (const NodeId first : {n.first_child, n.first_tail}) {
    for (NodeId child = first; child != kNoId; child = c_.index->node(child).next_sibling) {
      if (c_.index->node(child).Has(Node::kNeeded)) {
        cost += CostBelow(child, budget);
      }
    }
  }
  return cost;
}

bool HostTier::EvictSubtree(NodeId id, EvictReason reason) {
  // Children first; dropping may turn nodes into ghosts but never frees them, so ids stay valid.
  for (const NodeId first : {c_.index->node(id).first_child, c_.index->node(id).first_tail}) {
    for (NodeId child = first; child != kNoId; child = c_.index->node(child).next_sibling) {
      if (c_.index->node(child).Has(Node::kNeeded)) {
        EvictSubtree(child, reason);
      }
    }
  }
  bool dropped = false;
  for (const ObjectId object : {c_.index->node(id).checkpoint, c_.index->node(id).kv}) {
    if (object != kNoId) {
      dropped = Drop(object, reason) || dropped;
    }
  }
  return dropped;
}

bool HostTier::MakeContiguous(std::uint64_t bytes) {
  const auto cost = [this](std::uint32_t owner) {
    const Object& object = c_.index->object(owner);
    const Node& n = c_.index->node(object.node);
    if (!object.Has(Object::kHost) || object.io_pins != 0 || n.pins != 0) {
      return std::numeric_limits<double>::infinity();
    }
    if (object.kind == ObjectKind::kCheckpoint) {
      return object.bytes * c_.policy->Worth(object.node);
    }
    int budget = kMaxSubtree;  // KV takes every boundary below it along.
    return CostBelow(object.node, budget);
  };
  const auto window = c_.arena->CheapestWindow(bytes, cost);
  if (!window || window->owners.empty()) {
    return false;
  }
  bool dropped = false;
  for (const std::uint32_t owner : window->owners) {
    const Object& object = c_.index->object(owner);
    if (object.node == kNoId || !object.Has(Object::kHost)) {
      continue;  // Went with a boundary dropped a moment ago.
    }
    dropped = (object.kind == ObjectKind::kCheckpoint
                   ? EvictBoundary(object.node, EvictReason::kFragmented)
                   : EvictSubtree(object.node, EvictReason::kFragmented)) ||
              dropped;
  }
  return dropped;
}

}  // namespace cairn
