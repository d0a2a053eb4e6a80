#include "services/cairnctl/process_watch.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cairn::ctl {

std::optional<ProcessWatch> ProcessWatch::OfListener(const Endpoint& endpoint, TimePoint deadline) {
  if (endpoint.kind != Endpoint::Kind::kUnix) {
    return std::nullopt;
  }
  const auto socket = Socket::Connect(endpoint, deadline);
  if (!socket) {
    return std::nullopt;
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket->fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) {
    return std::nullopt;
  }
  // By number: glibc 2.36 declares pidfd_open without extern "C".
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0)));
  if (!process.valid()) {
    return std::nullopt;
  }
  return ProcessWatch(std::move(process));
}

bool ProcessWatch::EndsWithin(std::chrono::milliseconds limit) const {
  pollfd waiting{.fd = process_.get(), .events = POLLIN, .revents = 0};
  return poll(&waiting, 1, static_cast<int>(limit.count())) > 0;
}

}  // namespace cairn::ctl
