#include "libcache/transport/resolve.h"

#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <memory>

namespace cairn {

Result<std::vector<std::string>> ResolveHost(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failed = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(list, &freeaddrinfo);
  if (failed != 0) {
    const bool none = failed == EAI_NONAME || failed == EAI_NODATA;
    return Fail(none ? ErrorCode::kNotFound : ErrorCode::kUnavailable, gai_strerror(failed));
  }
  std::vector<std::string> endpoints;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(at->ai_addr, at->ai_addrlen, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      const std::string address = text.data();
      endpoints.push_back((at->ai_family == AF_INET6 ? "[" + address + "]" : address) + ":" +
                          std::to_string(port));
    }
  }
  return endpoints;
}

}  // namespace cairn
