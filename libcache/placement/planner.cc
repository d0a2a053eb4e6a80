#include "libcache/placement/planner.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

namespace cairn {
namespace {

/// The deepest grid position at or before `tokens`.
std::uint32_t FloorToGrid(std::uint32_t tokens, std::uint32_t grid) { return tokens / grid * grid; }

/// A grid of 0 is what an engine without one sends; every position will do.
std::uint32_t Grid(const PlanInput& input) { return std::max(input.grid_tokens, 1U); }

class NonePlanner final : public Planner {
 public:
  [[nodiscard]] std::string_view Name() const override { return "none"; }
  [[nodiscard]] std::vector<std::uint32_t> Plan(const PlanInput&) const override { return {}; }
};

/// The end of the prompt, where the next turn of a conversation will fork from, and with demand
/// also the place where the request left what was seen before: others leave it there too.
class TurnEndPlanner final : public Planner {
 public:
  explicit TurnEndPlanner(bool demand) : demand_(demand) {}
  [[nodiscard]] std::string_view Name() const override {
    return demand_ ? "turn_end_demand" : "turn_end";
  }
  [[nodiscard]] std::vector<std::uint32_t> Plan(const PlanInput& input) const override {
    const std::uint32_t end = FloorToGrid(input.prompt_tokens, Grid(input));
    const std::uint32_t divergence = FloorToGrid(input.overlap_tokens, Grid(input));
    std::vector<std::uint32_t> plan;
    if (demand_ && divergence > input.resume_tokens && divergence < end) {
      plan.push_back(divergence);
    }
    if (end > input.resume_tokens) {
      plan.push_back(end);
    }
    return plan;
  }

 private:
  bool demand_;
};

/// The multiples of `step`, each rounded down to the grid, of which those in (resume, prompt] are
/// the plan. The set does not depend on the prompt's length: requests that share a prefix agree.
/// Of more than kMaxPlan positions the deepest stay.
std::vector<std::uint32_t> EvenPlan(const PlanInput& input, std::uint64_t step) {
  const std::uint64_t grid = Grid(input);
  // Steps shorter than the grid reach every grid position, as a step of the grid does.
  step = std::max(step, grid);
  const std::uint64_t beyond = FloorToGrid(input.prompt_tokens, Grid(input)) + grid;
  std::vector<std::uint32_t> plan;
  for (std::uint64_t i = (beyond - 1) / step; i > 0 && plan.size() < kMaxPlan; --i) {
    const std::uint64_t position = i * step / grid * grid;
    if (position <= input.resume_tokens) {
      break;
    }
    plan.push_back(static_cast<std::uint32_t>(position));
  }
  std::reverse(plan.begin(), plan.end());
  return plan;
}

class BlockPlanner final : public Planner {
 public:
  explicit BlockPlanner(std::uint32_t step) : step_(step), name_("block:" + std::to_string(step)) {}
  [[nodiscard]] std::string_view Name() const override { return name_; }
  [[nodiscard]] std::vector<std::uint32_t> Plan(const PlanInput& input) const override {
    return EvenPlan(input, step_);
  }

 private:
  std::uint32_t step_;
  std::string name_;
};

class DensePlanner final : public Planner {
 public:
  [[nodiscard]] std::string_view Name() const override { return "dense"; }
  [[nodiscard]] std::vector<std::uint32_t> Plan(const PlanInput& input) const override {
    const std::uint64_t block = std::max(input.block_tokens, 1U);
    return EvenPlan(input, std::lcm(std::uint64_t{Grid(input)}, block));
  }
};

/// The place where the request left what was seen before, the prompt's end, and then 64, 128, 256,
/// ... tokens before the end, until there are `most`: questions on a document part a little before
/// the end of the one before.
class BranchBackoffPlanner final : public Planner {
 public:
  BranchBackoffPlanner(std::uint32_t most, std::uint32_t steps_back, std::string name)
      : most_(most), steps_back_(steps_back), name_(std::move(name)) {}
  [[nodiscard]] std::string_view Name() const override { return name_; }
  [[nodiscard]] std::vector<std::uint32_t> Plan(const PlanInput& input) const override {
    std::vector<std::uint32_t> plan;
    const auto add = [&](std::uint32_t tokens) {
      const std::uint32_t position = FloorToGrid(tokens, Grid(input));
      if (position > input.resume_tokens && plan.size() < most_ &&
          std::find(plan.begin(), plan.end(), position) == plan.end()) {
        plan.push_back(position);
      }
    };
    add(std::min(input.overlap_tokens, input.prompt_tokens));
    add(input.prompt_tokens);
    const std::uint64_t end = FloorToGrid(input.prompt_tokens, Grid(input));
    std::uint64_t back = kFirstBackoff;
    for (std::uint32_t i = 0; i < steps_back_ && back < end && plan.size() < most_; ++i) {
      add(static_cast<std::uint32_t>(end - back));
      back *= 2;
    }
    std::sort(plan.begin(), plan.end());
    return plan;
  }

 private:
  static constexpr std::uint64_t kFirstBackoff = 64;
  std::uint32_t most_;
  std::uint32_t steps_back_;
  std::string name_;
};

std::optional<std::uint32_t> ParseStep(std::string_view text) {
  std::uint32_t step = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size() || step == 0) {
    return std::nullopt;
  }
  return step;
}

}  // namespace

Result<std::unique_ptr<Planner>> MakePlanner(std::string_view name) {
  constexpr std::string_view kBlock = "block:";
  if (name == "none") {
    return std::make_unique<NonePlanner>();
  }
  if (name == "turn_end" || name == "turn_end_demand") {
    return std::make_unique<TurnEndPlanner>(name == "turn_end_demand");
  }
  if (name == "dense") {
    return std::make_unique<DensePlanner>();
  }
  if (name == "branch_end") {
    return std::make_unique<BranchBackoffPlanner>(2, 0, "branch_end");
  }
  constexpr std::string_view kBackoff = "branch_backoff:";
  if (name.starts_with(kBackoff)) {
    const auto most = ParseStep(name.substr(kBackoff.size()));
    if (most && *most <= kMaxPlan) {
      return std::make_unique<BranchBackoffPlanner>(*most, *most, std::string(name));
    }
  }
  if (name.starts_with(kBlock)) {
    if (const auto step = ParseStep(name.substr(kBlock.size()))) {
      return std::make_unique<BlockPlanner>(*step);
    }
  }
  return Fail(
      ErrorCode::kInvalidArgument,
      "planner '" + std::string(name) +
          "': must be none, turn_end, turn_end_demand, branch_end, branch_backoff:<positions>, "
          "block:<tokens> or dense");
}

}  // namespace cairn
