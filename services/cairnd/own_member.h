#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcache/cluster/membership.h"

namespace cairn::server {

/// Where a daemon takes engines by TCP. Port 0: nowhere.
struct TcpListener {
  std::string address;  ///< "127.0.0.1", "::"; of all interfaces "0.0.0.0" or "::".
  std::uint16_t port = 0;
};

/// Name of the member that is the daemon which listens there; empty where none is, where several
/// may be, or where that cannot be told: of host names only localhost and the machine's own are
/// known, this with or without a domain, since nothing is looked up.
std::string OwnMember(const std::vector<Member>& members, const std::string& unix_path,
                      const TcpListener& tcp);

}  // namespace cairn::server
