#include "libcache/sim/prefix_tree.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <random>
#include <set>

#include "libcache/sim/simulator.h"
#include "tests/property/libcache/sim/any_trace.h"

namespace cairn::sim {
namespace {

/// How much of it was in any prompt before, and nothing else.
std::size_t Overlap(const std::set<std::uint64_t>& seen, const std::vector<std::uint64_t>& words) {
  std::size_t same = 0;
  while (same < words.size() && seen.contains(words[same])) {
    ++same;
  }
  return same;
}

RC_GTEST_PROP(PrefixTreeProperty, FindsWhatWasSeenAndNothingElse, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  std::mt19937_64 random(seed);
  const auto block_tokens = static_cast<std::uint32_t>(1 + random() % 5);
  PrefixTree tree;
  std::set<std::uint64_t> seen;
  for (const TraceRequest& request : AnyTrace(random, *rc::gen::inRange<std::size_t>(1, 100))) {
    const auto words = ChainWords(request, block_tokens);
    const NodeId before = tree.size();
    const PrefixTree::Walk walk = tree.Find(words);
    RC_ASSERT(tree.size() == before + (walk.split_from == kNoNode ? 0 : 1));
    NodeId last = 0;
    for (const NodeId id : walk.nodes) {
      RC_ASSERT(tree[id].parent == last && tree[id].begin == tree[last].end);
      RC_ASSERT(tree[id].end > tree[id].begin);
      last = id;
    }
    RC_ASSERT(tree[last].end == Overlap(seen, words));
    if (walk.split_from != kNoNode) {
      RC_ASSERT(tree[walk.split_from].parent == last);
      RC_ASSERT(tree[walk.split_from].begin == tree[last].end);
    }
    if (tree[last].end < words.size()) {
      const NodeId added = tree.Append(last, words);
      RC_ASSERT(tree[added].end == words.size());
    }
    seen.insert(words.begin(), words.end());
    // Cut some node; nothing is lost by it.
    const NodeId any = static_cast<NodeId>(random() % tree.size());
    if (tree[any].end > tree[any].begin + 1) {
      const std::uint32_t begin = tree[any].begin;
      tree[any].state = true;
      const NodeId upper = tree.Split(any, begin + 1);
      RC_ASSERT(tree[upper].begin == begin && tree[any].parent == upper);
      RC_ASSERT(tree[any].state && !tree[upper].state);
    }
    const PrefixTree::Walk again = tree.Find(words);
    RC_ASSERT(again.split_from == kNoNode);
    RC_ASSERT(tree[again.nodes.empty() ? 0 : again.nodes.back()].end == words.size());
  }
}

}  // namespace
}  // namespace cairn::sim
