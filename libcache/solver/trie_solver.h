#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/solver/trie_instance.h"

namespace cairn {

/// What to keep, and what it costs.
struct TriePlan {
  double objective = 0;     ///< recompute + price * bytes.
  double recompute = 0;     ///< What the requests pay per unit of time.
  std::uint64_t bytes = 0;  ///< Of the checkpoints and, in the joint form, of the KV kept.
  std::vector<std::uint32_t> checkpoints;  ///< Ascending; never the root.
  std::vector<std::uint32_t> kept_kv;      ///< Ascending; joint form only; never the root.
};

/// Answers two questions exactly, for a whole trie at one price per byte: which checkpoints to
/// keep, and (joint) which checkpoints with the KV that they need. docs/placement.md has the proof.
///
/// SolveTrie minimises
///   sum of weight * (potential - best offer on the root path) + price * checkpoint bytes.
/// SolveJoint also pays for the KV of every segment on the root paths of the checkpoints. With
/// checkpoint_bytes 0 that is the plain attention case: which prefixes to keep at all.
///
/// The objective is that of the plan returned, summed up anew. Decisions are made at a price 2^-40
/// higher. So of plans that cost the same the one with the fewest bytes is returned, whatever was
/// rounded on the way, and the objective may be above the least by one part in 10^12. What costs no
/// bytes at all is kept only where it lowers the cost. Same input, same plan.
///
/// Children of the root do not know of each other: at one price, a trie may be solved as a forest,
/// each child of the root with its subtree as an instance of its own (under a root of the same
/// potential), in any order or only where something changed. Objectives, bytes and plans add up.
///
/// O(n log n) time; with offers that fall along a path, the nodes where they fall each add the
/// number of breakpoints below them. At most 72 bytes per node besides input and answer, 128 joint.
/// An instance keeps its memory for the next call, so that many small tries cost no allocation; it
/// is not thread-safe, two instances do not know of each other.
///
/// Errors: those of Validate and ValidatePrice. An empty trie costs nothing and keeps nothing.
class TrieSolver {
 public:
  TrieSolver();
  ~TrieSolver();
  TrieSolver(TrieSolver&&) noexcept;
  TrieSolver& operator=(TrieSolver&&) noexcept;

  Result<TriePlan> SolveTrie(const TrieInstance& trie, double price_per_byte);
  Result<TriePlan> SolveJoint(const TrieInstance& trie, double price_per_byte);

  /// What this instance holds on to.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// The same with a solver of their own.
Result<TriePlan> SolveTrie(const TrieInstance& trie, double price_per_byte);
Result<TriePlan> SolveJoint(const TrieInstance& trie, double price_per_byte);

}  // namespace cairn
