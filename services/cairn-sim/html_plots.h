#pragma once

#include <string>

#include "services/cairn-sim/run.h"

namespace cairn::sim {

// The plots of one run as markup; where there is nothing to draw, a sentence that says why.

/// Checkpoints over positions, and beneath them where overlaps end.
std::string PositionsPlot(const RunResult& result);
std::string PricePlot(const RunResult& result);

}  // namespace cairn::sim
