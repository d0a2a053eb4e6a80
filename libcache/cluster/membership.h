#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

struct Member {
  std::string name;      ///< Stable name of the daemon.
  std::string endpoint;  ///< As connectors write it: "unix:/path" or "host:port".
};

/// Answers one question: which daemons are there? Implementations may watch a registry; what they
/// answer is a hint, never a lock. Thread-safe.
class Membership {
 public:
  virtual ~Membership() = default;
  [[nodiscard]] virtual std::string_view Source() const = 0;
  [[nodiscard]] virtual std::vector<Member> Members() const = 0;
};

/// A fixed list: "name=host:port,name=host:port", or endpoints alone, which then are their names.
/// An empty text is a cluster of one, `self`. Errors: kInvalidArgument for an empty or repeated
/// entry.
Result<std::unique_ptr<Membership>> MakeStaticMembership(const std::string& text,
                                                         const Member& self);

}  // namespace cairn
