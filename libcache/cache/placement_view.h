#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "libcache/base/key.h"
#include "libcache/placement/learned_placement.h"

namespace cairn {

// What can be seen of the learned placement from outside, and what of it is written down.

/// A checkpoint of a path, kept or not.
struct CheckpointView {
  std::uint32_t position = 0;
  double uses_per_s = 0;        ///< Expected to resume from it.
  double saved_s = 0;           ///< Prefill that a use saves, over the next one above.
  double bytes = 0;             ///< Its state, and the KV that only it needs.
  double value_per_byte_s = 0;  ///< uses_per_s x saved_s / bytes; compare with the price.
};

/// A place of the trie: the end of a prompt, or where prompts parted.
struct PlaceView {
  PrefixKey key;  ///< Zero where the prefix is no longer known.
  std::uint32_t position = 0;
  SiteKind kind = SiteKind::kTip;
  std::uint32_t name_space = 0;
  std::uint32_t uses = 0;
  double mass = 0;        ///< Uses, decayed with a half-life of an hour.
  double uses_per_s = 0;  ///< Expected, at the best time it could be held.
  double idle_s = 0;      ///< Since its last use.
  std::uint32_t children = 0;
};

struct PathPlacement {
  std::vector<PlaceView> places;     ///< Shallow to deep, the root left out.
  std::vector<CheckpointView> kept;  ///< In host memory, shallow to deep.
  /// The one that would save most per byte of those that are not kept; none for models without
  /// checkpoints.
  std::optional<CheckpointView> next;
  double price_per_byte_s = 0;  ///< What memory is worth now; 0 while there is room.
};

struct PlacementSummary {
  std::uint32_t places = 0;
  std::uint32_t most_places = 0;
  std::uint64_t waiting_places = 0;  ///< Of before a restart, not seen since.
  std::uint32_t checkpoints = 0;     ///< Valued by the place they lie at.
  std::uint64_t plain = 0;           ///< Other boundaries in host memory.
  std::uint64_t memory_bytes = 0;
  double price_per_byte_s = 0;
  // What an engine of today (turn_end_demand, lru) would have done with as much memory and SSD.
  std::uint64_t engine_written_bytes = 0;
  std::uint64_t engine_served_tokens = 0;
  double planned_bytes = 0;
  std::vector<PlaceView> top;  ///< By mass.
};

/// What is learned of no place in particular.
struct PlacementModels {
  std::vector<double> reuse;
  std::vector<double> distance;
};

/// One place, in terms that mean the same elsewhere.
struct PlaceRecord {
  PrefixKey key;
  PrefixKey above;  ///< The place above; the namespace's seed for the first.
  std::uint32_t position = 0;
  LearnedPlacement::Remembered what;
};

}  // namespace cairn
