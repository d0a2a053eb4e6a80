#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/result.h"

namespace cairn {

struct Member {
  std::string name;      ///< Stable name of the daemon, which routing goes by.
  std::string endpoint;  ///< As connectors write it: "unix:/path" or "host:port".
  /// Whom its certificate must be for, if that is not the endpoint's host: an address is what DNS
  /// said of this name.
  std::string server = {};
  bool operator==(const Member&) const = default;
};

/// Answers one question: which daemons are there? Implementations may watch a registry; what they
/// answer is a hint, never a lock. Names are unique. Thread-safe.
class Membership {
 public:
  virtual ~Membership() = default;
  [[nodiscard]] virtual std::string_view Source() const = 0;
  /// As of the last good answer of the source; empty before there was one.
  [[nodiscard]] virtual std::vector<Member> Members() const = 0;
  /// Another number whenever Members may have changed. Cheap.
  [[nodiscard]] virtual std::uint64_t Version() const { return 1; }
  /// Why Members is empty or may be old, for people; no error if it is neither.
  [[nodiscard]] virtual Status Problem() const { return {}; }
  /// Waits until the source has answered once, well or not, or until `deadline`.
  virtual void AwaitAnswer(TimePoint /*deadline*/) const {}
};

/// Entries of "name=host:port,name=unix:/path", or endpoints alone, which then are their names;
/// space around any of it does not count. Errors: kInvalidArgument for an empty or repeated entry,
/// a name with a space in it, a list of which only some have names, and for "dns:...", which is no
/// entry. Other endpoints are not checked.
Result<std::vector<Member>> ParseMembers(const std::string& text);

/// The members that a text names itself: those of a list, and none for "dns:NAME:PORT". Looks
/// nothing up. Errors: those of ParseMembers and ParseDnsName.
Result<std::vector<Member>> NamedMembers(const std::string& text);

/// A fixed list. An empty text is a cluster of one, `self`. Errors: those of ParseMembers.
Result<std::unique_ptr<Membership>> MakeStaticMembership(const std::string& text,
                                                         const Member& self);

inline constexpr std::string_view kDnsPrefix = "dns:";

/// Whether a text that says where daemons are names one: no list, no name for it, no DNS.
bool IsOneEndpoint(const std::string& text);

/// The endpoints that stand behind a name. Errors: kNotFound: it has none.
using NameResolver =
    std::function<Result<std::vector<std::string>>(const std::string& host, std::uint16_t port)>;

struct DnsOptions {
  NameResolver resolve;
  std::chrono::milliseconds every{5'000};  ///< Between two look-ups; a quarter after a failure.
};
/// The two parts of "dns:NAME:PORT". Errors: kInvalidArgument.
struct DnsName {
  std::string host;
  std::uint16_t port = 0;
};
Result<DnsName> ParseDnsName(const std::string& text);
/// All addresses of a headless service, "dns:NAME:PORT". A thread of its own looks them up, so that
/// no call waits for a slow resolver; the last good answer stays in force, and an empty one is a
/// Problem. A member's name is its address: a daemon that comes back under another one is another
/// daemon; its certificate is for NAME. Errors: kInvalidArgument for another form, kUnavailable (no
/// thread to be had).
Result<std::unique_ptr<Membership>> MakeDnsMembership(const std::string& text, DnsOptions options);

/// Either of the two, by how the text begins.
Result<std::unique_ptr<Membership>> MakeMembership(const std::string& text, const Member& self,
                                                   DnsOptions dns);

}  // namespace cairn
