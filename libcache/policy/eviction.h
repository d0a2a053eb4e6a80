#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "libcache/base/result.h"

namespace cairn {

/// Dense small integers chosen by the caller (node numbers of the index), reused after Erase.
using UnitId = std::uint32_t;

/// One thing that is evicted as a whole: a boundary, that is its checkpoint and the KV that only
/// it needs.
struct EvictionUnit {
  std::uint64_t key_word = 0;  ///< Hash of its prefix key: frequency memory outlives residency.
  std::uint64_t bytes = 0;
  double saved_tokens = 0;  ///< Prefill tokens a hit on it saves over the next best boundary.
};

/// Answers one question: of the resident units, which is worth least? Not thread-safe; the cache
/// calls it under its lock. Every call is O(log n) or better, but PickVictim is O(k log n) where k
/// units were refused. At most 64 bytes per unit.
class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  [[nodiscard]] virtual std::string_view Name() const = 0;
  /// `id` must not be present.
  virtual void Insert(UnitId id, const EvictionUnit& unit) = 0;
  /// The unit served a request. Unknown ids are ignored.
  virtual void Touch(UnitId id) = 0;
  /// Bytes or value changed (a branch appeared above it, say). Keeps its history.
  virtual void Update(UnitId id, const EvictionUnit& unit) = 0;
  /// Unknown ids are ignored.
  virtual void Erase(UnitId id) = 0;
  /// The least valuable unit that `evictable` accepts, at most `max_refused` refusals deep;
  /// nullopt when there is none. Does not erase it.
  [[nodiscard]] virtual std::optional<UnitId> PickVictim(
      const std::function<bool(UnitId)>& evictable, std::size_t max_refused) = 0;
  /// What losing one byte of the unit costs now, for choosing among neighbours when a contiguous
  /// run must be cleared (Arena::CheapestWindow): times its bytes it is the cost of the unit. Never
  /// negative, comparable within one policy at one moment only; 0 for unknown ids.
  [[nodiscard]] virtual double Worth(UnitId id) const = 0;
  [[nodiscard]] virtual std::size_t Size() const = 0;
};

/// By name: "value" and "gdsf" (frequency x saved prefill / bytes with ageing, as
/// GreedyDual-Size-Frequency), "lru", "lfu" (ties by age), "w_tinylfu" (1 % window, segmented main
/// area, count-min sketch).
/// Errors: kInvalidArgument, lists the names.
Result<std::unique_ptr<EvictionPolicy>> MakeEvictionPolicy(std::string_view name);

}  // namespace cairn
