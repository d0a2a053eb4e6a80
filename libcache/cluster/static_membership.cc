#include <algorithm>
#include <utility>

#include "libcache/base/text.h"
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
  const std::string_view text = entry;
  return {.name = std::string(Trimmed(text.substr(0, equals))),
          .endpoint = std::string(Trimmed(text.substr(equals + 1)))};
}

bool HasName(const Member& member) { return member.name != member.endpoint; }

/// What is wrong with an entry by itself; "" if nothing is.
std::string Problem(const Member& member) {
  if (member.endpoint.empty() || member.name.empty()) {
    return "has an empty entry; write a=host:port,b=host:port";
  }
  if (member.endpoint.starts_with(kDnsPrefix)) {
    return "has '" + member.endpoint + "' in it, but dns:NAME:PORT stands alone: it is all members";
  }
  const auto odd = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7F; };
  if (HasName(member) && std::any_of(member.name.begin(), member.name.end(), odd)) {
    return "has the name '" + member.name + "', but a name has no spaces";
  }
  return "";
}

/// The same of an entry beside those before it.
std::string ProblemBeside(const Member& member, const std::vector<Member>& before) {
  for (const Member& other : before) {
    if (other.name == member.name) {
      return "two are named '" + member.name + "'";
    }
    if (other.endpoint == member.endpoint) {
      return "'" + other.name + "' and '" + member.name + "' are one daemon, " + member.endpoint;
    }
    // Names say where a prompt belongs, so one that was forgotten must not become another one.
    if (HasName(other) != HasName(member)) {
      return "'" + (HasName(member) ? other : member).endpoint +
             "' has no name, but others have; give all of them one, or none";
    }
  }
  return "";
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
    Member member =
        ParseMember(std::string(Trimmed(std::string_view(text).substr(start, end - start))));
    if (const std::string problem = Problem(member); !problem.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "members: '" + text + "' " + problem);
    }
    if (const std::string problem = ProblemBeside(member, members); !problem.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "members: " + problem);
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
