// Checkpoints go with the KV that only they need, the least valuable first.
#include <algorithm>

#include "libcache/base/check.h"
#include "libcache/sim/pool.h"
#include "libcache/sim/price_history.h"

namespace cairn::sim {
namespace {

/// The price is what was lost lately by evicting: the mean over about this share of the capacity.
constexpr double kPriceShare = 0.05;

class ValuePool final : public Pool {
 public:
  ValuePool(const Options& options, PrefixTree& tree, LearnedPlacement& learned,
            const double& now_s, Report& report)
      : options_(options), tree_(tree), learned_(learned), now_s_(now_s), report_(report) {}

  void OnSplit(NodeId, NodeId) override {}  // kept_below and kv were copied with the node.

  void Put(const Store& store) override {
    for (const NodeId node : store.states) {
      // A place that could not be remembered has no value either.
      if (!tree_[node].state && learned_.tree().Valid(tree_[node].site)) {
        Insert(node);
      }
    }
    while (used_bytes_ > options_.capacity_bytes) {
      const auto victim = learned_.Victim(now_s_);
      CAIRN_CHECK(victim.has_value());
      const double bytes = learned_.BytesFreed(*victim);
      const double weight =
          std::min(1.0, bytes / (kPriceShare * static_cast<double>(options_.capacity_bytes)));
      last_price_ += weight * (learned_.Value(*victim) - last_price_);
      Drop(learned_.tree().checkpoint(*victim).user);
    }
    prices_.Add(now_s_, last_price_);
    Account(store);
  }
  [[nodiscard]] std::vector<Report::PricePoint> Prices() const override { return prices_.points(); }
  double Price() override {
    if (used_bytes_ + options_.checkpoint_bytes <= options_.capacity_bytes) {
      return 0;
    }
    const auto victim = learned_.Victim(now_s_);
    return victim ? std::max(last_price_, learned_.Value(*victim)) : 0;
  }

 private:
  void Insert(NodeId id) {
    Node& node = tree_[id];
    node.state = true;
    const LearnedPlacement::Planned at{.site = node.site.id,
                                       .position = node.end * options_.block_tokens};
    node.checkpoint = learned_.Add(at, id, now_s_);
    used_bytes_ += options_.checkpoint_bytes;
    fresh_.push_back(id);
    for (NodeId up = id; up != 0; up = tree_[up].parent) {
      Node& above = tree_[up];
      ++above.kept_below;
      if (!above.kv) {
        above.kv = true;
        used_bytes_ += KvBytes(above);
        fresh_kv_.push_back(up);
      }
    }
  }
  void Drop(NodeId id) {
    Node& node = tree_[id];
    learned_.Remove(node.checkpoint);
    node.state = false;
    node.checkpoint = kNoCheckpoint;
    used_bytes_ -= options_.checkpoint_bytes;
    ++report_.evicted_checkpoints;
    for (NodeId up = id; up != 0; up = tree_[up].parent) {
      Node& above = tree_[up];
      if (--above.kept_below == 0) {
        above.kv = false;
        used_bytes_ -= KvBytes(above);
      }
    }
  }
  /// What did not survive the eviction it caused was never written.
  void Account(const Store&) {
    for (const NodeId id : fresh_) {
      if (tree_[id].state) {
        ++report_.checkpoints_written;
        report_.bytes_written += options_.checkpoint_bytes;
      } else {
        --report_.evicted_checkpoints;
      }
    }
    for (const NodeId id : fresh_kv_) {
      if (tree_[id].kv) {
        report_.bytes_written += KvBytes(tree_[id]);
      }
    }
    fresh_.clear();
    fresh_kv_.clear();
  }
  [[nodiscard]] std::uint64_t KvBytes(const Node& node) const {
    return std::uint64_t{node.end - node.begin} * options_.block_tokens *
           options_.kv_bytes_per_token;
  }

  const Options& options_;
  PrefixTree& tree_;
  LearnedPlacement& learned_;
  const double& now_s_;
  Report& report_;
  std::vector<NodeId> fresh_;
  std::vector<NodeId> fresh_kv_;
  double last_price_ = 0;
  PriceHistory prices_;
};

}  // namespace

std::unique_ptr<Pool> MakeValuePool(const Options& options, PrefixTree& tree,
                                    LearnedPlacement& learned, const double& now_s,
                                    Report& report) {
  return std::make_unique<ValuePool>(options, tree, learned, now_s, report);
}

}  // namespace cairn::sim
