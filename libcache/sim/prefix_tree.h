#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "libcache/placement/site_tree.h"
#include "libcache/sim/position_bins.h"

namespace cairn::sim {

using NodeId = std::uint32_t;
inline constexpr NodeId kNoNode = std::numeric_limits<NodeId>::max();

/// A stretch of blocks that is all alike to the simulator: stored, evicted and passed as one.
struct Node {
  std::uint64_t words = 0;  ///< The word of its block b is at words + b, modulo 2^64.
  NodeId parent = kNoNode;
  std::uint32_t begin = 0;  ///< Blocks from the prompt's start.
  std::uint32_t end = 0;
  std::uint32_t kept_for = 0;     ///< Its state and children whose KV is kept; value policy only.
  std::uint32_t kv_children = 0;  ///< Children whose KV is resident.
  std::uint32_t prompt_end = 0;   ///< Of the latest prompt through it; 0 before that has passed.
  SiteRef site;                   ///< On whose edge it lies, where places are tracked.
  CheckpointId checkpoint = kNoCheckpoint;  ///< Of the state at its end, with the value policy.
  bool kv = false;
  bool state = false;  ///< At its end.
};

/// Every prefix that was ever seen, resident or not, with stretches that nothing distinguishes in
/// one node. Node 0 is the root, which covers nothing. A prompt is a list of words, one per block,
/// each of which stands for the whole prefix up to its block (ChainWords). 48 bytes per node, 24 to
/// 48 to find it, and 8 per block. Not thread-safe.
class PrefixTree {
 public:
  PrefixTree();

  /// The nodes of a prompt, as far as it was seen, cut so that the last one ends where the overlap
  /// ends. O(nodes log blocks).
  struct Walk {
    std::vector<NodeId> nodes;    ///< From the root's child down.
    NodeId split_from = kNoNode;  ///< The node whose upper part was cut off as the last one.
  };
  Walk Find(std::span<const std::uint64_t> words);
  /// The nodes that lie on a prompt from end to end, from the root's child down. Cuts nothing.
  [[nodiscard]] std::vector<NodeId> WholeNodes(std::span<const std::uint64_t> words) const;
  /// How many leading blocks of a prompt were seen, in whole nodes or not. Cuts nothing.
  [[nodiscard]] std::uint32_t SeenBlocks(std::span<const std::uint64_t> words) const;
  /// Adds what follows `parent` (0 for the root) to the end of the prompt as one node.
  NodeId Append(NodeId parent, std::span<const std::uint64_t> words);
  /// Cuts a node at a block inside it. Returns the upper part, which is new; the lower part keeps
  /// the id and the state.
  NodeId Split(NodeId id, std::uint32_t at);

  /// The words of the prefix down to the end of a node.
  [[nodiscard]] std::vector<std::uint64_t> WordsTo(NodeId id) const;

  Node& operator[](NodeId id) { return nodes_[id]; }
  const Node& operator[](NodeId id) const { return nodes_[id]; }
  [[nodiscard]] NodeId size() const { return static_cast<NodeId>(nodes_.size()); }
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  [[nodiscard]] std::uint64_t WordOf(const Node& node, std::uint32_t block) const {
    return words_[node.words + block];
  }

  /// The entry of a word, or the free one where it would go. Words are as good as random.
  struct Entry {
    std::uint64_t word = 0;
    NodeId node = kNoNode;
  };
  [[nodiscard]] std::size_t EntryOf(std::uint64_t word) const;
  void SetByFirstWord(std::uint64_t word, NodeId id);

  std::vector<Node> nodes_;
  std::vector<std::uint64_t> words_;
  // Open addressing: a lookup is one cache miss, and a walk down a path waits for each.
  std::vector<Entry> by_first_word_;
  std::size_t entries_ = 0;
};

/// Counts the states that are in the tree.
void CountKept(const PrefixTree& tree, std::uint32_t block_tokens, PositionBins& positions);

}  // namespace cairn::sim
