#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/cairn-sim/solve.h"
#include "services/cairn-sim/sweep.h"

namespace cairn::sim {

// What --json prints, a line with its end. The field names are an interface (docs/cairn-sim.md):
// they are added to, never renamed. Bytes that are not UTF-8 are replaced.

std::string RunJson(const RunResult& result);
/// A list of runs; those that failed have "error" instead of figures.
std::string SweepJson(const std::vector<SweepCell>& cells);
/// A list of solutions, or one alone if the file held one instance.
std::string SolveJson(const std::vector<Solution>& solutions, bool alone);
std::string StrategiesJson();
/// For standard error. `code` is ErrorName of a code, or "usage".
std::string ErrorJson(std::string_view code, std::string_view message);

}  // namespace cairn::sim
