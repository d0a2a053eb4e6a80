#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "libcache/base/result.h"

namespace cairn {

/// A trie of live prefixes as flat arrays, the input of trie_solver.h: where would a checkpoint
/// save how much prefill, and what would it cost in bytes? Node 0 is the root, the empty prefix:
/// every request has a checkpoint there for nothing. A view; whoever fills the arrays keeps them
/// alive and unchanged during a call.
///
/// Requests whose overlap ends at v come at rate weight[v] and pay potential[v] - x each, where x
/// is the most that a checkpoint on v's root path, v included, offers. A checkpoint at u offers
/// potential[u] - fetch[u]; the root offers potential[0], and nothing offers less. Offers need not
/// grow along a path: a request takes the best, which need not be the deepest. (In a plan it is:
/// what offers less than a checkpoint above it saves nothing and is never chosen.)
struct TrieInstance {
  std::span<const std::uint32_t> parent;  ///< parent[v] < v; parent[0] is not looked at.
  std::span<const double> potential;      ///< Prefill cost from nothing; above the parent's.
  std::span<const double> weight;         ///< Requests per unit of time; 0 is fine.

  // Each of these may be empty. Entry 0 is not looked at.
  std::span<const std::uint64_t> checkpoint_bytes;  ///< Per node, as models differ. Empty: 1 each.
  std::span<const std::uint64_t> kv_bytes;          ///< Of the segment from the parent. Empty: 0.
  std::span<const std::uint8_t> allowed;            ///< 0: off the grid. Empty: all may be chosen.
  std::span<const double> fetch;                    ///< Cost of loading it. Empty: 0.

  [[nodiscard]] std::size_t Size() const { return parent.size(); }
  [[nodiscard]] bool Allowed(std::size_t v) const { return allowed.empty() || allowed[v] != 0; }
  [[nodiscard]] std::uint64_t CheckpointBytes(std::size_t v) const {
    return checkpoint_bytes.empty() ? 1 : checkpoint_bytes[v];
  }
  [[nodiscard]] std::uint64_t KvBytes(std::size_t v) const {
    return kv_bytes.empty() ? 0 : kv_bytes[v];
  }
  /// What a checkpoint at v would offer above the root's potential; 0 where it is no use.
  [[nodiscard]] double Offer(std::size_t v) const {
    if (v == 0 || !Allowed(v)) {
      return 0;
    }
    const double offer = potential[v] - potential[0] - (fetch.empty() ? 0.0 : fetch[v]);
    return offer > 0 ? offer : 0;
  }
};

/// More nodes than this have no 32-bit number left for what the solver makes of them.
inline constexpr std::size_t kMaxTrieNodes = UINT32_MAX / 2;
/// All bytes of an instance together; above it a double is no longer exact.
inline constexpr std::uint64_t kMaxTrieBytes = std::uint64_t{1} << 53;
/// Sum of the weights times the highest potential; what is computed from it stays finite.
inline constexpr double kMaxTrieCost = 1e300;

/// Whether `trie` is what its fields promise. O(n). An empty trie is valid. Errors:
/// kInvalidArgument, names the field and the index: a field of another length, a parent that does
/// not come first, a weight, potential or fetch cost that is negative, infinite or not a number, a
/// potential not above the parent's, more than kMaxTrieNodes, kMaxTrieBytes or kMaxTrieCost.
Status Validate(const TrieInstance& trie);

/// Errors: kInvalidArgument if `price_per_byte` is negative, infinite or not a number.
Status ValidatePrice(double price_per_byte);

}  // namespace cairn
