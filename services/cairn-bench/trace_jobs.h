#pragma once

#include <cstdint>
#include <string>

namespace cairn::bench {

struct GenerateOptions {
  std::string scenario = "mixed";
  std::uint32_t requests = 1000;
  std::uint64_t seed = 1;
  std::string out;
  bool quiet = false;
};

/// Writes a made-up trace; returns the exit code.
int RunGenerate(const GenerateOptions& options);

struct StatsOptions {
  std::string trace;
  bool json = false;
};

/// Prints what an infinite cache would serve of a trace, and where its overlaps end; returns the
/// exit code.
int RunStats(const StatsOptions& options);

}  // namespace cairn::bench
