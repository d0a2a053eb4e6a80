#include "services/cairnd/own_member.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "libcache/transport/endpoint.h"

namespace cairn::server {
namespace {

std::string AddressText(const sockaddr& address) {
  const socklen_t size = address.sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  std::array<char, NI_MAXHOST> text{};
  const int failed =
      getnameinfo(&address, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  return failed == 0 ? text.data() : "";
}

/// Whether an interface of this machine has the address, given as a number.
bool IsOwnAddress(const std::string& host) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    return false;
  }
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owned(list, freeifaddrs);
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    const bool internet = at->ifa_addr != nullptr && (at->ifa_addr->sa_family == AF_INET ||
                                                      at->ifa_addr->sa_family == AF_INET6);
    if (internet && AddressText(*at->ifa_addr) == host) {
      return true;
    }
  }
  return false;
}

/// The machine's name, be it with or without a domain behind it.
bool IsOwnName(const std::string& host) {
  std::array<char, 256> text{};
  if (gethostname(text.data(), text.size() - 1) != 0 || text[0] == 0) {
    return false;
  }
  const std::string name = text.data();
  return host == name || host.starts_with(name + ".");
}

bool IsOwn(const Endpoint& endpoint, const std::string& unix_path, const TcpListener& tcp) {
  if (endpoint.kind == Endpoint::Kind::kUnix) {
    return endpoint.path == unix_path;
  }
  if (endpoint.port != tcp.port || tcp.port == 0) {
    return false;
  }
  const bool everywhere = tcp.address == "0.0.0.0" || tcp.address == "::";
  // Another daemon may have the same port of another address.
  return everywhere ? endpoint.host == "localhost" || IsOwnName(endpoint.host) ||
                          IsOwnAddress(endpoint.host)
                    : endpoint.host == tcp.address ||
                          (endpoint.host == "localhost" && tcp.address == "127.0.0.1");
}

}  // namespace

std::string OwnMember(const std::vector<Member>& members, const std::string& unix_path,
                      const TcpListener& tcp) {
  std::vector<std::string> own;
  for (const Member& member : members) {
    const auto endpoint = ParseEndpoint(member.endpoint);
    if (endpoint && IsOwn(*endpoint, unix_path, tcp)) {
      own.push_back(member.name);
    }
  }
  return own.size() == 1 ? own.front() : "";
}

}  // namespace cairn::server
