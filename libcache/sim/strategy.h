#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/placement/planner.h"

namespace cairn::sim {

/// Strategies by name: those that need no history are planners of the daemon too; "marconi" and
/// "hist_exp_decay:<m>" have a memory; "trie" is the learned placement and "oracle" knows the
/// future, so neither comes from here.
class Strategy {
 public:
  virtual ~Strategy() = default;
  /// Positions in tokens, as Planner::Plan gives them. Called once per request, in order.
  virtual std::vector<std::uint32_t> Plan(const PlanInput& input) = 0;
};

/// Errors: kInvalidArgument, lists the names.
Result<std::unique_ptr<Strategy>> MakeStrategy(std::string_view name);

/// All names, with <m> and <k> for numbers.
std::vector<std::string> StrategyNames();

}  // namespace cairn::sim
