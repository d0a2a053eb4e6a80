#pragma once

#include <string>

#include "libcache/base/result.h"

namespace cairn::server {

/// The user at the other end of a Unix socket; UINT32_MAX if the system does not say.
unsigned PeerUid(int fd);

/// Removes a socket that a daemon left behind when it was killed. Errors: kUnavailable when one
/// listens there, kPermissionDenied.
Status PrepareSocketPath(const std::string& path);

}  // namespace cairn::server
