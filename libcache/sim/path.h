#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "libcache/sim/prefix_tree.h"

namespace cairn::sim {

/// A prompt as nodes of the tree.
struct PromptPath {
  std::vector<NodeId> nodes;         ///< To the end of the prompt's last whole block.
  std::uint32_t overlap_blocks = 0;  ///< Seen before, and short of the prompt's last token.
  bool seen_whole = false;           ///< All whole blocks were seen before.
};

/// Finds a prompt in the tree; what was unseen becomes one new node. The tree is cut where the
/// overlap ends and at `limit_blocks`, the deepest place where a prompt of this length may resume;
/// `on_cut(upper, lower)` hears of every cut. `words` must not be empty.
PromptPath ResolvePrompt(PrefixTree& tree, std::span<const std::uint64_t> words,
                         std::uint32_t limit_blocks,
                         const std::function<void(NodeId, NodeId)>& on_cut);

}  // namespace cairn::sim
