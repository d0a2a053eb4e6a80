#include "libcache/sim/kept_prefixes.h"

namespace cairn::sim {

std::uint64_t KeptPrefixes::KvBytes(const Node& node) const {
  return std::uint64_t{node.end - node.begin} * options_.block_tokens * options_.kv_bytes_per_token;
}

void KeptPrefixes::Keep(NodeId id) {
  tree_[id].state = true;
  used_bytes_ += options_.checkpoint_bytes;
  fresh_states_.push_back(id);
  // Up to where the KV is needed already.
  for (NodeId up = id; up != 0; up = tree_[up].parent) {
    Node& node = tree_[up];
    if (node.kept_for++ != 0) {
      break;
    }
    node.kv = true;
    used_bytes_ += KvBytes(node);
    fresh_kv_.push_back(up);
  }
}

void KeptPrefixes::Gone(Tiers::Object object) {
  if (tiers_ != nullptr) {
    tiers_->Remove(object);
  }
}

void KeptPrefixes::Drop(NodeId id) {
  tree_[id].state = false;
  Gone(Tiers::StateOf(id));
  used_bytes_ -= options_.checkpoint_bytes;
  for (NodeId up = id; up != 0; up = tree_[up].parent) {
    Node& node = tree_[up];
    if (--node.kept_for != 0) {
      break;
    }
    node.kv = false;
    Gone(Tiers::KvOf(up));
    used_bytes_ -= KvBytes(node);
  }
}

std::uint64_t KeptPrefixes::CountWritten(Report& report) {
  std::uint64_t gone = 0;
  for (const NodeId id : fresh_states_) {
    if (tree_[id].state) {
      ++report.checkpoints_written;
      ++report.positions.At(std::uint64_t{tree_[id].end} * options_.block_tokens).written;
      report.bytes_written += options_.checkpoint_bytes;
    } else {
      ++gone;
    }
  }
  for (const NodeId id : fresh_kv_) {
    report.bytes_written += tree_[id].kv ? KvBytes(tree_[id]) : 0;
  }
  fresh_states_.clear();
  fresh_kv_.clear();
  return gone;
}

}  // namespace cairn::sim
