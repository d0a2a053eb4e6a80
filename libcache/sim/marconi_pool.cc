// Marconi's eviction (Pan et al., Marconi: Prefix Caching for the Era of Hybrid LLMs, MLSys 2025,
// arXiv:2411.19379). A node of its radix tree is a stretch of KV with a state at its end; those
// with one child at most are candidates, and the one with the least
//   recency + alpha * flop efficiency
// goes, both scaled to [0, 1] over the candidates. Recency is 1 / age, efficiency the flops that
// the node saves over its parent per byte it takes. A leaf goes whole; of an inner node the state
// goes, and its KV becomes part of its child.
#include <algorithm>
#include <limits>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/sim/pool.h"

namespace cairn::sim {
namespace {

/// Looks at every candidate for every eviction, as the published one does: a baseline, not fast.
class MarconiPool final : public Pool {
 public:
  MarconiPool(const PoolParts& parts, const double& alpha)
      : options_(parts.options),
        tree_(parts.tree),
        report_(parts.report),
        tiers_(parts.tiers),
        alpha_(alpha) {}

  void OnSplit(NodeId upper, NodeId lower) override {
    if (tree_[upper].kv) {
      List(upper);
      entries_[upper].last_use = entries_[lower].last_use;
    }
  }

  void Put(const Store& store) override {
    ++now_;
    const std::size_t depth = std::max(store.kv_depth, store.resumed);
    for (std::size_t i = 0; i < depth; ++i) {
      KeepKv(store.path[i]);
    }
    for (const NodeId node : store.states) {
      KeepState(node);
    }
    // A state that a request only passed was not used: its KV stays as long as anything below.
    if (store.resumed > 0) {
      entries_[store.path[store.resumed - 1]].last_use = now_;
    }
    if (depth > 0) {
      entries_[store.path[depth - 1]].last_use = now_;
    }
    while (used_bytes_ > options_.capacity_bytes) {
      Drop(LeastUseful());
    }
  }

  [[nodiscard]] std::uint64_t used_bytes() const override { return used_bytes_; }

 private:
  struct Entry {
    std::uint32_t place = 0;  // In resident_.
    std::uint64_t last_use = 0;
  };
  struct Candidate {
    NodeId node = 0;
    double recency = 0;
    double efficiency = 0;
  };
  struct Range {
    double least = std::numeric_limits<double>::infinity();
    double most = -std::numeric_limits<double>::infinity();
    void Add(double value) {
      least = std::min(least, value);
      most = std::max(most, value);
    }
    [[nodiscard]] double Scale(double value) const {
      return most > least ? (value - least) / (most - least) : 0;
    }
  };

  [[nodiscard]] std::uint64_t KvBytes(std::uint32_t begin, std::uint32_t end) const {
    return std::uint64_t{end - begin} * options_.block_tokens * options_.kv_bytes_per_token;
  }
  void List(NodeId id) {
    if (id >= entries_.size()) {
      entries_.resize(std::size_t{tree_.size()});
    }
    entries_[id] = {.place = static_cast<std::uint32_t>(resident_.size()), .last_use = now_};
    resident_.push_back(id);
  }
  void KeepKv(NodeId id) {
    Node& node = tree_[id];
    if (node.kv) {
      return;
    }
    node.kv = true;
    ++tree_[node.parent].kv_children;
    List(id);
    used_bytes_ += KvBytes(node.begin, node.end);
    report_.bytes_written += KvBytes(node.begin, node.end);
  }
  void KeepState(NodeId id) {
    entries_[id].last_use = now_;
    if (!tree_[id].state) {
      tree_[id].state = true;
      used_bytes_ += options_.checkpoint_bytes;
      report_.bytes_written += options_.checkpoint_bytes;
      ++report_.checkpoints_written;
    }
  }
  void Gone(Tiers::Object object) {
    if (tiers_ != nullptr) {
      tiers_->Remove(object);
    }
  }
  void DropState(NodeId id) {
    Gone(Tiers::StateOf(id));
    tree_[id].state = false;
    used_bytes_ -= options_.checkpoint_bytes;
    ++report_.evicted_checkpoints;
  }
  void Drop(NodeId id) {
    if (tree_[id].state) {
      DropState(id);
    }
    // What no state ends and nothing follows is part of the leaf that went.
    while (id != 0 && !tree_[id].state && tree_[id].kv_children == 0) {
      Node& node = tree_[id];
      node.kv = false;
      Gone(Tiers::KvOf(id));
      used_bytes_ -= KvBytes(node.begin, node.end);
      const NodeId moved = resident_.back();
      resident_[entries_[id].place] = moved;
      entries_[moved].place = entries_[id].place;
      resident_.pop_back();
      id = node.parent;
      --tree_[id].kv_children;
    }
  }

  /// Flops saved per byte. The parent is the next branch or state above: what lies between is one
  /// node to Marconi.
  [[nodiscard]] double Efficiency(NodeId id) const {
    const Node& node = tree_[id];
    NodeId top = id;
    for (NodeId up = node.parent; up != 0; up = tree_[up].parent) {
      if (tree_[up].state || tree_[up].kv_children > 1) {
        break;
      }
      top = up;
    }
    const std::uint32_t begin = tree_[top].begin;
    const std::uint64_t bytes =
        KvBytes(begin, node.end) + (node.state ? options_.checkpoint_bytes : 0);
    const double block = options_.block_tokens;
    const double saved = options_.cost.Between(block * begin, block * node.end);
    return bytes == 0 ? 0 : saved / static_cast<double>(bytes);
  }

  NodeId LeastUseful() {
    candidates_.clear();
    Range recency;
    Range efficiency;
    for (const NodeId id : resident_) {
      const Node& node = tree_[id];
      if (node.kv_children == 0 || (node.kv_children == 1 && node.state)) {
        const double age = static_cast<double>(now_ - entries_[id].last_use) + 1;
        candidates_.push_back({.node = id, .recency = 1 / age, .efficiency = Efficiency(id)});
        recency.Add(candidates_.back().recency);
        efficiency.Add(candidates_.back().efficiency);
      }
    }
    CAIRN_CHECK(!candidates_.empty());
    const auto utility = [&](const Candidate& c) {
      return recency.Scale(c.recency) + alpha_ * efficiency.Scale(c.efficiency);
    };
    // Of equal ones the deeper: as the end of a path is used as late as all before it.
    return std::min_element(candidates_.begin(), candidates_.end(),
                            [&](const Candidate& a, const Candidate& b) {
                              const double of_a = utility(a);
                              const double of_b = utility(b);
                              return of_a != of_b ? of_a < of_b
                                                  : tree_[a.node].end > tree_[b.node].end;
                            })
        ->node;
  }

  const Options& options_;
  PrefixTree& tree_;
  Report& report_;
  Tiers* tiers_;
  const double& alpha_;
  std::uint64_t now_ = 0;  // Requests.
  std::uint64_t used_bytes_ = 0;
  std::vector<NodeId> resident_;  // Nodes with KV.
  std::vector<Entry> entries_;    // By node.
  std::vector<Candidate> candidates_;
};

}  // namespace

std::unique_ptr<Pool> MakeMarconiPool(const PoolParts& parts, const double& alpha) {
  return std::make_unique<MarconiPool>(parts, alpha);
}

}  // namespace cairn::sim
