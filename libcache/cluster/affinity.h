#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "libcache/base/key.h"

namespace cairn {

/// Answers one question: which daemon has what this engine stored of a prompt? A hint, never more:
/// what is remembered may have been evicted since, and others may have stored more elsewhere, so
/// the answer of the daemon decides (Suffices in routing.h).
///
/// A table of fixed size in which each key has one slot: the newest entry of a slot is the one that
/// stays, and what it displaced is asked for in the ordinary way. Not thread-safe.
class Affinity {
 public:
  /// `slots` of 16 bytes each, rounded up to a power of two.
  explicit Affinity(std::size_t slots = 8192);

  /// Where the prefix of `blocks` whole blocks (at least 1) with that key is. Members have numbers
  /// that are never given to another.
  void Remember(const PrefixKey& key, std::uint32_t blocks, std::uint32_t member);

  struct Known {
    std::uint32_t blocks = 0;
    std::uint32_t member = 0;
  };
  /// Of the prefixes of a prompt, whose whole blocks have `keys`, the deepest that is remembered.
  /// One look into the table per block beyond it.
  [[nodiscard]] std::optional<Known> Deepest(std::span<const PrefixKey> keys) const;

 private:
  struct Slot {
    std::uint64_t word = 0;    // Of the key. Two prefixes with the same one: the wrong daemon is
                               // asked first, and says so.
    std::uint32_t blocks = 0;  // 0: empty.
    std::uint32_t member = 0;
  };
  std::vector<Slot> slots_;
};

}  // namespace cairn
