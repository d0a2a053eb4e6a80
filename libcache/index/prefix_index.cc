#include "libcache/index/prefix_index.h"

#include <algorithm>
#include <cstring>

#include "libcache/base/bytes.h"

namespace cairn {

PrefixIndex::PrefixIndex(std::uint32_t max_nodes)
    : max_nodes_(std::max<std::uint32_t>(max_nodes, 16)), table_(1024, kNoId), mask_(1023) {}

void PrefixIndex::Prefetch(const PrefixKey& key) const { __builtin_prefetch(&table_[Slot(key)]); }

NodeId PrefixIndex::Find(const PrefixKey& key) const {
  for (std::size_t slot = Slot(key);; slot = (slot + 1) & mask_) {
    const NodeId id = table_[slot];
    if (id == kNoId || nodes_[id].key == key) {
      return id;
    }
  }
}

void PrefixIndex::TableInsert(NodeId id) {
  std::size_t slot = Slot(nodes_[id].key);
  while (table_[slot] != kNoId) {
    slot = (slot + 1) & mask_;
  }
  table_[slot] = id;
}

void PrefixIndex::TableErase(NodeId id) {
  std::size_t hole = Slot(nodes_[id].key);
  while (table_[hole] != id) {
    CAIRN_CHECK(table_[hole] != kNoId);
    hole = (hole + 1) & mask_;
  }
  // Backward-shift deletion: no tombstones, so probes stay short however much comes and goes.
  for (std::size_t next = (hole + 1) & mask_; table_[next] != kNoId; next = (next + 1) & mask_) {
    const std::size_t home = Slot(nodes_[table_[next]].key);
    if (((next - home) & mask_) >= ((next - hole) & mask_)) {
      table_[hole] = table_[next];
      hole = next;
    }
  }
  table_[hole] = kNoId;
}

void PrefixIndex::Grow() {
  std::vector<NodeId> old(table_.size() * 2, kNoId);
  old.swap(table_);
  mask_ = table_.size() - 1;
  for (const NodeId id : old) {
    if (id != kNoId) {
      TableInsert(id);
    }
  }
}

NodeId PrefixIndex::InsertRoot(const PrefixKey& key, std::uint16_t name_space) {
  CAIRN_CHECK(Find(key) == kNoId);
  const NodeId id = nodes_.Allocate();
  Node& n = nodes_[id];
  n.key = key;
  n.name_space = name_space;
  n.Set(Node::kRoot);
  TableInsert(id);
  if (nodes_.size() * 4ULL > table_.size() * 3ULL) {
    Grow();
  }
  return id;
}

NodeId PrefixIndex::Insert(NodeId parent, const PrefixKey& key, std::uint32_t position, bool tail) {
  if (nodes_.size() >= max_nodes_ && !MakeRoom(parent)) {
    return kNoId;
  }
  const NodeId id = nodes_.Allocate();
  Node& n = nodes_[id];
  n.key = key;
  n.position = position;
  n.name_space = nodes_[parent].name_space;
  if (tail) {
    n.Set(Node::kTail);
  }
  Link(id, parent);
  TableInsert(id);
  Push(ghosts_, id, Node::kGhost);
  if (nodes_.size() * 4ULL > table_.size() * 3ULL) {
    Grow();
  }
  return id;
}

bool PrefixIndex::MakeRoom(NodeId keep) {
  // `keep` is the parent of what comes next and may be the oldest ghost itself.
  NodeId id = ghosts_.oldest;
  while (id != kNoId && (id == keep || nodes_[id].pins != 0)) {
    id = nodes_[id].list_prev;
  }
  if (id == kNoId) {
    return false;
  }
  Forget(id, false);
  return true;
}

ObjectId PrefixIndex::AddObject(NodeId node, ObjectKind kind, std::uint32_t bytes) {
  const ObjectId id = objects_.Allocate();
  Object& object = objects_[id];
  object.bytes = bytes;
  object.kind = kind;
  Attach(id, node);
  return id;
}

void PrefixIndex::Attach(ObjectId id, NodeId node) {
  Object& object = objects_[id];
  Node& n = nodes_[node];
  ObjectId& slot = object.kind == ObjectKind::kKv ? n.kv : n.checkpoint;
  CAIRN_CHECK(slot == kNoId);
  slot = id;
  object.node = node;
  if (n.Has(Node::kGhost)) {
    Remove(ghosts_, node, Node::kGhost);
  }
}

void PrefixIndex::RemoveObject(ObjectId id) {
  Object& object = objects_[id];
  CAIRN_CHECK(object.io_pins == 0);
  const NodeId node = object.node;
  Node& n = nodes_[node];
  ObjectId& slot = object.kind == ObjectKind::kKv ? n.kv : n.checkpoint;
  CAIRN_CHECK(slot == id);
  slot = kNoId;
  objects_.Free(id);
  BecomeGhostIfBare(node, false);
}

void PrefixIndex::BecomeGhostIfBare(NodeId id, bool oldest) {
  Node& n = nodes_[id];
  if (n.kv == kNoId && n.checkpoint == kNoId && n.first_child == kNoId && n.first_tail == kNoId &&
      !n.Has(Node::kRoot) && !n.Has(Node::kGhost) && !n.Has(Node::kOrphan)) {
    Push(ghosts_, id, Node::kGhost);
    if (oldest) {
      MoveToOldest(ghosts_, id);
    }
  }
}

void PrefixIndex::MoveToOldest(NodeList& list, NodeId id) {
  CAIRN_CHECK(list.newest == id);
  if (list.oldest == id) {
    return;
  }
  Node& n = nodes_[id];
  list.newest = n.list_next;
  nodes_[list.newest].list_prev = kNoId;
  n.list_next = kNoId;
  n.list_prev = list.oldest;
  nodes_[list.oldest].list_next = id;
  list.oldest = id;
}

void PrefixIndex::TouchGhost(NodeId id) {
  if (nodes_[id].Has(Node::kGhost)) {
    Remove(ghosts_, id, Node::kGhost);
    Push(ghosts_, id, Node::kGhost);
  }
}

void PrefixIndex::TouchTail(NodeId id) {
  Node& n = nodes_[id];
  if (!n.Has(Node::kTail) || nodes_[n.parent].first_tail == id) {
    return;
  }
  Node& p = nodes_[n.parent];
  Unlink(id);
  n.next_sibling = p.first_tail;
  n.prev_sibling = kNoId;
  nodes_[p.first_tail].prev_sibling = id;
  p.first_tail = id;
}

void PrefixIndex::Link(NodeId id, NodeId parent) {
  Node& n = nodes_[id];
  Node& p = nodes_[parent];
  CAIRN_CHECK(n.position > p.position && !p.Has(Node::kTail));
  if (p.Has(Node::kGhost)) {
    Remove(ghosts_, parent, Node::kGhost);  // It has a child now and cannot be forgotten alone.
  }
  NodeId& head = n.Has(Node::kTail) ? p.first_tail : p.first_child;
  n.parent = parent;
  n.prev_sibling = kNoId;
  n.next_sibling = head;
  if (head != kNoId) {
    nodes_[head].prev_sibling = id;
  }
  head = id;
}

void PrefixIndex::Reparent(NodeId id, NodeId parent) {
  const NodeId before = nodes_[id].parent;
  Unlink(id);
  Link(id, parent);
  BecomeGhostIfBare(before, true);
}

void PrefixIndex::Unlink(NodeId id) {
  Node& n = nodes_[id];
  Node& p = nodes_[n.parent];
  if (n.prev_sibling != kNoId) {
    nodes_[n.prev_sibling].next_sibling = n.next_sibling;
  } else {
    (n.Has(Node::kTail) ? p.first_tail : p.first_child) = n.next_sibling;
  }
  if (n.next_sibling != kNoId) {
    nodes_[n.next_sibling].prev_sibling = n.prev_sibling;
  }
}

void PrefixIndex::Forget(NodeId id, bool with_parents) {
  while (id != kNoId) {
    Node& n = nodes_[id];
    if (n.Has(Node::kRoot) || n.kv != kNoId || n.checkpoint != kNoId || n.first_child != kNoId ||
        n.first_tail != kNoId || n.pins != 0) {
      return;
    }
    CAIRN_CHECK(!n.Has(Node::kNeeded) && !n.Has(Node::kUnit) && !n.Has(Node::kOrphan));
    if (n.Has(Node::kGhost)) {
      Remove(ghosts_, id, Node::kGhost);
    }
    const NodeId parent = n.parent;
    Unlink(id);
    TableErase(id);
    nodes_.Free(id);
    BecomeGhostIfBare(parent, true);  // It was last seen no later than its child.
    if (!with_parents) {
      return;
    }
    id = parent;
  }
}

void PrefixIndex::Push(NodeList& list, NodeId id, std::uint8_t flag) {
  Node& n = nodes_[id];
  CAIRN_CHECK(!n.Has(Node::kGhost) && !n.Has(Node::kOrphan));
  n.Set(flag);
  n.list_prev = kNoId;
  n.list_next = list.newest;
  // "next" leads to older nodes, "prev" to newer ones.
  if (list.newest != kNoId) {
    nodes_[list.newest].list_prev = id;
  } else {
    list.oldest = id;
  }
  list.newest = id;
  ++list.size;
}

void PrefixIndex::Remove(NodeList& list, NodeId id, std::uint8_t flag) {
  Node& n = nodes_[id];
  CAIRN_CHECK(n.Has(flag));
  n.Reset(flag);
  (n.list_prev != kNoId ? nodes_[n.list_prev].list_next : list.newest) = n.list_next;
  (n.list_next != kNoId ? nodes_[n.list_next].list_prev : list.oldest) = n.list_prev;
  n.list_next = kNoId;
  n.list_prev = kNoId;
  --list.size;
}

std::vector<NodeId> PrefixIndex::StartingWith(std::string_view hex, std::size_t limit) const {
  // An odd last digit leaves half a byte to compare.
  const auto even = FromHex(hex.substr(0, hex.size() / 2 * 2));
  const auto odd =
      FromHex(hex.size() % 2 == 0 ? "" : std::string(hex.substr(hex.size() - 1)) + "0");
  std::vector<NodeId> found;
  if (!even || !odd || hex.size() > 2 * PrefixKey::kBytes) {
    return found;
  }
  for (const NodeId id : table_) {
    if (found.size() >= limit) {
      break;
    }
    if (id == kNoId || std::memcmp(nodes_[id].key.bytes.data(), even->data(), even->size()) != 0) {
      continue;
    }
    if (odd->empty() ||
        (nodes_[id].key.bytes[even->size()] & std::byte{0xF0}) == std::byte((*odd)[0])) {
      found.push_back(id);
    }
  }
  return found;
}

std::uint64_t PrefixIndex::memory_bytes() const {
  return nodes_.memory_bytes() + objects_.memory_bytes() + table_.capacity() * sizeof(NodeId);
}

}  // namespace cairn
