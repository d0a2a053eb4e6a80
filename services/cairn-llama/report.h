#pragma once

#include <string>
#include <vector>

#include "libcache/connector/llamacpp/connector.h"
#include "services/cairn-llama/runner.h"

namespace cairn::llama {

/// The table's first line, and a line for each prompt.
std::string TableHead();
std::string TableRow(const Outcome& outcome);

/// What was spared, in a sentence or two. `connector` may be null (a cold run).
std::string Summary(const std::vector<Outcome>& outcomes, const llamacpp::Connector* connector);

/// Everything, as one JSON object with a line end. docs/cairn-llama.md lists the fields.
std::string ReportJson(const std::vector<Outcome>& outcomes, const llamacpp::Connector* connector);

/// {"error": {"code", "message"}} with a line end, as cairnctl's.
std::string ErrorJson(const Error& error);

}  // namespace cairn::llama
