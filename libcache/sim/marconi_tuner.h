#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "libcache/sim/prefix_tree.h"
#include "libcache/sim/simulator.h"

namespace cairn::sim {

/// Finds the alpha of Marconi's eviction as its paper does: starts with 0, which is recency alone;
/// when five times the requests have passed that came before the first eviction, replays them all
/// with 0, 0.1, ... 2 and takes the one that served most tokens, of equals the least. Once.
class MarconiTuner {
 public:
  explicit MarconiTuner(const Options& options);

  /// After each request: where it ended in the tree, and whether anything was evicted so far.
  /// Returns the alpha when it is found.
  std::optional<double> Add(const TraceRequest& request, const PrefixTree& tree, NodeId end,
                            bool evicted);

 private:
  static constexpr std::uint64_t kWindows = 5;
  static constexpr int kSteps = 20;  // Of a tenth.

  struct Record {
    NodeId end = 0;  // Keeps its place when nodes are split.
    std::uint32_t input_tokens = 0;
    std::uint32_t output_tokens = 0;
    double arrival_s = 0;
  };

  [[nodiscard]] double Best(const PrefixTree& tree) const;

  Options options_;
  std::vector<Record> records_;
  std::uint64_t before_eviction_ = 0;  // 0: none so far.
  bool done_ = false;
};

}  // namespace cairn::sim
