#include "libcache/sim/strategy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "libcache/published/published_strategies.h"
#include "libcache/sim/two_sided.h"

namespace cairn::sim {
namespace {

class PlannerStrategy final : public Strategy {
 public:
  explicit PlannerStrategy(std::unique_ptr<Planner> planner) : planner_(std::move(planner)) {}
  std::vector<std::uint32_t> Plan(const StrategyInput& input) override {
    return planner_->Plan(input.prompt);
  }

 private:
  std::unique_ptr<Planner> planner_;
};

std::vector<std::uint32_t> Beyond(std::vector<std::uint32_t> positions, std::uint32_t resume) {
  std::erase_if(positions, [resume](std::uint32_t position) { return position <= resume; });
  return positions;
}

/// The published placements, in a cache that they were not made for: only positions beyond the
/// resumed boundary can be had, and the histogram counts what was seen, not what is left of it.
class HistogramStrategy final : public Strategy {
 public:
  explicit HistogramStrategy(PublishedStrategy strategy) : strategy_(std::move(strategy)) {}
  std::vector<std::uint32_t> Plan(const StrategyInput& input) override {
    strategy_.Observe(input.prompt.overlap_tokens);
    auto positions = strategy_.Positions(input.prompt.prompt_tokens);
    if (!positions) {
      return {};  // A prompt longer than any histogram: nothing is known of it.
    }
    return Beyond(*std::move(positions), input.prompt.resume_tokens);
  }

 private:
  PublishedStrategy strategy_;
};

class TwoSidedStrategy final : public Strategy {
 public:
  TwoSidedStrategy(std::uint32_t most, std::uint32_t block_tokens)
      : placement_(most), block_tokens_(block_tokens) {}
  std::vector<std::uint32_t> Plan(const StrategyInput& input) override {
    if (input.prompt.overlap_tokens > 0) {
      placement_.Observe(input.prompt.overlap_tokens / block_tokens_,
                         input.stored_tokens / block_tokens_);
    }
    auto positions = placement_.Positions(input.prompt.prompt_tokens / block_tokens_);
    for (std::uint32_t& position : positions) {
      position *= block_tokens_;
    }
    return Beyond(std::move(positions), input.prompt.resume_tokens);
  }

 private:
  TwoSidedPlacement placement_;
  std::uint32_t block_tokens_;
};

/// The admission of Marconi: a prompt is put into the tree before it is computed, and gets a state
/// where it branches off what is there, and one at its end. What was evicted counts as never seen.
class MarconiStrategy final : public Strategy {
 public:
  std::vector<std::uint32_t> Plan(const StrategyInput& input) override {
    const std::uint32_t grid = input.prompt.grid_tokens;
    const std::uint32_t branch = input.resident_tokens / grid * grid;
    const std::uint32_t end = input.prompt.prompt_tokens / grid * grid;
    std::vector<std::uint32_t> positions;
    if (branch < end) {
      positions.push_back(branch);
    }
    positions.push_back(end);
    return Beyond(std::move(positions), input.prompt.resume_tokens);
  }
};

std::optional<std::uint32_t> ParseCount(std::string_view text, std::uint32_t most) {
  std::uint32_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count == 0 || count > most) {
    return std::nullopt;
  }
  return count;
}

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
    Entry{"two_sided:<m>", "the same program on two histograms: depth, and distance back"},
    Entry{"marconi", "the end, and where a prompt branches off what is resident"},
    Entry{"trie", "learned: places, distances back and reuse, at one price per byte"},
    Entry{"oracle", "knows the trace's future: an upper bound"},
};

/// Deeper overlaps count as this deep: the longest prompt of the public traces.
constexpr std::uint32_t kHistogramTokens = 1U << 20U;
/// More than that its program has no use for: it looks at the last thousand overlaps.
constexpr std::uint32_t kMaxTwoSided = 1024;

}  // namespace

std::vector<std::string> StrategyNames() {
  std::vector<std::string> names;
  names.reserve(std::size(kEntries));
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
  if (name == "marconi") {
    return std::make_unique<MarconiStrategy>();
  }
  constexpr std::string_view kTwoSided = "two_sided:";
  if (name.starts_with(kTwoSided)) {
    if (const auto most = ParseCount(name.substr(kTwoSided.size()), kMaxTwoSided)) {
      return std::make_unique<TwoSidedStrategy>(*most, block_tokens);
    }
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
