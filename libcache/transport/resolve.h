#pragma once

#include <netdb.h>

#include <cstdint>
#include <string>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

/// The addresses of `list` (which may be null) as endpoints, "10.0.0.7:7411" or "[fd00::7]:7411".
/// Where there are both kinds those of IPv4 only: one daemon has an address of each.
std::vector<std::string> EndpointsOf(const addrinfo* list, std::uint16_t port);

/// EndpointsOf what `host` has, of a kind that this machine has an address of as well. Takes as
/// long as the system's resolver does. Errors: kNotFound: the name has none; kUnavailable: the
/// resolver failed.
Result<std::vector<std::string>> ResolveHost(const std::string& host, std::uint16_t port);

}  // namespace cairn
