#include "libcache/transport/endpoint.h"

#include <sys/un.h>

#include <charconv>

namespace cairn {

std::string Endpoint::Text() const {
  if (kind == Kind::kUnix) {
    return "unix:" + path;
  }
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Endpoint> ParseEndpoint(std::string_view text) {
  const auto bad = [text](const std::string& why) {
    return Fail(ErrorCode::kInvalidArgument,
                "'" + std::string(text) + "': " + why +
                    "; write unix:/run/cairn/cairn.sock or 127.0.0.1:7411");
  };
  Endpoint endpoint;
  if (text.starts_with("unix:")) {
    endpoint.path = text.substr(5);
    if (endpoint.path.empty()) {
      return bad("the socket's path is missing");
    }
    if (endpoint.path.size() >= sizeof(sockaddr_un::sun_path)) {
      return bad("a socket's path has at most " +
                 std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
    }
    return endpoint;
  }
  endpoint.kind = Endpoint::Kind::kTcp;
  std::string_view rest = text.starts_with("tcp:") ? text.substr(4) : text;
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return bad("a host and a port are needed");
  }
  std::string_view host = rest.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  endpoint.host = host;
  const std::string_view port = rest.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc{} || end != port.data() + port.size()) {
    return bad("the port is no number from 0 to 65535");
  }
  return endpoint;
}

std::string DefaultSocketPath(bool is_root, const char* runtime_dir) {
  if (is_root || runtime_dir == nullptr || *runtime_dir == 0) {
    return "/run/cairn/cairn.sock";
  }
  return std::string(runtime_dir) + "/cairn.sock";
}

}  // namespace cairn
