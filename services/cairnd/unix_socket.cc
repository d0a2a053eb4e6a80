#include "services/cairnd/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>

#include "libcache/base/clock.h"
#include "libcache/transport/socket.h"

namespace cairn::server {

unsigned PeerUid(int fd) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  const bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
  return known ? credentials.uid : UINT32_MAX;
}

Status PrepareSocketPath(const std::string& path) {
  std::error_code error;
  const auto parent = std::filesystem::path(path).parent_path();
  if (!parent.empty() && !std::filesystem::exists(parent, error)) {
    std::filesystem::create_directories(parent, error);
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    return {};
  }
  if (!S_ISSOCK(info.st_mode)) {
    return Fail(ErrorCode::kPermissionDenied,
                "--listen-unix: " + path + " exists and is no socket; choose another path");
  }
  const auto alive = Socket::Connect({.kind = Endpoint::Kind::kUnix, .path = path, .host = {}},
                                     SteadyClock::Instance().Now() + std::chrono::seconds(1));
  if (alive || alive.error().code == ErrorCode::kDeadlineExceeded) {
    return Fail(ErrorCode::kUnavailable, "--listen-unix: a daemon listens on " + path +
                                             " already; stop it or choose another path");
  }
  unlink(path.c_str());
  return {};
}

}  // namespace cairn::server
