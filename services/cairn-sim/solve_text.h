#pragma once

#include <string>
#include <vector>

#include "services/cairn-sim/solve.h"

namespace cairn::sim {

/// A table per instance, for people; long lists are cut short.
std::string SolveText(const std::vector<Solution>& solutions);

}  // namespace cairn::sim
