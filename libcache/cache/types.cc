#include "libcache/cache/types.h"

namespace cairn {

std::string_view TierName(TierKind tier) {
  switch (tier) {
    case TierKind::kNone: return "none";
    case TierKind::kHost: return "host";
    case TierKind::kSsd: return "ssd";
    case TierKind::kGpu: return "gpu";
  }
  return "unknown";
}

std::string_view EvictReasonName(EvictReason reason) {
  switch (reason) {
    case EvictReason::kCapacity: return "capacity";
    case EvictReason::kOrphanKv: return "orphan_kv";
    case EvictReason::kFragmented: return "fragmented";
    case EvictReason::kOperator: return "operator";
    case EvictReason::kCorrupt: return "corrupt";
    case EvictReason::kColdSegment: return "ssd_segment";
  }
  return "unknown";
}

}  // namespace cairn
