#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace cairn {

/// Which stretches of an address range are free: the allocator of the host arena and of device
/// memory. It knows offsets only and never looks at the memory.
///
/// Sizes are rounded up to classes (docs/decisions/0002-arena.md has the spacing). Small runs fill
/// from the bottom, large ones from the top, best fit, and free neighbours merge at once, so that
/// freeing one state leaves a hole that fits the next.
///
/// Not thread-safe. Take and Give are O(log free runs). What is taken costs nothing here: the
/// caller remembers the length of each run.
class RunAllocator {
 public:
  using ByOffset = std::map<std::uint64_t, std::uint64_t>;  // offset -> bytes
  static constexpr std::uint64_t kTooLarge = std::numeric_limits<std::uint64_t>::max();

  explicit RunAllocator(std::uint64_t capacity_bytes);

  /// What `bytes` take when rounded up to a class, which is a multiple of `granule` (a power of
  /// two up to 256); kTooLarge beyond any capacity.
  static std::uint64_t ClassBytes(std::uint64_t bytes, std::uint64_t granule);

  /// Offset of a run of exactly `class_bytes`, which is not 0; nullopt when none is long enough.
  [[nodiscard]] std::optional<std::uint64_t> Take(std::uint64_t class_bytes);
  /// What Take returned, and its length.
  void Give(std::uint64_t offset, std::uint64_t bytes);

  /// Free runs in address order, never two neighbours.
  [[nodiscard]] const ByOffset& free_runs() const { return free_by_offset_; }
  [[nodiscard]] std::uint64_t capacity_bytes() const { return capacity_bytes_; }
  /// Taken; <= capacity_bytes() always.
  [[nodiscard]] std::uint64_t used_bytes() const { return used_bytes_; }

 private:
  void AddFree(std::uint64_t offset, std::uint64_t bytes);
  void RemoveFree(ByOffset::iterator run);
  ByOffset::iterator FindFree(std::uint64_t class_bytes);

  std::uint64_t capacity_bytes_;
  std::uint64_t used_bytes_ = 0;
  ByOffset free_by_offset_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> free_by_size_;  // (bytes, offset)
  std::set<std::uint64_t> long_free_offsets_;  // Those that a large run might fit into.
};

}  // namespace cairn
