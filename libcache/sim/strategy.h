#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/placement/planner.h"

namespace cairn::sim {

/// What a strategy may look at. Token counts from the prompt's start.
struct StrategyInput {
  PlanInput prompt;                   ///< What planners of the daemon see.
  std::uint32_t resident_tokens = 0;  ///< Of the overlap, what lies in the cache as KV.
  std::uint32_t stored_tokens = 0;    ///< Whole blocks of the latest prompt with that overlap.
};

/// Where a request emits checkpoints, by name. Those that need no history are planners of the
/// daemon too; "hist_exp_decay:<m>" and "two_sided:<m>" have a memory; "trie" is the learned
/// placement and "oracle" knows the future, so neither is made here.
class Strategy {
 public:
  virtual ~Strategy() = default;
  /// Positions in tokens, as Planner::Plan gives them. Called once per request, in order.
  virtual std::vector<std::uint32_t> Plan(const StrategyInput& input) = 0;
};

/// Errors: kInvalidArgument, lists the names.
Result<std::unique_ptr<Strategy>> MakeStrategy(std::string_view name, std::uint32_t block_tokens);

/// All names, with <m> and <k> for numbers, and what each does.
std::vector<std::string> StrategyNames();
std::string_view StrategyMeaning(std::string_view name);

}  // namespace cairn::sim
