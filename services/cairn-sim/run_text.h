#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "services/cairn-sim/run.h"

namespace cairn::sim {

/// The figures of a run for people, a row each: its name, itself, sometimes its share.
std::vector<std::vector<std::string>> RunRows(const RunResult& result);
/// The same as one text.
std::string RunText(const RunResult& result);

/// What a run's eviction is called: the oracle has one of its own.
std::string EvictionName(const Options& options);
/// Strategy and eviction as in --strategies of a sweep: "turn_end@lru", "oracle".
std::string PairName(const Options& options);
/// A path without its folders.
std::string FileName(const std::string& path);
/// "500 GB" of 10^9 bytes, "unlimited".
std::string SizeText(std::uint64_t bytes);

}  // namespace cairn::sim
