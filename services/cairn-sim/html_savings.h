#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "services/cairn-sim/sweep.h"

namespace cairn::sim {

/// How a strategy's line looks, the same in all charts of a report.
std::vector<std::string> SeriesClasses(std::span<const SweepCell> columns);

/// Saved prefill against capacity, a line per strategy, and the same as a table that is its legend.
/// `trace` is what it is called; `cells` are those of one trace and block: by capacity, then
/// strategy as in `classes`.
std::string SavingsPlot(const std::string& trace, std::span<const SweepCell> cells,
                        const std::vector<std::string>& classes);

}  // namespace cairn::sim
