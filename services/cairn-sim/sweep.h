#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "services/cairn-sim/html_page.h"
#include "services/cairn-sim/run.h"
#include "services/terminal/progress.h"

namespace cairn::sim {

struct SweepOptions {
  RunOptions base;  ///< What all runs have in common.
  std::vector<std::string> traces;
  std::vector<std::string> strategies;  ///< "trie", or with its eviction "trie@lru".
  std::vector<std::string> evictions;   ///< Empty: value for trie, marconi for marconi, else lru.
  std::vector<std::string> capacities;
  std::vector<std::uint64_t> capacity_checkpoints;  ///< Instead, as in RunOptions.
  std::vector<std::uint32_t> block_tokens = {64};
  unsigned jobs = 0;  ///< Threads; 0: one per core.
};

struct SweepCell {
  Run run;
  Result<RunResult> result;
};

/// All combinations, by trace, block, capacity, strategy. Errors: those of Prepare.
Result<std::vector<Run>> Combinations(const SweepOptions& options);

/// The command: runs all combinations, each on one thread and with memory of its own. Returns the
/// exit code: 1 if a run failed; the others are finished and shown.
int RunSweep(const SweepOptions& options, const HtmlTarget& html, bool json,
             terminal::Progress::Show show);

}  // namespace cairn::sim
