#pragma once

#include <string>

#include "libcache/model/model_spec.h"
#include "services/cairn-bench/replay.h"
#include "services/cairn-bench/replay_client.h"
#include "services/cairn-bench/replay_target.h"

namespace cairn::bench {

/// All a replay has to say.
struct ReplayReport {
  const ReplayOptions* options = nullptr;
  NamespaceSpec name_space;
  std::string target;
  std::string plane;
  ReplayTally tally;
  TargetStatus before;
  TargetStatus after;
  std::string status_problem;
  std::uint64_t peak_rss_bytes = 0;
  std::uint64_t cap_bytes = 0;
  double seconds = 0;

  [[nodiscard]] std::uint64_t LeasesLeft() const;
  [[nodiscard]] double SavedShare() const;
};

/// One JSON object, ended by a line break. docs/bench.md has the fields.
std::string ReplayJson(const ReplayReport& report);
/// A table for people.
std::string ReplayText(const ReplayReport& report);

}  // namespace cairn::bench
