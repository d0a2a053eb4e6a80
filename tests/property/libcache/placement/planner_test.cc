#include "libcache/placement/planner.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

namespace cairn {
namespace {

/// Uniform from the first case on: inRange alone grows its range with the case number, so that the
/// upper choices would hardly ever be drawn.
template <class T>
T Draw(T low, T high) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(low, high));
}

PlanInput AnyInput() {
  return {.prompt_tokens = Draw<std::uint32_t>(0, 6000),
          .overlap_tokens = Draw<std::uint32_t>(0, 6000),
          .resume_tokens = Draw<std::uint32_t>(0, 6000),
          .grid_tokens = Draw<std::uint32_t>(1, 200),
          .block_tokens = Draw<std::uint32_t>(1, 200)};
}

/// By definition, without the cap: every position is tried.
std::vector<std::uint32_t> PlanByDefinition(const std::string& name, std::uint32_t step,
                                            const PlanInput& input) {
  const std::uint32_t grid = input.grid_tokens;
  std::set<std::uint32_t> marked;  // What block:<k> may use, in any prompt.
  for (std::uint32_t multiple = step; multiple < 7000 && name.starts_with("block");
       multiple += step) {
    marked.insert(multiple / grid * grid);
  }
  const auto end = input.prompt_tokens / grid * grid;
  const auto divergence = input.overlap_tokens / grid * grid;
  std::vector<std::uint32_t> plan;
  for (std::uint32_t position = grid; position <= input.prompt_tokens; position += grid) {
    const bool wanted = (name.starts_with("turn_end") && position == end) ||
                        (name == "turn_end_demand" && position == divergence) ||
                        (name == "dense" && position % input.block_tokens == 0) ||
                        marked.contains(position);
    if (wanted && position > input.resume_tokens) {
      plan.push_back(position);
    }
  }
  return plan;
}

RC_GTEST_PROP(PlannerProperty, PlansAreWhatTheirNamesSay, ()) {
  const auto input = AnyInput();
  const auto step = Draw<std::uint32_t>(1, 700);
  for (const std::string& name :
       {std::string("none"), std::string("turn_end"), std::string("turn_end_demand"),
        std::string("dense"), "block:" + std::to_string(step)}) {
    const auto planner = std::move(MakePlanner(name)).value();
    const auto plan = planner->Plan(input);
    RC_ASSERT(planner->Plan(input) == plan);
    auto expected = PlanByDefinition(name, step, input);
    if (expected.size() > kMaxPlan) {
      expected.erase(expected.begin(), expected.end() - static_cast<std::ptrdiff_t>(kMaxPlan));
    }
    RC_ASSERT(plan == expected);
  }
}

RC_GTEST_PROP(PlannerProperty, EveryPlanMayBeEmitted, ()) {
  const auto any = rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint32_t>());
  const PlanInput input = {.prompt_tokens = *any,
                           .overlap_tokens = *any,
                           .resume_tokens = *any,
                           .grid_tokens = *any,
                           .block_tokens = *any};
  const auto step = std::max(1U, *any);
  for (const std::string& name : {std::string("turn_end"), std::string("turn_end_demand"),
                                  std::string("dense"), "block:" + std::to_string(step)}) {
    const auto plan = std::move(MakePlanner(name)).value()->Plan(input);
    RC_ASSERT(plan.size() <= kMaxPlan);
    RC_ASSERT(std::adjacent_find(plan.begin(), plan.end(), std::greater_equal<>()) == plan.end());
    for (const std::uint32_t position : plan) {
      RC_ASSERT(position > input.resume_tokens);
      RC_ASSERT(position <= input.prompt_tokens);
      RC_ASSERT(position % std::max(1U, input.grid_tokens) == 0U);
    }
  }
}

}  // namespace
}  // namespace cairn
