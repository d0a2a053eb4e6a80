#include "libcache/sim/strategy.h"

#include <algorithm>
#include <array>

#include "libcache/published/published_strategies.h"

namespace cairn::sim {
namespace {

class PlannerStrategy final : public Strategy {
 public:
  explicit PlannerStrategy(std::unique_ptr<Planner> planner) : planner_(std::move(planner)) {}
  std::vector<std::uint32_t> Plan(const PlanInput& input) override { return planner_->Plan(input); }

 private:
  std::unique_ptr<Planner> planner_;
};

/// The published placements, in a cache that they were not made for: only positions beyond the
/// resumed boundary can be had, and the histogram counts what was seen, not what is left of it.
class HistogramStrategy final : public Strategy {
 public:
  explicit HistogramStrategy(PublishedStrategy strategy) : strategy_(std::move(strategy)) {}
  std::vector<std::uint32_t> Plan(const PlanInput& input) override {
    strategy_.Observe(input.overlap_tokens);
    auto positions = strategy_.Positions(input.prompt_tokens);
    if (!positions) {
      return {};  // A prompt longer than any histogram: nothing is known of it.
    }
    std::erase_if(*positions,
                  [&input](std::uint32_t position) { return position <= input.resume_tokens; });
    return *std::move(positions);
  }

 private:
  PublishedStrategy strategy_;
};

struct Entry {
  std::string_view name;
  std::string_view meaning;
};
constexpr std::array kEntries = {
    Entry{"none", "no checkpoints at all"},
    Entry{"turn_end", "the end of every prompt"},
    Entry{"turn_end_demand", "the end, and where a request diverges: the best engines today"},
    Entry{"branch_end", "the same two places"},
    Entry{"branch_backoff:<m>", "divergence, end, 64, 128, 256, ... tokens before it: m in all"},
    Entry{"block:<k>", "every k tokens"},
    Entry{"dense", "every block"},
    Entry{"balanced:<m>", "m at even distances over the prompt"},
    Entry{"sqrt", "multiples of the square root of the prompt's length"},
    Entry{"log", "powers of two from 1,024 on"},
    Entry{"hist_exp_decay:<m>", "the published dynamic program on one decayed depth histogram"},
    Entry{"trie", "learned: places, distances back and reuse, at one price per byte"},
    Entry{"oracle", "knows the trace's future: an upper bound"},
};

/// Deeper overlaps count as this deep: the longest prompt of the public traces.
constexpr std::uint32_t kHistogramTokens = 1U << 20U;

}  // namespace

std::vector<std::string> StrategyNames() {
  std::vector<std::string> names;
  for (const Entry& entry : kEntries) {
    names.emplace_back(entry.name);
  }
  return names;
}

std::string_view StrategyMeaning(std::string_view name) {
  for (const Entry& entry : kEntries) {
    if (entry.name == name) {
      return entry.meaning;
    }
  }
  return {};
}

Result<std::unique_ptr<Strategy>> MakeStrategy(std::string_view name, std::uint32_t block_tokens) {
  if (auto planner = MakePlanner(name)) {
    return std::make_unique<PlannerStrategy>(std::move(*planner));
  }
  PublishedStrategy::Options options{.grid_tokens = block_tokens};
  options.histogram.max_tokens = kHistogramTokens;
  options.histogram.bin_tokens = std::max(block_tokens, options.histogram.bin_tokens);
  // As good as that method gets: the optimum for each prompt's own length, from the first requests
  // on, where its published runs have neither.
  options.histogram.adaptive_backtrack = true;
  options.histogram.cold_start = true;
  if (auto published = PublishedStrategy::Create(name, options)) {
    return std::make_unique<HistogramStrategy>(std::move(*published));
  }
  std::string names;
  for (const std::string& known : StrategyNames()) {
    names += (names.empty() ? "" : ", ") + known;
  }
  return Fail(ErrorCode::kInvalidArgument,
              "strategy '" + std::string(name) + "': must be one of " + names);
}

}  // namespace cairn::sim
