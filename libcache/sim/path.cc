#include "libcache/sim/path.h"

#include "libcache/base/check.h"

namespace cairn::sim {

PromptPath ResolvePrompt(PrefixTree& tree, std::span<const std::uint64_t> words,
                         std::uint32_t limit_blocks,
                         const std::function<void(NodeId, NodeId)>& on_cut) {
  CAIRN_CHECK(!words.empty());
  PromptPath path;
  PrefixTree::Walk walk = tree.Find(words);
  if (walk.split_from != kNoNode) {
    on_cut(walk.nodes.back(), walk.split_from);
  }
  path.nodes = std::move(walk.nodes);
  const NodeId deepest = path.nodes.empty() ? 0 : path.nodes.back();
  path.overlap_blocks = std::min(tree[deepest].end, limit_blocks);
  path.seen_whole = tree[deepest].end == words.size();
  for (std::size_t i = 0; i < path.nodes.size(); ++i) {
    const NodeId id = path.nodes[i];
    if (tree[id].begin < path.overlap_blocks && tree[id].end > path.overlap_blocks) {
      const NodeId upper = tree.Split(id, path.overlap_blocks);
      on_cut(upper, id);
      path.nodes.insert(path.nodes.begin() + static_cast<std::ptrdiff_t>(i), upper);
      break;
    }
  }
  if (!path.seen_whole) {
    path.nodes.push_back(tree.Append(deepest, words));
  }
  return path;
}

}  // namespace cairn::sim
