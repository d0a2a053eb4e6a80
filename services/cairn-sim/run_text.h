#pragma once

#include <cstdint>
#include <string>

#include "services/cairn-sim/run.h"

namespace cairn::sim {

/// A run for people, one figure a line.
std::string RunText(const RunResult& result);

/// What a run's eviction is called: the oracle has one of its own.
std::string EvictionName(const Options& options);
/// "500 GB" of 10^9 bytes, "unlimited".
std::string SizeText(std::uint64_t bytes);

}  // namespace cairn::sim
