#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "libcache/solver/breakpoint_sets.h"
#include "libcache/solver/trie_instance.h"
#include "libcache/solver/trie_solver.h"

namespace cairn::internal {

/// One pass from the leaves to the root that finds for each node below which offer x from above a
/// checkpoint there pays (and, joint, anything below it is kept), and one pass back that decides.
/// Behind TrieSolver and the searches for a price; does not validate. Not thread-safe. A node
/// without mass and with one child hands its child's set on: O(1), so such nodes need not be
/// removed first.
///
/// Of the cost F_v(x) of v's subtree only shapes are kept, never values, so that no small number is
/// the difference of two large ones: with m(x) = -F_v'(x), the mass of requests that would gain if
/// more were offered from above,
///   fall    the integral of m over [0, reach], i.e. F_v(0) - F_v(reach)
///   left    m at 0, and right: m at reach
///   set     where m grows, and by how much
/// and, joint, with q(x) = (mass of the subtree) - m(x):
///   served  q at reach
///   saving  Z_v(reach) - F_v(reach): what keeping anything saves if reach is offered from above
template <bool Joint>
class TrieSweep {
 public:
  /// REQUIRES: both are valid.
  TriePlan Solve(const TrieInstance& trie, double price_per_byte);

  [[nodiscard]] std::size_t memory_bytes() const {
    return nodes_.capacity() * sizeof(Node) + sets_.memory_bytes();
  }
  /// Breakpoints that the last Solve made; the slots of others were not touched.
  [[nodiscard]] std::size_t breakpoints() const { return sets_.Inserted(); }

 private:
  using Set = BreakpointSets::Set;
  using End = BreakpointSets::End;

  struct StatesNode {
    double fall = 0;   // After its own turn: a checkpoint pays where less than this is offered.
    double left = 0;   // After its own turn, joint: anything is kept where less is offered.
    double right = 0;  // In the way down: 1 if chosen.
    double reach = 0;  // The most that the node or one above could offer; on the way down: what is.
    Set set;
  };
  struct JointNode : StatesNode {
    double served = 0;
    double saving = 0;
    double total = 0;  // Mass of the subtree; on the way down: 1 if its KV is kept.
  };
  using Node = std::conditional_t<Joint, JointNode, StatesNode>;
  static_assert(sizeof(StatesNode) == 40 && sizeof(JointNode) == 64);

  static constexpr double kAlways = std::numeric_limits<double>::infinity();

  void Prepare(const TrieInstance& trie);
  void FoldIntoParent(const TrieInstance& trie, std::size_t v, double decision_price);
  double Shrink(Node& node, double reach);
  double CutLeft(Node& node, double reach, double fall_to_offer, double rise, double price);
  double CutRight(Node& node, double reach, double kv_price);
  void DropAll(Node& node, double reach);
  void Serve(Node& node, double rise, double price);
  TriePlan Decide(const TrieInstance& trie, double price_per_byte);
  void CollectKv(const TrieInstance& trie, TriePlan& plan);

  std::vector<Node> nodes_;
  BreakpointSets sets_;
};

extern template class TrieSweep<false>;
extern template class TrieSweep<true>;

}  // namespace cairn::internal
