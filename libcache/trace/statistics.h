#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "libcache/trace/trace.h"

namespace cairn {

/// Of a sorted list of n values the element at min(n - 1, floor(q n)): no value is made up.
struct Quantiles {
  double p10 = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double max = 0;
};

/// What an infinite cache of prompts would serve of a trace, and where the overlaps end. The
/// overlap L of a request is the longest prefix it shares with any earlier prompt, in whole
/// segments; it counts as an overlap from kMinOverlapTokens on. The stored prompt is the latest
/// earlier one of greatest overlap. Tenants are not kept apart: ids already are.
struct TraceStatistics {
  static constexpr std::uint32_t kMinOverlapTokens = 64;
  static constexpr std::array<std::uint32_t, 4> kBlockSizes = {64, 256, 512, 1024};

  std::uint64_t requests = 0;
  double span_s = 0;
  std::uint64_t input_tokens = 0;
  std::uint64_t output_tokens = 0;
  double input_mean = 0;
  double output_mean = 0;
  Quantiles input;

  /// Sum of all overlaps over all input tokens, at the resolution of the trace and in whole blocks.
  double hit_share = 0;
  std::array<double, kBlockSizes.size()> hit_share_at{};  ///< By kBlockSizes.

  std::uint64_t overlaps = 0;
  double overlap_share = 0;  ///< Of the requests.
  Quantiles overlap_tokens;
  Quantiles distance_back_tokens;     ///< From the end of the stored prompt back to L.
  Quantiles reuse_distance_requests;  ///< To the stored prompt.
  Quantiles reuse_distance_s;
  /// Shares of the overlaps that end at the stored prompt's end, up to 64 and 512 tokens before it,
  /// where an earlier overlap ended, and at none of these: over 64 tokens before the end and new.
  double ends_exactly_share = 0;
  double ends_within_64_share = 0;
  double ends_within_512_share = 0;
  double seen_site_share = 0;
  double novel_site_share = 0;
};

/// Several lines for people: one figure each, shares in percent.
std::string FormatStatistics(const TraceStatistics& statistics);

/// Collects the statistics of a trace request by request, in a trie of segments: 40 bytes per
/// different segment. Not thread-safe.
class StatisticsBuilder {
 public:
  StatisticsBuilder();
  void Add(const TraceRequest& request);
  [[nodiscard]] TraceStatistics Finish() const;

 private:
  using NodeIndex = std::uint32_t;
  struct Node {
    TraceSegment child;  ///< The first child; the others are in branches_.
    NodeIndex child_node = 0;
    std::uint32_t last_request = 0;  ///< The latest whose prompt goes through here.
    bool overlap_ended = false;
  };
  struct Branch {
    NodeIndex parent = 0;
    TraceSegment segment;
    bool operator==(const Branch&) const = default;
  };
  struct BranchHash {
    std::size_t operator()(const Branch& branch) const;
  };

  /// The child of `parent` on `segment`, or 0: the root is nobody's child.
  [[nodiscard]] NodeIndex Child(NodeIndex parent, const TraceSegment& segment) const;
  NodeIndex AddChild(NodeIndex parent, const TraceSegment& segment);
  void CountOverlap(NodeIndex end, std::uint32_t overlap);

  std::vector<Node> nodes_;  ///< nodes_[0] is the root.
  std::unordered_map<Branch, NodeIndex, BranchHash> branches_;
  std::vector<double> arrival_s_;
  std::vector<std::uint32_t> path_tokens_;  ///< By request: what its segments cover.

  std::vector<double> input_;
  std::vector<double> overlap_tokens_;
  std::vector<double> distance_back_;
  std::vector<double> reuse_requests_;
  std::vector<double> reuse_s_;
  std::uint64_t output_tokens_ = 0;
  std::uint64_t hit_tokens_ = 0;
  std::array<std::uint64_t, TraceStatistics::kBlockSizes.size()> hit_tokens_at_{};
  std::uint64_t seen_sites_ = 0;
  std::uint64_t novel_sites_ = 0;
};

/// Reads the rest of `reader`. Errors: those of TraceReader::Next.
Result<TraceStatistics> CollectStatistics(TraceReader& reader);

}  // namespace cairn
