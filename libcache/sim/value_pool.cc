// Checkpoints go with the KV that only they need, the least valuable first.
#include <algorithm>

#include "libcache/base/check.h"
#include "libcache/placement/memory_price.h"
#include "libcache/sim/kept_prefixes.h"
#include "libcache/sim/pool.h"
#include "libcache/sim/price_history.h"

namespace cairn::sim {
namespace {

class ValuePool final : public Pool {
 public:
  ValuePool(const PoolParts& parts, LearnedPlacement& learned, const double& now_s)
      : options_(parts.options),
        tree_(parts.tree),
        learned_(learned),
        now_s_(now_s),
        report_(parts.report),
        kept_(parts.options, parts.tree, parts.tiers),
        price_(static_cast<double>(parts.options.capacity_bytes)) {}

  void OnSplit(NodeId, NodeId) override {}  // The tree has seen to it.

  void Put(const Store& store) override {
    for (const NodeId node : store.states) {
      // A place that could not be remembered has no value either.
      if (!tree_[node].state && learned_.tree().Valid(tree_[node].site)) {
        Insert(node);
      }
    }
    while (!kept_.Fits()) {
      const auto victim = learned_.Victim(now_s_);
      CAIRN_CHECK(victim.has_value());
      price_.Evicted(learned_.LastValue(*victim), learned_.BytesFreed(*victim));
      Drop(learned_.tree().checkpoint(*victim).user);
    }
    prices_.Add(now_s_, price_.value());
    // What did not survive the eviction it caused was not evicted either.
    report_.evicted_checkpoints -= kept_.CountWritten(report_);
  }
  [[nodiscard]] std::vector<Report::PricePoint> Prices() const override { return prices_.points(); }
  [[nodiscard]] std::uint64_t used_bytes() const override { return kept_.used_bytes(); }
  double Price() override {
    if (kept_.used_bytes() + options_.checkpoint_bytes <= options_.capacity_bytes) {
      return 0;
    }
    const auto victim = learned_.Victim(now_s_);
    if (!victim) {
      return 0;
    }
    return price_.Asked(learned_.LastValue(*victim), learned_.engine_bytes());
  }

 private:
  void Insert(NodeId id) {
    Node& node = tree_[id];
    node.checkpoint = learned_.Add(
        {.site = node.site.id, .position = node.end * options_.block_tokens}, id, now_s_);
    kept_.Keep(id);
  }
  void Drop(NodeId id) {
    learned_.Remove(tree_[id].checkpoint);
    tree_[id].checkpoint = kNoCheckpoint;
    kept_.Drop(id);
    ++report_.evicted_checkpoints;
  }

  const Options& options_;
  PrefixTree& tree_;
  LearnedPlacement& learned_;
  const double& now_s_;
  Report& report_;
  KeptPrefixes kept_;
  MemoryPrice price_;
  PriceHistory prices_;
};

}  // namespace

std::unique_ptr<Pool> MakeValuePool(const PoolParts& parts, LearnedPlacement& learned,
                                    const double& now_s) {
  return std::make_unique<ValuePool>(parts, learned, now_s);
}

}  // namespace cairn::sim
