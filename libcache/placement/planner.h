#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

/// No plan is longer. An answer to a request of any length stays small; planners that would emit
/// more keep the deepest.
inline constexpr std::size_t kMaxPlan = 4096;

/// What a planner may look at for one request. Token counts from the prompt's start.
struct PlanInput {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t overlap_tokens = 0;  ///< Whole-block prefix seen before, resident or not.
  std::uint32_t resume_tokens = 0;   ///< Deepest restorable boundary; 0 if none.
  std::uint32_t grid_tokens = 1;     ///< Positions must be multiples of this.
  std::uint32_t block_tokens = 1;
};

/// Answers one question: at which positions beyond the resumed boundary should this request emit
/// checkpoints? Pure and deterministic: same input, same plan. Thread-safe.
class Planner {
 public:
  virtual ~Planner() = default;
  [[nodiscard]] virtual std::string_view Name() const = 0;
  /// Ascending, without repeats, each a multiple of the grid, in (resume_tokens, prompt_tokens].
  [[nodiscard]] virtual std::vector<std::uint32_t> Plan(const PlanInput& input) const = 0;
};

/// By name: "none", "turn_end" (the end of the prompt), "turn_end_demand" (the end, and the place
/// where the request diverged from what was seen before), "block:<k>" (every k tokens, rounded down
/// to the grid), "dense" (every grid position that ends a block), "branch_end" (as
/// turn_end_demand), "branch_backoff:<m>" (the place of divergence, the end, 64, 128, 256, ...
/// tokens before it, m in all). Errors: kInvalidArgument, lists the names.
Result<std::unique_ptr<Planner>> MakePlanner(std::string_view name);

}  // namespace cairn
