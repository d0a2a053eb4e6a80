#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libcache/base/result.h"

namespace cairn {

/// Where a daemon listens: "unix:/run/cairn.sock", "tcp:host:port" or "host:port".
struct Endpoint {
  enum class Kind { kUnix, kTcp };
  Kind kind = Kind::kUnix;
  std::string path;  ///< kUnix; at most 107 bytes (sockaddr_un).
  std::string host;  ///< kTcp; name or address, IPv6 in brackets.
  std::uint16_t port = 0;
  /// kTcp: whom the daemon's certificate must be for, if that is not `host`. Not part of the text.
  std::string server = {};

  [[nodiscard]] std::string Text() const;
};

/// The socket of a daemon that was not told another: cairn.sock in `runtime_dir`
/// ($XDG_RUNTIME_DIR; may be null or empty) for an ordinary user, /run/cairn/cairn.sock else.
std::string DefaultSocketPath(bool is_root, const char* runtime_dir);

/// Errors: kInvalidArgument with an example of each form.
Result<Endpoint> ParseEndpoint(std::string_view text);

}  // namespace cairn
