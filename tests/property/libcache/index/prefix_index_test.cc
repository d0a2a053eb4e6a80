#include "libcache/index/prefix_index.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>
#include <vector>

namespace cairn {
namespace {

PrefixKey KeyOf(std::uint64_t n) {
  PrefixKey key;
  // Few distinct first words, so that probe sequences collide and wrap.
  const std::uint64_t word = n % 7 == 0 ? UINT64_MAX - n % 3 : n * 0x9E3779B97F4A7C15ULL;
  std::memcpy(key.bytes.data(), &word, sizeof(word));
  std::memcpy(key.bytes.data() + 8, &n, sizeof(n));
  return key;
}

/// The same trie as a plain map from key to what is known of it.
struct Naive {
  struct Entry {
    std::uint64_t parent = 0;
    std::uint32_t position = 0;
    bool tail = false;
    bool kv = false;
    bool checkpoint = false;
  };
  std::map<std::uint64_t, Entry> nodes;

  [[nodiscard]] std::set<std::uint64_t> Children(std::uint64_t of) const {
    std::set<std::uint64_t> children;
    for (const auto& [key, entry] : nodes) {
      if (key != 1 && entry.parent == of) {
        children.insert(key);
      }
    }
    return children;
  }
  [[nodiscard]] bool Bare(std::uint64_t key) const {
    const Entry& e = nodes.at(key);
    return key != 1 && !e.kv && !e.checkpoint && Children(key).empty();
  }
  [[nodiscard]] std::size_t Ghosts() const {
    std::size_t ghosts = 0;
    for (const auto& [key, entry] : nodes) {
      ghosts += Bare(key) ? 1 : 0;
    }
    return ghosts;
  }
};

std::uint64_t NumberOf(const PrefixKey& key) {
  std::uint64_t n = 0;
  std::memcpy(&n, key.bytes.data() + 8, sizeof(n));
  return n;
}

void CheckEqual(const PrefixIndex& index, const Naive& naive) {
  RC_ASSERT(index.nodes() == naive.nodes.size());
  RC_ASSERT(index.ghosts() == naive.Ghosts());
  std::size_t objects = 0;
  for (const auto& [number, entry] : naive.nodes) {
    const NodeId id = index.Find(KeyOf(number));
    RC_ASSERT(id != kNoId);
    const Node& node = index.node(id);
    RC_ASSERT(node.position == entry.position);
    RC_ASSERT((node.kv != kNoId) == entry.kv);
    RC_ASSERT((node.checkpoint != kNoId) == entry.checkpoint);
    objects += (entry.kv ? 1U : 0U) + (entry.checkpoint ? 1U : 0U);
    std::set<std::uint64_t> children;
    for (const NodeId first : {node.first_child, node.first_tail}) {
      NodeId before = kNoId;
      for (NodeId child = first; child != kNoId; child = index.node(child).next_sibling) {
        RC_ASSERT(index.node(child).prev_sibling == before);
        RC_ASSERT(index.node(child).Has(Node::kTail) == (first == node.first_tail));
        children.insert(NumberOf(index.node(child).key));
        before = child;
      }
    }
    RC_ASSERT(children == naive.Children(number));
  }
  RC_ASSERT(index.objects() == objects);
}

// Random inserts, objects that come and go, forgetting, and look-ups, beside the naive map.
RC_GTEST_PROP(PrefixIndexProperty, AgreesWithANaiveMap, ()) {
  PrefixIndex index(1 << 20);
  Naive naive;
  index.InsertRoot(KeyOf(1), 0);
  naive.nodes[1] = {};
  std::uint64_t next = 2;
  const int steps = *rc::gen::inRange(1, 300);
  for (int step = 0; step < steps; ++step) {
    const int what = *rc::gen::inRange(0, 10);
    auto it = naive.nodes.begin();
    std::advance(it, *rc::gen::inRange<std::size_t>(0, naive.nodes.size()));
    const std::uint64_t at = it->first;
    Naive::Entry& entry = it->second;
    const NodeId id = index.Find(KeyOf(at));
    if (what < 4) {
      if (entry.tail) {
        continue;
      }
      const bool tail = *rc::gen::inRange(0, 4) == 0;
      const std::uint32_t position = entry.position + (tail ? 3 : 8);
      RC_ASSERT(index.Insert(id, KeyOf(next), position, tail) != kNoId);
      naive.nodes[next] = {.parent = at, .position = position, .tail = tail};
      ++next;
    } else if (what < 7 && at != 1) {
      const ObjectKind kind = what == 4 ? ObjectKind::kCheckpoint : ObjectKind::kKv;
      bool& has = kind == ObjectKind::kKv ? entry.kv : entry.checkpoint;
      if (has) {
        index.RemoveObject(kind == ObjectKind::kKv ? index.node(id).kv : index.node(id).checkpoint);
      } else {
        index.AddObject(id, kind, 100);
      }
      has = !has;
    } else if (what == 7) {
      index.TouchGhost(id);
      if (entry.tail) {
        index.TouchTail(id);
      }
    } else if (what == 8) {
      index.Forget(id, false);
      if (naive.Bare(at)) {
        naive.nodes.erase(at);
      }
    } else {
      RC_ASSERT(index.Find(KeyOf(next + 5)) == kNoId);
    }
  }
  CheckEqual(index, naive);
}

// A full index forgets the ghost that was unused longest, never what has bytes or a newer path.
RC_GTEST_PROP(PrefixIndexProperty, NeverExceedsItsNodesAndKeepsWhatHasBytes, ()) {
  const auto limit = *rc::gen::inRange<std::uint32_t>(16, 64);
  PrefixIndex index(limit);
  const NodeId root = index.InsertRoot(KeyOf(1), 0);
  std::set<std::uint64_t> kept;
  std::uint64_t next = 2;
  for (int chain = 0; chain < 30; ++chain) {
    NodeId at = root;
    const int length = *rc::gen::inRange(1, 6);
    for (int i = 0; i < length; ++i) {
      const NodeId child = index.Insert(at, KeyOf(next), static_cast<std::uint32_t>(i + 1), false);
      if (child == kNoId) {
        RC_ASSERT(index.nodes() >= limit);
        break;
      }
      at = child;
      ++next;
    }
    if (at != root && index.nodes() + 8 < limit && *rc::gen::inRange(0, 4) == 0) {
      index.AddObject(at, ObjectKind::kKv, 1);
      kept.insert(next - 1);
    }
    RC_ASSERT(index.nodes() <= limit);
  }
  for (const std::uint64_t number : kept) {
    RC_ASSERT(index.Find(KeyOf(number)) != kNoId);
  }
}

}  // namespace
}  // namespace cairn
