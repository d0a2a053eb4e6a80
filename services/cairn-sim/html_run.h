#pragma once

#include <string>

#include "services/cairn-sim/html_page.h"
#include "services/cairn-sim/run.h"

namespace cairn::sim {

/// The report of one run: its plots and all figures.
std::string RunHtml(const RunResult& result, const HtmlTarget& target);

}  // namespace cairn::sim
