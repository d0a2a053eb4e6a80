#include "libcache/sim/prefix_tree.h"

#include "libcache/base/check.h"

namespace cairn::sim {

PrefixTree::PrefixTree() : nodes_(1) {}

PrefixTree::Walk PrefixTree::Find(std::span<const std::uint64_t> words) {
  Walk walk;
  std::uint32_t at = 0;
  while (at < words.size()) {
    const auto found = by_first_word_.find(words[at]);
    if (found == by_first_word_.end()) {
      break;
    }
    const NodeId id = found->second;
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
  by_first_word_.emplace(words[begin], id);
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
  low.parent = upper;
  low.begin = at;
  by_first_word_[WordOf(top, top.begin)] = upper;
  by_first_word_.emplace(WordOf(low, at), id);
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
  constexpr std::uint64_t kTableBytesPerNode = 40;  // As libstdc++ keeps an entry and its bucket.
  return nodes_.capacity() * sizeof(Node) + words_.capacity() * sizeof(std::uint64_t) +
         by_first_word_.size() * kTableBytesPerNode;
}

void CountKept(const PrefixTree& tree, std::uint32_t block_tokens, PositionBins& positions) {
  for (NodeId id = 1; id < tree.size(); ++id) {
    if (tree[id].state) {
      ++positions.At(std::uint64_t{tree[id].end} * block_tokens).kept;
    }
  }
}

}  // namespace cairn::sim
