#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "services/cairn-sim/html_page.h"
#include "services/cairn-sim/sweep.h"

namespace cairn::sim {

/// How many of a sweep's cells belong together.
struct SweepShape {
  std::size_t strategies = 1;  ///< Neighbours of one capacity.
  std::size_t capacities = 1;  ///< Such rows of one trace and block.
};

/// The report of a sweep: saved prefill against capacity for each trace and block; for the strategy
/// that was named first also the plots of its runs.
std::string SweepHtml(const std::vector<SweepCell>& cells, const SweepShape& shape,
                      const HtmlTarget& target);

}  // namespace cairn::sim
