#pragma once

#include "libcache/cache/cache.h"
#include "services/cairnd/config.h"

namespace cairn::server {

/// The device that `config` asks for, or why there is none: that is never an error, since host
/// memory and SSD serve without it. Logs what came of it, and its loss later.
Cache::Gpu OpenGpu(const DaemonConfig& config);

}  // namespace cairn::server
