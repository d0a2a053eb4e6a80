#include "libcache/sim/prefix_tree.h"

#include "libcache/base/check.h"

namespace cairn::sim {

PrefixTree::PrefixTree() : nodes_(1), by_first_word_(1024) {}

std::size_t PrefixTree::EntryOf(std::uint64_t word) const {
  const std::size_t mask = by_first_word_.size() - 1;
  std::size_t at = word & mask;
  while (by_first_word_[at].node != kNoNode && by_first_word_[at].word != word) {
    at = (at + 1) & mask;
  }
  return at;
}

void PrefixTree::SetByFirstWord(std::uint64_t word, NodeId id) {
  Entry& entry = by_first_word_[EntryOf(word)];
  entries_ += entry.node == kNoNode ? 1 : 0;
  entry = {.word = word, .node = id};
  if (3 * entries_ > 2 * by_first_word_.size()) {
    std::vector<Entry> old(2 * by_first_word_.size());
    old.swap(by_first_word_);
    for (const Entry& moved : old) {
      if (moved.node != kNoNode) {
        by_first_word_[EntryOf(moved.word)] = moved;
      }
    }
  }
}

PrefixTree::Walk PrefixTree::Find(std::span<const std::uint64_t> words) {
  Walk walk;
  std::uint32_t at = 0;
  while (at < words.size()) {
    const NodeId id = by_first_word_[EntryOf(words[at])].node;
    if (id == kNoNode) {
      break;
    }
    const Node& node = nodes_[id];
    const auto reach = std::min(node.end, static_cast<std::uint32_t>(words.size()));
    // Words stand for all that comes before, so where the last ones agree all do.
    std::uint32_t same = at + 1;
    std::uint32_t beyond = reach + 1;
    if (WordOf(node, reach - 1) == words[reach - 1]) {
      same = reach;
    }
    while (same + 1 < beyond && same < reach) {
      const std::uint32_t middle = same + (beyond - same) / 2;
      if (WordOf(node, middle - 1) == words[middle - 1]) {
        same = middle;
      } else {
        beyond = middle;
      }
    }
    if (same < node.end) {
      walk.split_from = id;
      walk.nodes.push_back(Split(id, same));
      break;
    }
    walk.nodes.push_back(id);
    at = same;
  }
  return walk;
}

std::vector<NodeId> PrefixTree::WholeNodes(std::span<const std::uint64_t> words) const {
  std::vector<NodeId> nodes;
  for (std::size_t at = 0; at < words.size();) {
    const NodeId id = by_first_word_[EntryOf(words[at])].node;
    if (id == kNoNode || nodes_[id].end > words.size() ||
        WordOf(nodes_[id], nodes_[id].end - 1) != words[nodes_[id].end - 1]) {
      break;
    }
    nodes.push_back(id);
    at = nodes_[id].end;
  }
  return nodes;
}

std::uint32_t PrefixTree::SeenBlocks(std::span<const std::uint64_t> words) const {
  const std::vector<NodeId> whole = WholeNodes(words);
  std::uint32_t seen = whole.empty() ? 0 : nodes_[whole.back()].end;
  if (seen < words.size()) {
    const NodeId last = by_first_word_[EntryOf(words[seen])].node;
    while (last != kNoNode && seen < std::min<std::size_t>(words.size(), nodes_[last].end) &&
           WordOf(nodes_[last], seen) == words[seen]) {
      ++seen;
    }
  }
  return seen;
}

NodeId PrefixTree::Append(NodeId parent, std::span<const std::uint64_t> words) {
  const std::uint32_t begin = nodes_[parent].end;
  CAIRN_CHECK(begin < words.size());
  const auto id = static_cast<NodeId>(nodes_.size());
  Node node;
  node.words = words_.size() - begin;
  node.parent = parent;
  node.begin = begin;
  node.end = static_cast<std::uint32_t>(words.size());
  nodes_.push_back(node);
  words_.insert(words_.end(), words.begin() + begin, words.end());
  SetByFirstWord(words[begin], id);
  return id;
}

NodeId PrefixTree::Split(NodeId id, std::uint32_t at) {
  const auto upper = static_cast<NodeId>(nodes_.size());
  nodes_.push_back(nodes_[id]);
  Node& top = nodes_[upper];
  Node& low = nodes_[id];
  CAIRN_CHECK(at > low.begin && at < low.end);
  top.end = at;
  top.state = false;
  top.checkpoint = kNoCheckpoint;
  top.kv_children = low.kv ? 1 : 0;
  top.kept_for = low.kept_for > 0 ? 1 : 0;
  low.parent = upper;
  low.begin = at;
  SetByFirstWord(WordOf(top, top.begin), upper);
  SetByFirstWord(WordOf(low, at), id);
  return upper;
}

std::vector<std::uint64_t> PrefixTree::WordsTo(NodeId id) const {
  std::vector<std::uint64_t> words(nodes_[id].end);
  for (; id != 0; id = nodes_[id].parent) {
    const Node& node = nodes_[id];
    for (std::uint32_t block = node.begin; block < node.end; ++block) {
      words[block] = WordOf(node, block);
    }
  }
  return words;
}

std::uint64_t PrefixTree::memory_bytes() const {
  return nodes_.capacity() * sizeof(Node) + words_.capacity() * sizeof(std::uint64_t) +
         by_first_word_.capacity() * sizeof(Entry);
}

void CountKept(const PrefixTree& tree, std::uint32_t block_tokens, PositionBins& positions) {
  for (NodeId id = 1; id < tree.size(); ++id) {
    if (tree[id].state) {
      ++positions.At(std::uint64_t{tree[id].end} * block_tokens).kept;
    }
  }
}

}  // namespace cairn::sim
