#include "libcache/solver/trie_counts.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

namespace cairn {
namespace {

/// For one subtree, least cost by (depth of the ancestor that offers most, checkpoints inside).
struct Table {
  std::size_t counts = 1;
  std::vector<double> cost;
};

/// Adds a subtree to what is known of its parent: the parent's rows are the child's too.
void Fold(Table& into, const Table& child, std::size_t rows, std::size_t max_count) {
  const std::size_t counts = std::min(into.counts + child.counts - 1, max_count + 1);
  std::vector<double> sum(rows * counts, std::numeric_limits<double>::infinity());
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t a = 0; a < into.counts; ++a) {
      const double base = into.cost[row * into.counts + a];
      const std::size_t end = std::min(child.counts, counts - a);
      for (std::size_t b = 0; b < end; ++b) {
        double& least = sum[row * counts + a + b];
        least = std::min(least, base + child.cost[row * child.counts + b]);
      }
    }
  }
  into = {counts, std::move(sum)};
}

/// Decides about the node at the end of `path`: its own row is the last of `own`, and goes.
Table Decide(const Table& own, const std::vector<double>& offers, bool allowed,
             std::size_t max_count) {
  const std::size_t depth = offers.size() - 1;
  const std::size_t counts = std::min(own.counts + (allowed ? 1 : 0), max_count + 1);
  Table table{counts, std::vector<double>(depth * counts)};
  for (std::size_t row = 0; row < depth; ++row) {
    const std::size_t best = offers[depth] > offers[row] ? depth : row;
    for (std::size_t m = 0; m < counts; ++m) {
      double least = std::numeric_limits<double>::infinity();
      if (m < own.counts) {
        least = own.cost[row * own.counts + m];
      }
      if (allowed && m > 0) {
        least = std::min(least, own.cost[best * own.counts + m - 1]);
      }
      table.cost[row * counts + m] = least;
    }
  }
  return table;
}

}  // namespace

Result<std::vector<double>> LeastCostByCount(const TrieInstance& trie, std::size_t max_count) {
  if (auto status = Validate(trie); !status) {
    return Fail(std::move(status).error());
  }
  const std::size_t n = trie.Size();
  if (n == 0) {
    return std::vector<double>{0};
  }
  std::vector<std::uint32_t> depth(n);
  std::size_t longest = 0;
  for (std::size_t v = 1; v < n; ++v) {
    depth[v] = depth[trie.parent[v]] + 1;
    longest = std::max<std::size_t>(longest, depth[v]);
  }
  max_count = std::min(max_count, n - 1);
  if (static_cast<double>(n) * static_cast<double>(longest + 1) *
          static_cast<double>(max_count + 1) >
      kMaxCountWork) {
    return Fail(ErrorCode::kInvalidArgument,
                "max_count: " + std::to_string(n) + " nodes, paths of " + std::to_string(longest) +
                    " and counts to " + std::to_string(max_count) + " are too much for a table");
  }
  std::vector<Table> tables(n);
  std::vector<double> offers;
  for (std::size_t v = n; v-- > 0;) {
    offers.assign(depth[v] + 1U, 0.0);
    std::size_t u = v;
    for (std::size_t row = offers.size(); row-- > 0; u = trie.parent[u]) {
      offers[row] = trie.Offer(u);
    }
    Table& own = tables[v];
    if (own.cost.empty()) {
      own.cost.assign(offers.size(), 0.0);
    }
    for (std::size_t i = 0; i < own.cost.size(); ++i) {
      own.cost[i] +=
          trie.weight[v] * (trie.potential[v] - trie.potential[0] - offers[i / own.counts]);
    }
    if (v == 0) {
      break;
    }
    const Table decided = Decide(own, offers, trie.Allowed(v), max_count);
    own = Table();
    Table& parent = tables[trie.parent[v]];
    if (parent.cost.empty()) {
      parent.cost.assign(depth[v], 0.0);
    }
    Fold(parent, decided, depth[v], max_count);
  }
  return std::move(tables[0].cost);
}

}  // namespace cairn
