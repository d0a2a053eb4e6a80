// States and stretches of KV are objects of their own in one eviction policy, as engines have it.
#include <algorithm>

#include "libcache/base/check.h"
#include "libcache/policy/eviction.h"
#include "libcache/sim/pool.h"

namespace cairn::sim {
namespace {

/// Inner stretches that a policy may offer before one is found that nothing below needs.
constexpr std::size_t kRefusals = std::numeric_limits<std::size_t>::max();

class ObjectPool final : public Pool {
 public:
  ObjectPool(const PoolParts& parts, std::unique_ptr<EvictionPolicy> policy)
      : options_(parts.options),
        tree_(parts.tree),
        report_(parts.report),
        tiers_(parts.tiers),
        policy_(std::move(policy)) {}

  void OnSplit(NodeId upper, NodeId lower) override {
    if (!tree_[upper].kv) {
      return;
    }
    // Two objects now. The upper one is new to the policy; it is on the path of the request that
    // cut it and will be touched with it.
    policy_->Update(KvOf(lower), UnitOf(KvOf(lower)));
    policy_->Insert(KvOf(upper), UnitOf(KvOf(upper)));
  }

  void Put(const Store& store) override {
    // Deep before shallow, so that by recency the end of a path goes first.
    const std::size_t depth = std::max(store.kv_depth, store.resumed);
    for (std::size_t i = depth; i > 0; --i) {
      const NodeId node = store.path[i - 1];
      const bool planned =
          std::find(store.states.begin(), store.states.end(), node) != store.states.end();
      if (planned || (i == store.resumed && tree_[node].state)) {
        Use(StateOf(node));
      }
      Use(KvOf(node));
    }
    Evict();
  }

  [[nodiscard]] std::uint64_t used_bytes() const override { return used_bytes_; }

 private:
  // Units are numbered as the objects of Tiers are.
  static UnitId KvOf(NodeId node) { return Tiers::KvOf(node); }
  static UnitId StateOf(NodeId node) { return Tiers::StateOf(node); }
  static bool IsState(UnitId id) { return (id & 1U) != 0; }

  [[nodiscard]] std::uint64_t BytesOf(UnitId id) const {
    const Node& node = tree_[id / 2];
    return IsState(id) ? options_.checkpoint_bytes
                       : std::uint64_t{node.end - node.begin} * options_.block_tokens *
                             options_.kv_bytes_per_token;
  }
  [[nodiscard]] EvictionUnit UnitOf(UnitId id) const {
    const Node& node = tree_[id / 2];
    // A state is worth the prefill down to it, KV that of its own tokens.
    const std::uint32_t blocks = IsState(id) ? node.end : node.end - node.begin;
    return {.key_word = (std::uint64_t{id} + 1) * 0x9E3779B97F4A7C15ULL,
            .bytes = BytesOf(id),
            .saved_tokens = static_cast<double>(blocks) * options_.block_tokens};
  }
  void Use(UnitId id) {
    Node& node = tree_[id / 2];
    bool& present = IsState(id) ? node.state : node.kv;
    if (present) {
      policy_->Touch(id);
      return;
    }
    present = true;
    policy_->Insert(id, UnitOf(id));
    used_bytes_ += BytesOf(id);
    report_.bytes_written += BytesOf(id);
    if (IsState(id)) {
      ++report_.checkpoints_written;
      ++report_.positions.At(std::uint64_t{node.end} * options_.block_tokens).written;
    } else if (node.parent != kNoNode) {
      ++tree_[node.parent].kv_children;
    }
  }
  void Evict() {
    while (used_bytes_ > options_.capacity_bytes) {
      const auto victim = policy_->PickVictim(
          [this](UnitId id) { return IsState(id) || tree_[id / 2].kv_children == 0; }, kRefusals);
      CAIRN_CHECK(victim.has_value());
      Drop(*victim);
    }
  }
  void Drop(UnitId id) {
    policy_->Erase(id);
    if (tiers_ != nullptr) {
      tiers_->Remove(id);
    }
    used_bytes_ -= BytesOf(id);
    Node& node = tree_[id / 2];
    if (IsState(id)) {
      node.state = false;
      ++report_.evicted_checkpoints;
      return;
    }
    node.kv = false;
    if (node.parent != kNoNode) {
      --tree_[node.parent].kv_children;
    }
  }

  const Options& options_;
  PrefixTree& tree_;
  Report& report_;
  Tiers* tiers_;
  std::uint64_t used_bytes_ = 0;
  std::unique_ptr<EvictionPolicy> policy_;
};

}  // namespace

Result<std::unique_ptr<Pool>> MakeObjectPool(const PoolParts& parts) {
  auto policy = MakeEvictionPolicy(parts.options.eviction);
  if (!policy) {
    return Fail(policy.error());
  }
  return std::make_unique<ObjectPool>(parts, std::move(*policy));
}

}  // namespace cairn::sim
