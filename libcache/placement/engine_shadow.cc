#include "libcache/placement/engine_shadow.h"

#include "libcache/base/check.h"

namespace cairn {

EngineShadow::EngineShadow(std::uint64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

void EngineShadow::Make(SiteId id) {
  if (StateOf(id) >= entries_.size()) {
    entries_.resize(std::size_t{StateOf(id)} + 1);
  }
  // The number may have belonged to a place that was forgotten.
  Drop(KvOf(id));
  Drop(StateOf(id));
}

void EngineShadow::Drop(UnitId id) {
  if (Holds(id)) {
    used_.Remove(id);
    used_bytes_ -= entries_[id].bytes;
    entries_[id].bytes = kNotHeld;
  }
}

void EngineShadow::Use(UnitId id, std::uint64_t bytes) {
  if (Holds(id)) {
    used_.Remove(id);
  } else {
    entries_[id].bytes = bytes;
    used_bytes_ += bytes;
    written_bytes_ += bytes;
  }
  used_.PushNewest(id);
}

void EngineShadow::OnTip(SiteId id) { Make(id); }

void EngineShadow::OnSplit(const SiteTree& tree, SiteId upper, SiteId lower, const Sizes& sizes) {
  Make(upper);
  if (Holds(KvOf(lower))) {
    entries_[KvOf(lower)].bytes = tree.EdgeTokens(lower) * sizes.kv_bytes_per_token;
    entries_[KvOf(upper)].bytes = tree.EdgeTokens(upper) * sizes.kv_bytes_per_token;
    used_.PushNewest(KvOf(upper));  // The request that cut it is about to use it.
  }
}

void EngineShadow::OnRequest(const SiteTree& tree, SiteId junction, SiteId end,
                             const Sizes& sizes) {
  path_.clear();
  std::size_t seen = 0;  // Of the path, the places from this index on were seen before.
  for (SiteId id = end; tree.site(id).parent != kNoSite; id = tree.site(id).parent) {
    if (id == junction) {
      seen = path_.size();
    }
    path_.push_back(id);
  }
  if (tree.site(junction).parent == kNoSite) {
    seen = path_.size();
  }
  std::size_t resumed = path_.size();
  for (std::size_t i = path_.size(); i > seen && Holds(KvOf(path_[i - 1])); --i) {
    if (Holds(StateOf(path_[i - 1]))) {
      resumed = i - 1;
    }
  }
  if (resumed < path_.size()) {
    served_tokens_ += tree.site(path_[resumed]).position;
  }
  for (std::size_t i = 0; i < path_.size(); ++i) {
    const bool planned = i == 0 || (i == seen && seen < resumed);
    if (planned || i == resumed) {
      Use(StateOf(path_[i]), sizes.checkpoint_bytes);
    }
    Use(KvOf(path_[i]), tree.EdgeTokens(path_[i]) * sizes.kv_bytes_per_token);
  }
  while (used_bytes_ > capacity_bytes_) {
    CAIRN_CHECK(used_.Size() > 0);
    Drop(used_.oldest());
  }
}

}  // namespace cairn
