#include "services/cairnd/tcp_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <initializer_list>

namespace cairn::server {
namespace {

// A peer that says nothing is asked after 10 s, then each 5 s; 30 s after its last word it is gone.
constexpr int kIdleSeconds = 10;
constexpr int kProbeSeconds = 5;
constexpr int kProbes = 4;
constexpr int kUnansweredMs = 30'000;

}  // namespace

void PrepareTcpSocket(int fd) {
  struct Option {
    int level;
    int name;
    int value;
  };
  for (const Option option :
       {Option{IPPROTO_TCP, TCP_NODELAY, 1}, Option{SOL_SOCKET, SO_KEEPALIVE, 1},
        Option{IPPROTO_TCP, TCP_KEEPIDLE, kIdleSeconds},
        Option{IPPROTO_TCP, TCP_KEEPINTVL, kProbeSeconds},
        Option{IPPROTO_TCP, TCP_KEEPCNT, kProbes},
        Option{IPPROTO_TCP, TCP_USER_TIMEOUT, kUnansweredMs}}) {
    // A kernel that knows one of them not serves without it.
    setsockopt(fd, option.level, option.name, &option.value, sizeof(option.value));
  }
}

std::string PeerAddress(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (getpeername(fd, generic, &size) != 0 ||
      getnameinfo(generic, size, host.data(), host.size(), port.data(), port.size(),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "gone";
  }
  const std::string text = host.data();
  return (text.find(':') == std::string::npos ? text : "[" + text + "]") + ":" + port.data();
}

}  // namespace cairn::server
