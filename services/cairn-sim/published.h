#pragma once

#include <string>

#include "libcache/published/report.h"

namespace cairn::sim {

struct PublishedCommand {
  PublishedOptions options;
  bool json = false;
};

/// Replays the published runs and prints what came out to stdout. Returns the exit code: 0, or 1
/// with a message on stderr if a run cannot be read, or if one that can be checked differs.
int RunPublished(const PublishedCommand& command);

}  // namespace cairn::sim
