#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "libcache/cluster/routing.h"
#include "libcache/sim/simulator.h"

namespace cairn::sim {

/// Several daemons instead of one, each with its own cache and its own planner.
struct ClusterOptions {
  std::uint32_t daemons = 1;
  RoutingRule rule = {};
  /// As in a live cluster, where the planner of the candidate that was not taken hears of the
  /// request all the same.
  bool overhear = true;
  /// That take the requests in turn, each with an Affinity of its own. Conversations that stay with
  /// one engine, as routers of engines see to, are better off than that.
  std::uint32_t engines = 1;
  /// Off: both candidates are asked for each request.
  bool affinity = true;
};

struct ClusterReport {
  Report sum;  ///< Positions and prices stay empty; overlap is of each by itself.
  std::vector<Report> daemons;
  std::vector<std::uint64_t> used_bytes;  ///< Of each at the end.
  /// How requests found their daemon, where there are two candidates.
  struct Asked {
    std::uint64_t one = 0;
    std::uint64_t both = 0;
    std::uint64_t in_turn = 0;  ///< One, and the other since its answer did not settle it.
  };
  Asked asked;
};

/// Routes each request to one of several simulators by the code that engines route with.
class ClusterSimulator {
 public:
  /// `options.capacity_bytes` is of all together; each gets its share. Errors: those of
  /// Simulator::Create; kInvalidArgument without a daemon or an engine, and for tiers.
  static Result<std::unique_ptr<ClusterSimulator>> Create(const Options& options,
                                                          const ClusterOptions& cluster);
  virtual ~ClusterSimulator() = default;
  /// `request` in order of arrival.
  virtual void Add(const TraceRequest& request) = 0;
  [[nodiscard]] virtual ClusterReport Finish() = 0;
};

}  // namespace cairn::sim
