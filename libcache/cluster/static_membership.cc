#include <algorithm>
#include <utility>

#include "libcache/cluster/membership.h"

namespace cairn {
namespace {

class StaticMembership final : public Membership {
 public:
  explicit StaticMembership(std::vector<Member> members) : members_(std::move(members)) {}
  [[nodiscard]] std::string_view Source() const override { return "static"; }
  [[nodiscard]] std::vector<Member> Members() const override { return members_; }

 private:
  const std::vector<Member> members_;
};

/// "a=host:port" has a name; in "unix:/run/a=b.sock" the sign belongs to the path.
Member ParseMember(const std::string& entry) {
  const std::size_t equals = entry.find('=');
  if (equals == std::string::npos || entry.starts_with("unix:") || entry.starts_with("tcp:")) {
    return {.name = entry, .endpoint = entry};
  }
  return {.name = entry.substr(0, equals), .endpoint = entry.substr(equals + 1)};
}

}  // namespace

bool IsOneEndpoint(const std::string& text) {
  const bool named = text.find('=') != std::string::npos && !text.starts_with("unix:") &&
                     !text.starts_with("tcp:");
  return text.find(',') == std::string::npos && !text.starts_with(kDnsPrefix) && !named;
}

Result<std::vector<Member>> ParseMembers(const std::string& text) {
  std::vector<Member> members;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    Member member = ParseMember(text.substr(start, end - start));
    if (member.endpoint.empty() || member.name.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "members: '" + text + "' has an empty entry; write a=host:port,b=host:port");
    }
    for (const Member& other : members) {
      if (other.name == member.name) {
        return Fail(ErrorCode::kInvalidArgument, "members: two are named '" + member.name + "'");
      }
      if (other.endpoint == member.endpoint) {
        return Fail(ErrorCode::kInvalidArgument, "members: '" + other.name + "' and '" +
                                                     member.name + "' are one daemon, " +
                                                     member.endpoint);
      }
    }
    members.push_back(std::move(member));
    start = end + 1;
  }
  return members;
}

Result<std::vector<Member>> NamedMembers(const std::string& text) {
  if (!text.starts_with(kDnsPrefix)) {
    return ParseMembers(text);
  }
  const auto name = ParseDnsName(text);
  return name ? Result<std::vector<Member>>(std::vector<Member>()) : Fail(name.error());
}

Result<std::unique_ptr<Membership>> MakeStaticMembership(const std::string& text,
                                                         const Member& self) {
  if (text.empty()) {
    return std::make_unique<StaticMembership>(std::vector<Member>{self});
  }
  auto members = ParseMembers(text);
  if (!members) {
    return Fail(members.error());
  }
  return std::make_unique<StaticMembership>(*std::move(members));
}

Result<std::unique_ptr<Membership>> MakeMembership(const std::string& text, const Member& self,
                                                   DnsOptions dns) {
  return text.starts_with(kDnsPrefix) ? MakeDnsMembership(text, std::move(dns))
                                      : MakeStaticMembership(text, self);
}

}  // namespace cairn
