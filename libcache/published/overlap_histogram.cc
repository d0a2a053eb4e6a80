#include "libcache/published/overlap_histogram.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "libcache/published/published_strategies.h"

namespace cairn {

OverlapHistogram::OverlapHistogram(const Options& options)
    : options_(options), counts_(std::size_t{options.max_tokens / options.bin_tokens} + 1, 0.0) {}

Result<OverlapHistogram> OverlapHistogram::Create(const Options& options) {
  if (options.bin_tokens == 0) {
    return Fail(ErrorCode::kInvalidArgument, "bin_tokens must be at least 1");
  }
  if (options.replan_interval == 0) {
    return Fail(ErrorCode::kInvalidArgument, "replan_interval must be at least 1");
  }
  if (!(options.gamma > 0 && options.gamma <= 1)) {
    return Fail(ErrorCode::kInvalidArgument, "gamma must be above 0 and at most 1");
  }
  const std::size_t bins = options.max_tokens / options.bin_tokens;
  const std::size_t count = std::min<std::size_t>(options.budget, bins);
  if (bins > kMaxChainPoints || (bins > 0 && count > kMaxChainCells / bins)) {
    return Fail(ErrorCode::kInvalidArgument, std::to_string(bins) + " bins with a budget of " +
                                                 std::to_string(options.budget) +
                                                 " are more than a plan may have");
  }
  return OverlapHistogram(options);
}

Status OverlapHistogram::Restore(std::span<const BinCount> counts, std::size_t observed) {
  std::vector<double> restored(counts_.size(), 0.0);
  for (const BinCount& entry : counts) {
    if (entry.bin >= restored.size()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "bin " + std::to_string(entry.bin) + " is beyond the last one");
    }
    if (!std::isfinite(entry.count) || entry.count < 0) {
      return Fail(ErrorCode::kInvalidArgument, "the count of bin " + std::to_string(entry.bin) +
                                                   " must be finite and not below 0");
    }
    restored[entry.bin] = entry.count;
  }
  counts_ = std::move(restored);
  observed_ = observed;
  dirty_ = true;
  return {};
}

void OverlapHistogram::Observe(std::uint32_t overlap_tokens) {
  if (options_.mode == Mode::kExpDecay) {
    for (double& count : counts_) {
      count *= options_.gamma;
    }
  }
  const std::uint32_t depth = std::min(overlap_tokens, options_.max_tokens);
  counts_[depth / options_.bin_tokens] += 1;
  ++observed_;
  dirty_ = true;
}

Status OverlapHistogram::Solve() {
  // Misses, in bin 0, move no checkpoint, but they do make it a histogram of something.
  if (std::none_of(counts_.begin(), counts_.end(), [](double count) { return count > 0; })) {
    return {};
  }
  if (options_.published_rounding &&
      RoundedPlan::Work(counts_.size() - 1, options_.budget) <= RoundedPlan::kMaxWork) {
    plan_ = RoundedPlan(counts_, options_.budget);
    dirty_ = false;
    ++solves_;
    return {};
  }
  // All bins, not only those with weight: the published choice among useless positions is part of
  // what the baseline stores.
  std::vector<RealChainPoint> points;
  points.reserve(counts_.size());
  for (std::uint32_t bin = 1; bin < counts_.size(); ++bin) {
    points.push_back({.position = bin * options_.bin_tokens,
                      .potential = static_cast<double>(bin),
                      .weight = counts_[bin]});
  }
  const auto chain = ToFixedChain(points);
  if (!chain) {
    return Fail(chain.error());
  }
  auto table = ChainTable::Solve(chain->points, options_.budget);
  if (!table) {
    return Fail(table.error());
  }
  plan_ = *std::move(table);
  dirty_ = false;
  ++solves_;
  return {};
}

std::vector<std::uint32_t> OverlapHistogram::Planned(std::uint32_t tokens) const {
  if (const auto* table = std::get_if<ChainTable>(&*plan_)) {
    return table->Positions(options_.budget, tokens);
  }
  auto positions = std::get<RoundedPlan>(*plan_).Bins(tokens / options_.bin_tokens);
  for (std::uint32_t& position : positions) {
    position *= options_.bin_tokens;
  }
  return positions;
}

Result<std::vector<std::uint32_t>> OverlapHistogram::Positions(std::uint32_t prompt_tokens) {
  const bool due = dirty_ && observed_ % options_.replan_interval == 0;
  if (due && (plan_ ? options_.mode != Mode::kFrozen : options_.cold_start)) {
    if (const auto solved = Solve(); !solved) {
      return Fail(solved.error());
    }
  }
  if (!plan_) {
    return BalancedPositions(prompt_tokens, options_.budget);
  }
  if (options_.adaptive_backtrack) {
    return Planned(prompt_tokens);
  }
  auto positions = Planned(options_.max_tokens);
  std::erase_if(positions, [&](std::uint32_t position) { return position > prompt_tokens; });
  return positions;
}

}  // namespace cairn
