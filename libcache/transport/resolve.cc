#include "libcache/transport/resolve.h"

#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <utility>

namespace cairn {

std::vector<std::string> EndpointsOf(const addrinfo* list, std::uint16_t port) {
  std::array<std::vector<std::string>, 2> found;  // IPv4, IPv6.
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(at->ai_addr, at->ai_addrlen, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      const std::string address = text.data();
      const bool six = at->ai_family == AF_INET6;
      found[six ? 1 : 0].push_back((six ? "[" + address + "]" : address) + ":" +
                                   std::to_string(port));
    }
  }
  return std::move(found[found[0].empty() ? 1 : 0]);
}

Result<std::vector<std::string>> ResolveHost(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int failed = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(list, &freeaddrinfo);
  if (failed != 0) {
    const bool none = failed == EAI_NONAME || failed == EAI_NODATA;
    return Fail(none ? ErrorCode::kNotFound : ErrorCode::kUnavailable, gai_strerror(failed));
  }
  return EndpointsOf(list, port);
}

}  // namespace cairn
