#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

/// All addresses of `host` as endpoints, "10.0.0.7:7411" or "[fd00::7]:7411". Takes as long as the
/// system's resolver does. Errors: kNotFound: the name has none; kUnavailable: the resolver failed.
Result<std::vector<std::string>> ResolveHost(const std::string& host, std::uint16_t port);

}  // namespace cairn
