#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/published/byte_placement.h"
#include "libcache/published/run.h"

namespace cairn {

/// The published sizes: three recurrent layers and one attention layer of Qwen3.5-0.8B in fp16.
inline constexpr BoundaryBytes kPublishedBytes = {.per_checkpoint = 1'609'728, .per_token = 2'048};

/// What a placement decides for one request: checkpoints, ascending, and up to where KV is kept.
struct StoredPlan {
  std::vector<std::uint32_t> positions;
  std::uint32_t kv_tokens = 0;
};

/// What happened in the cache between two requests' plans.
struct CacheFlow {
  double inserted_bytes = 0;    ///< Growth of entries included.
  double displaced_saving = 0;  ///< Tokens a hit on what was evicted would have saved.
};

/// Chooses what a request leaves in a cache of so many bytes. Called once for each request, in
/// order, so that it may learn. A request's divergence may be looked at once its group was seen
/// before: then it is what the request was observed to share.
///
/// This is the model of the figures we compare with: all requests of a group leave it at one depth,
/// the shortest overlap of any two in the run. Real ones leave it there or some tokens later, so
/// that an early request may suggest the grid position after the one that later requests need.
/// Placements that learn from observed overlaps save up to 0.015 less of the QuALITY run's tokens
/// if each observation is taken to be as deep as it can have been.
class BytePlacement {
 public:
  virtual ~BytePlacement() = default;
  struct Context {
    bool seen = false;        ///< An earlier request was of this group, still cached or not.
    std::uint32_t found = 0;  ///< Overlap with what is cached; 0 for a miss.
  };
  /// Errors: those of the placement.
  virtual Result<StoredPlan> Plan(const PublishedRequest& request, const Context& context) = 0;
  /// What storing the plan did; the next call is Plan of the next request.
  virtual void Stored(const CacheFlow& flow) { static_cast<void>(flow); }
  /// Whether a request must keep its last token to itself: an engine needs one to compute.
  [[nodiscard]] virtual bool LeavesOneToken() const { return false; }
};

enum class ByteCacheKind {
  kFifo,   ///< Every request is an entry of its own; the oldest goes first.
  kDedup,  ///< A group's prefix is stored once, as its latest request planned; least recently used.
};

/// Share of the tokens of the measured requests that `placement` saves, from a cold start, within
/// `capacity_bytes`. What is larger than the capacity is not stored. O(requests * entries).
/// Errors: those of the placement.
Result<double> SavedShare(const PublishedRun& run, ByteCacheKind kind, double capacity_bytes,
                          BytePlacement& placement);

}  // namespace cairn
