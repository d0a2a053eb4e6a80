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

}  // namespace

Result<std::unique_ptr<Membership>> MakeStaticMembership(const std::string& text,
                                                         const Member& self) {
  std::vector<Member> members;
  for (std::size_t start = 0; !text.empty() && start <= text.size();) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    const std::string entry = text.substr(start, end - start);
    const std::size_t equals = entry.find('=');
    Member member;
    member.endpoint = equals == std::string::npos ? entry : entry.substr(equals + 1);
    member.name = equals == std::string::npos ? entry : entry.substr(0, equals);
    if (member.endpoint.empty() || member.name.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "members: '" + text + "' has an empty entry; write a=host:port,b=host:port");
    }
    const bool repeated = std::any_of(members.begin(), members.end(),
                                      [&member](const Member& m) { return m.name == member.name; });
    if (repeated) {
      return Fail(ErrorCode::kInvalidArgument, "members: two are named '" + member.name + "'");
    }
    members.push_back(std::move(member));
    start = end + 1;
  }
  if (members.empty()) {
    members.push_back(self);
  }
  return std::make_unique<StaticMembership>(std::move(members));
}

}  // namespace cairn
