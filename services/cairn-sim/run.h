#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/sim/cluster.h"
#include "libcache/sim/cost.h"
#include "libcache/sim/simulator.h"
#include "services/cairn-sim/html_page.h"
#include "services/terminal/progress.h"

namespace cairn::sim {

/// A file, or a scenario of TraceGenerator.
struct TraceChoice {
  std::string path;
  std::string scenario;
  std::uint32_t requests = 1000;
  std::uint64_t seed = 1;

  /// The path, or "mixed(requests=1000,seed=1)".
  [[nodiscard]] std::string Name() const;
};

/// A run as it was asked for.
struct RunOptions {
  TraceChoice trace;
  std::string model = "qwen3.5-27b";
  CostRequest cost;
  /// Strategy, eviction, block_tokens and learned; the rest follows from what is below.
  Options sim;
  std::string capacity;                    ///< A size, or "unlimited".
  std::vector<std::string> tiers;          ///< Instead: "host=64GB:25GB/s", the fastest first.
  std::uint64_t capacity_checkpoints = 0;  ///< Instead: so many states in all, KV for nothing.
  std::optional<std::uint32_t> context_tokens;
  std::string write_bandwidth;  ///< "25GB/s"; empty: the default.
  std::uint64_t limit = 0;      ///< Requests; 0: all.
  ClusterOptions cluster;       ///< More than one daemon share the capacity.
};

struct Run {
  RunOptions options;
  Options sim;  ///< Complete.
  std::string model_id;
};

struct RunResult {
  Run run;
  Report report;
  double simulated_in_s = 0;  ///< Wall time.
  /// Of each daemon, where there are several; `report` is their sum.
  struct DaemonShare {
    Report report;
    std::uint64_t used_bytes = 0;  ///< At the end.
  };
  std::vector<DaemonShare> daemons{};
  ClusterReport::Asked asked{};

  /// How far the fullest or emptiest daemon is from the mean, at the end.
  [[nodiscard]] double BytesSpread() const;
};

/// Checks all that can be checked without reading the trace. Errors: kInvalidArgument, names the
/// option; those of LoadModelSpec.
Result<Run> Prepare(const RunOptions& options);

/// Reads the trace and replays it. `progress` gets the share that is done, in [0, 1], now and then.
/// Errors: those of TraceReader; of RunOracle.
Result<RunResult> Execute(const Run& run, const std::function<void(double)>& progress);

/// The command. Returns the exit code.
int RunOne(const RunOptions& options, const HtmlTarget& html, bool json,
           terminal::Progress::Show show);

}  // namespace cairn::sim
