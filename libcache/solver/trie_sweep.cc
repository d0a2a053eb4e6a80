#include "libcache/solver/trie_sweep.h"

#include <algorithm>

namespace cairn::internal {
namespace {

/// Ties go to fewer bytes: far above what doubles round, far below what anybody measures.
constexpr double kTieBreak = 1 + 0x1p-40;

/// What is folded into a parent far away in memory is asked for this many nodes ahead.
constexpr std::size_t kPrefetch = 12;

}  // namespace

template <bool Joint>
TriePlan TrieSweep<Joint>::Solve(const TrieInstance& trie, double price_per_byte) {
  if (trie.Size() == 0) {
    return {};
  }
  Prepare(trie);
  const double decision_price = price_per_byte * kTieBreak;
  for (std::size_t v = trie.Size() - 1; v > 0; --v) {
    if (v > kPrefetch) {
      __builtin_prefetch(&nodes_[trie.parent[v - kPrefetch]], 1);
    }
    FoldIntoParent(trie, v, decision_price);
  }
  return Decide(trie, price_per_byte);
}

template <bool Joint>
void TrieSweep<Joint>::Prepare(const TrieInstance& trie) {
  const std::size_t n = trie.Size();
  nodes_.assign(n, Node{});
  // Each node makes at most one breakpoint per cut.
  sets_.Reset(Joint ? 2 * n : n);
  for (std::size_t v = 1; v < n; ++v) {
    nodes_[v].reach = std::max(nodes_[trie.parent[v]].reach, trie.Offer(v));
  }
}

/// The subtree of v is complete: turns A_v on [0, reach of v] into F_v on [0, reach of its parent]
/// and adds that to the parent's.
template <bool Joint>
void TrieSweep<Joint>::FoldIntoParent(const TrieInstance& trie, std::size_t v,
                                      double decision_price) {
  Node& node = nodes_[v];
  Node& parent = nodes_[trie.parent[v]];
  const double weight = trie.weight[v];
  node.fall += weight * node.reach;
  node.left += weight;
  node.right += weight;
  if constexpr (Joint) {
    node.total += weight;
  }
  double take_below = 0;
  if (const double offer = trie.Offer(v); offer > 0) {
    // rise = A_v(reach of the parent) - A_v(offer), below 0 if the offer is less than that reach.
    double rise = 0;
    double fall_to_offer = node.fall;
    if (offer >= parent.reach) {
      rise = Shrink(node, parent.reach);
    } else {
      fall_to_offer = node.left * offer + sets_.AreaBefore(node.set, offer);
      rise = fall_to_offer - node.fall;
    }
    const double price = decision_price * static_cast<double>(trie.CheckpointBytes(v));
    take_below = CutLeft(node, parent.reach, fall_to_offer, rise, price);
  }
  double keep_below = kAlways;
  if constexpr (Joint) {
    keep_below =
        CutRight(node, parent.reach, decision_price * static_cast<double>(trie.KvBytes(v)));
    parent.served += node.served;
    parent.saving += node.saving;
    parent.total += node.total;
  }
  parent.fall += node.fall;
  parent.left += node.left;
  parent.right += node.right;
  sets_.Meld(parent.set, node.set);
  node.fall = take_below;
  node.left = keep_below;
}

/// Forgets what is right of `reach`; returns the integral of m over what was forgotten. `fall` is
/// left to CutLeft.
template <bool Joint>
double TrieSweep<Joint>::Shrink(Node& node, double reach) {
  double end = node.reach;
  double area = 0;
  std::uint32_t last = sets_.template Top<End::kLast>(node.set);
  while (last != BreakpointSets::kNone && sets_.At(last) >= reach) {
    const double width = end - sets_.At(last);
    area += node.right * width;
    // Rounded sums can differ a little from the sum of what is left.
    node.right = std::max(node.right - sets_.Mass(last), node.left);
    if constexpr (Joint) {
      node.saving += node.served * width;
      node.served += sets_.Mass(last);
    }
    end = sets_.At(last);
    sets_.template Pop<End::kLast>(node.set);
    last = sets_.template Top<End::kLast>(node.set);
  }
  if (last == BreakpointSets::kNone) {
    node.right = node.left;  // A line: what was rounded so far is gone.
  }
  area += node.right * (end - reach);
  if constexpr (Joint) {
    node.saving += node.served * (end - reach);
  }
  return area;
}

/// min(A_v(x), price + A_v(offer)) on [0, reach]: the constant rules where x is small. Returns
/// below which x it does.
template <bool Joint>
double TrieSweep<Joint>::CutLeft(Node& node, double reach, double fall_to_offer, double rise,
                                 double price) {
  if (fall_to_offer <= price) {
    const bool line = sets_.template Top<End::kLast>(node.set) == BreakpointSets::kNone;
    node.fall = line ? node.left * reach : std::max(fall_to_offer - rise, 0.0);
    return 0;
  }
  if (rise >= price) {
    Serve(node, rise, price);
    return rise > price ? kAlways : reach;
  }
  double excess = fall_to_offer - price;
  double start = 0;
  double mass = node.left;
  std::uint32_t first = sets_.template Top<End::kFirst>(node.set);
  while (first != BreakpointSets::kNone && mass * (sets_.At(first) - start) < excess) {
    excess -= mass * (sets_.At(first) - start);
    mass += sets_.Mass(first);
    start = sets_.At(first);
    sets_.template Pop<End::kFirst>(node.set);
    first = sets_.template Top<End::kFirst>(node.set);
  }
  const double take_below = start + excess / mass;
  if (!(take_below < reach)) {  // Rounded; in truth just below.
    Serve(node, rise, price);
    return reach;
  }
  node.left = 0;
  node.fall = price - rise;
  sets_.Insert(node.set, take_below, mass);
  return take_below;
}

/// A checkpoint stands here whatever is offered from above: F_v is constant.
template <bool Joint>
void TrieSweep<Joint>::Serve(Node& node, double rise, double price) {
  node.set = Set{};
  node.fall = 0;
  node.left = 0;
  node.right = 0;
  if constexpr (Joint) {
    node.served = node.total;
    node.saving += std::max(rise - price, 0.0);
  }
}

/// min(Z_v(x), G_v(x)) on [0, reach]: nothing is kept where x is large. Returns below which x
/// something is.
template <bool Joint>
double TrieSweep<Joint>::CutRight(Node& node, double reach, double kv_price) {
  if constexpr (!Joint) {
    return kAlways;
  } else {
    node.saving -= kv_price;
    if (node.saving > 0) {
      return kAlways;
    }
    const double need = -node.saving;
    double rest = need;
    double end = reach;
    double mass = node.served;
    for (;;) {
      const std::uint32_t last = sets_.template Top<End::kLast>(node.set);
      const double start = last == BreakpointSets::kNone ? 0 : sets_.At(last);
      if (mass > 0 && mass * (end - start) >= rest) {
        break;
      }
      if (last == BreakpointSets::kNone) {
        DropAll(node, reach);
        return 0;
      }
      rest -= mass * (end - start);
      mass += sets_.Mass(last);
      end = start;
      sets_.template Pop<End::kLast>(node.set);
    }
    const double keep_below = end - rest / mass;
    if (!(keep_below > 0)) {
      DropAll(node, reach);
      return 0;
    }
    node.fall += need;
    node.right = node.total;
    node.served = 0;
    node.saving = 0;
    sets_.Insert(node.set, keep_below, mass);
    return keep_below;
  }
}

/// Nothing in the subtree is worth its KV whatever is offered from above: F_v is Z_v.
template <bool Joint>
void TrieSweep<Joint>::DropAll(Node& node, double reach) {
  if constexpr (Joint) {
    node.set = Set{};
    node.fall = node.total * reach;
    node.left = node.total;
    node.right = node.total;
    node.served = 0;
    node.saving = 0;
  }
}

template <bool Joint>
TriePlan TrieSweep<Joint>::Decide(const TrieInstance& trie, double price_per_byte) {
  TriePlan plan;
  std::size_t chosen = 0;
  nodes_[0].reach = 0;
  if constexpr (Joint) {
    nodes_[0].total = 1;
  }
  for (std::size_t v = 1; v < trie.Size(); ++v) {
    Node& node = nodes_[v];
    const Node& parent = nodes_[trie.parent[v]];
    double best = parent.reach;
    bool take = best < node.fall;
    if constexpr (Joint) {
      const bool keep = parent.total > 0 && best < node.left;
      node.total = keep ? 1 : 0;
      take = take && keep;
    }
    const double offer = trie.Offer(v);
    take = take && offer > best;  // In truth it always is; the threshold was rounded.
    if (take) {
      best = offer;
      plan.bytes += trie.CheckpointBytes(v);
      ++chosen;
    }
    node.right = take ? 1 : 0;
    node.reach = best;
    plan.recompute += trie.weight[v] * (trie.potential[v] - trie.potential[0] - best);
  }
  plan.checkpoints.reserve(chosen);
  for (std::size_t v = 1; v < trie.Size(); ++v) {
    if (nodes_[v].right > 0) {
      plan.checkpoints.push_back(static_cast<std::uint32_t>(v));
    }
  }
  if constexpr (Joint) {
    CollectKv(trie, plan);
  }
  plan.objective = plan.recompute + price_per_byte * static_cast<double>(plan.bytes);
  return plan;
}

/// KV is kept on the root paths of checkpoints and nowhere else, also where it would cost nothing.
template <bool Joint>
void TrieSweep<Joint>::CollectKv(const TrieInstance& trie, TriePlan& plan) {
  std::size_t kept = 0;
  for (std::size_t v = trie.Size() - 1; v > 0; --v) {
    if (nodes_[v].right > 0) {
      nodes_[trie.parent[v]].right = 1;
      plan.bytes += trie.KvBytes(v);
      ++kept;
    }
  }
  plan.kept_kv.reserve(kept);
  for (std::size_t v = 1; v < trie.Size(); ++v) {
    if (nodes_[v].right > 0) {
      plan.kept_kv.push_back(static_cast<std::uint32_t>(v));
    }
  }
}

template class TrieSweep<false>;
template class TrieSweep<true>;

}  // namespace cairn::internal
