#pragma once

#include <string>
#include <vector>

namespace cairn::server {

/// Addresses at which this process listens for connections from other hosts, as "0.0.0.0:41234";
/// those that cannot be read as "family 40". Unix sockets are left out. Sorted.
std::vector<std::string> ListeningSockets();

}  // namespace cairn::server
