#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "libcache/solver/trie_instance.h"

namespace cairn::trie_reference {

/// What a TrieInstance is a view of.
struct TrieData {
  std::vector<std::uint32_t> parent;
  std::vector<double> potential;
  std::vector<double> weight;
  std::vector<std::uint64_t> checkpoint_bytes;
  std::vector<std::uint64_t> kv_bytes;
  std::vector<std::uint8_t> allowed;
  std::vector<double> fetch;

  [[nodiscard]] std::size_t Size() const { return parent.size(); }
  [[nodiscard]] TrieInstance View() const {
    return {.parent = parent,
            .potential = potential,
            .weight = weight,
            .checkpoint_bytes = checkpoint_bytes,
            .kv_bytes = kv_bytes,
            .allowed = allowed,
            .fetch = fetch};
  }
};

/// What the definition says that a set costs; `chosen` by node. Every request looks at every
/// checkpoint above it.
struct Cost {
  double recompute = 0;
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  [[nodiscard]] double Objective(double price) const {
    return recompute + price * static_cast<double>(bytes);
  }
};

inline Cost CostOf(const TrieInstance& trie, const std::vector<bool>& chosen, bool joint) {
  Cost cost;
  std::vector<bool> kept(trie.Size());
  for (std::uint32_t v = 0; v < trie.Size(); ++v) {
    double best = trie.potential[0];
    for (std::uint32_t u = v; u != 0; u = trie.parent[u]) {
      if (chosen[u]) {
        best = std::max(best, trie.potential[u] - (trie.fetch.empty() ? 0 : trie.fetch[u]));
      }
    }
    cost.recompute += trie.weight[v] * (trie.potential[v] - best);
    if (v > 0 && chosen[v]) {
      cost.bytes += trie.CheckpointBytes(v);
      ++cost.count;
      for (std::uint32_t u = v; joint && u != 0 && !kept[u]; u = trie.parent[u]) {
        kept[u] = true;
        cost.bytes += trie.KvBytes(u);
      }
    }
  }
  return cost;
}

inline std::vector<bool> AsMask(const std::vector<std::uint32_t>& nodes, std::size_t n) {
  std::vector<bool> mask(n);
  for (const auto v : nodes) {
    mask[v] = true;
  }
  return mask;
}

/// Calls visit(cost) for every set of nodes where checkpoints may stand.
template <class Visit>
void ForEachSet(const TrieInstance& trie, bool joint, Visit visit) {
  const std::size_t n = trie.Size();
  for (std::uint32_t bits = 0; bits < (1U << (n - 1)); ++bits) {
    std::vector<bool> chosen(n);
    bool possible = true;
    for (std::size_t v = 1; v < n; ++v) {
      chosen[v] = ((bits >> (v - 1)) & 1U) != 0;
      possible = possible && (!chosen[v] || trie.Allowed(v));
    }
    if (possible) {
      visit(CostOf(trie, chosen, joint));
    }
  }
}

/// The least objective, by a table of every node and every ancestor that may be the best above it:
/// O(n * depth). Shares nothing with the solver but the definition.
inline double LeastObjective(const TrieInstance& trie, double price, bool joint) {
  const std::size_t n = trie.Size();
  std::vector<std::uint32_t> depth(n);
  std::vector<double> offer(n);
  for (std::size_t v = 1; v < n; ++v) {
    depth[v] = depth[trie.parent[v]] + 1;
    offer[v] = trie.potential[v] - (trie.fetch.empty() ? 0 : trie.fetch[v]);
  }
  offer[0] = trie.potential[0];
  // sums[v][k]: requests at v and the subtrees below it, if the best is the ancestor at depth k (v
  // itself at the end). idle: the same if nothing is kept below or at v.
  std::vector<std::vector<double>> sums(n);
  std::vector<std::vector<double>> idle(n);
  for (std::size_t v = 0; v < n; ++v) {
    std::uint32_t u = static_cast<std::uint32_t>(v);
    sums[v].resize(depth[v] + 1U);
    for (std::size_t k = depth[v] + 1U; k-- > 0; u = trie.parent[u]) {
      sums[v][k] = trie.weight[v] * (trie.potential[v] - offer[u]);
    }
    idle[v] = sums[v];
  }
  for (std::size_t v = n - 1; v > 0; --v) {
    std::vector<std::uint32_t> path(depth[v] + 1U);
    std::uint32_t u = static_cast<std::uint32_t>(v);
    for (std::size_t k = path.size(); k-- > 0; u = trie.parent[u]) {
      path[k] = u;
    }
    for (std::size_t k = 0; k < depth[v]; ++k) {
      double least = sums[v][k];
      if (trie.Allowed(v)) {
        const std::size_t best = offer[v] > offer[path[k]] ? depth[v] : k;
        least =
            std::min(least, price * static_cast<double>(trie.CheckpointBytes(v)) + sums[v][best]);
      }
      if (joint) {
        least = std::min(idle[v][k], price * static_cast<double>(trie.KvBytes(v)) + least);
      }
      sums[trie.parent[v]][k] += least;
      idle[trie.parent[v]][k] += idle[v][k];
    }
  }
  return n == 0 ? 0 : sums[0][0];
}

/// How to draw a trie. Integers throughout, so that every cost is exact.
struct Shape {
  std::size_t nodes = 1;
  enum Kind : std::uint8_t { kAny, kChain, kStar, kDeep } kind = kAny;
  std::uint64_t potential_steps = 9;  ///< Step from the parent: 1 to this.
  std::uint64_t weights = 13;         ///< 0 to this, a third of them 0.
  std::uint64_t checkpoint_bytes = 5;
  std::uint64_t kv_bytes = 9;
  bool grid = false;
  std::uint64_t fetch = 0;  ///< 0 to this; more than a step makes offers fall along paths.
};

inline TrieData DrawTrie(const Shape& shape, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&random](std::uint64_t n) { return n == 0 ? 0 : random() % n; };
  TrieData trie;
  for (std::size_t v = 0; v < shape.nodes; ++v) {
    std::size_t parent = 0;
    switch (v == 0 ? Shape::kStar : shape.kind) {
      case Shape::kAny: parent = below(v); break;
      case Shape::kChain: parent = v - 1; break;
      case Shape::kStar: parent = 0; break;
      case Shape::kDeep: parent = v - 1 - below(std::min<std::size_t>(v, 3)); break;
    }
    trie.parent.push_back(static_cast<std::uint32_t>(parent));
    trie.potential.push_back(v == 0 ? 3
                                    : trie.potential[parent] +
                                          static_cast<double>(1 + below(shape.potential_steps)));
    trie.weight.push_back(below(3) == 0 ? 0 : static_cast<double>(below(shape.weights + 1)));
    trie.checkpoint_bytes.push_back(below(shape.checkpoint_bytes + 1));
    trie.kv_bytes.push_back(below(shape.kv_bytes + 1));
    if (shape.grid) {
      trie.allowed.push_back(below(3) == 0 ? 0 : 1);
    }
    if (shape.fetch > 0) {
      trie.fetch.push_back(static_cast<double>(below(shape.fetch + 1)));
    }
  }
  return trie;
}

/// The nodes below one child of the root, under a root of their own; `ids` maps back.
inline TrieData Subtrie(const TrieData& data, std::uint32_t child,
                        std::vector<std::uint32_t>& ids) {
  std::vector<std::uint32_t> new_id(data.Size());
  TrieData part;
  ids.clear();
  for (std::uint32_t v = 0; v < data.Size(); ++v) {
    if (v != 0 && v != child && new_id[data.parent[v]] == 0) {
      continue;
    }
    new_id[v] = static_cast<std::uint32_t>(part.Size());
    ids.push_back(v);
    part.parent.push_back(v == 0 ? 0 : new_id[data.parent[v]]);
    part.potential.push_back(data.potential[v]);
    part.weight.push_back(v == 0 ? 0 : data.weight[v]);
    part.checkpoint_bytes.push_back(data.checkpoint_bytes[v]);
    part.kv_bytes.push_back(data.kv_bytes[v]);
    if (!data.allowed.empty()) {
      part.allowed.push_back(data.allowed[v]);
    }
    if (!data.fetch.empty()) {
      part.fetch.push_back(data.fetch[v]);
    }
  }
  return part;
}

}  // namespace cairn::trie_reference
