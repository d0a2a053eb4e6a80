// Commands that only look.
#include <algorithm>
#include <optional>

#include "services/cairnctl/commands.h"
#include "services/cairnctl/daemon.h"
#include "services/cairnctl/json.h"
#include "services/cairnctl/members.h"
#include "services/cairnctl/text.h"
#include "services/cairnctl/text_members.h"

namespace cairn::ctl {
namespace {

/// Connects and asks once.
Result<v1::AdminReply> AskDaemon(const Invocation& invocation, const v1::AdminRequest& request) {
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  return daemon->Call(request);
}

v1::AdminRequest StatusRequest() {
  v1::AdminRequest request;
  request.mutable_status();
  return request;
}

Result<std::string> ShowMembers(const Invocation& invocation,
                                const std::optional<MemberStatus>& known = {}) {
  const auto asked = AskMembers(invocation, known);
  if (!asked) {
    return Fail(asked.error());
  }
  return invocation.json ? MembersJson(*asked) : MembersText(*asked, Style::Of(stdout));
}

}  // namespace

Result<std::string> RunMembers(const Invocation& invocation) {
  if (!invocation.members.empty()) {
    return ShowMembers(invocation);
  }
  auto fellows = AskForFellows(invocation);
  if (!fellows) {
    return Fail(fellows.error());
  }
  Invocation all = invocation;
  all.members = std::move(fellows->members);
  return ShowMembers(all, fellows->self);
}

Result<std::string> RunStatus(const Invocation& invocation) {
  if (!invocation.members.empty()) {
    return ShowMembers(invocation);
  }
  const auto reply = AskDaemon(invocation, StatusRequest());
  if (!reply) {
    return Fail(reply.error());
  }
  return invocation.json
             ? StatusJson(reply->status())
             : StatusText(reply->status(), invocation.endpoint.Text(), Style::Of(stdout));
}

Result<std::string> RunTiers(const Invocation& invocation) {
  if (!invocation.members.empty()) {
    const auto asked = AskMembers(invocation);
    if (!asked) {
      return Fail(asked.error());
    }
    return invocation.json ? MembersJson(*asked) : MemberTiersText(*asked, Style::Of(stdout));
  }
  const auto reply = AskDaemon(invocation, StatusRequest());
  if (!reply) {
    return Fail(reply.error());
  }
  return invocation.json ? TiersJson(reply->status())
                         : TiersText(reply->status(), Style::Of(stdout));
}

Result<std::string> RunTree(const Invocation& invocation) {
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  v1::AdminRequest request;
  request.mutable_tree()->set_prefix(invocation.Value("--prefix"));
  request.mutable_tree()->set_max_nodes(
      static_cast<std::uint32_t>(std::stoul(invocation.Value("--max", "0"))));
  const auto tree = daemon->Call(request);
  if (!tree) {
    return Fail(tree.error());
  }
  if (tree->tree().nodes().empty() && !invocation.Value("--prefix").empty()) {
    return Fail(ErrorCode::kNotFound,
                "no key starts with " + invocation.Value("--prefix") + "; see cairnctl tree");
  }
  if (invocation.json) {
    return TreeJson(tree->tree());
  }
  const auto status = daemon->Call(StatusRequest());
  if (!status) {
    return Fail(status.error());
  }
  return TreeText(tree->tree(), status->status(), invocation.Has("--full"), Style::Of(stdout));
}

Result<std::string> RunLookup(const Invocation& invocation) {
  v1::AdminRequest request;
  request.mutable_lookup()->set_key(invocation.argument);
  const auto reply = AskDaemon(invocation, request);
  if (!reply) {
    return Fail(reply.error());
  }
  return invocation.json ? LookupJson(reply->lookup())
                         : LookupText(reply->lookup(), Style::Of(stdout));
}

Result<std::string> RunLeases(const Invocation& invocation) {
  v1::AdminRequest request;
  request.mutable_leases();
  const auto reply = AskDaemon(invocation, request);
  if (!reply) {
    return Fail(reply.error());
  }
  return invocation.json ? LeasesJson(reply->leases())
                         : LeasesText(reply->leases(), Style::Of(stdout));
}

Result<std::string> RunConfig(const Invocation& invocation) {
  v1::AdminRequest request;
  request.mutable_config();
  const auto reply = AskDaemon(invocation, request);
  if (!reply) {
    return Fail(reply.error());
  }
  return invocation.json ? ConfigJson(reply->config())
                         : ConfigText(reply->config(), Style::Of(stdout));
}

}  // namespace cairn::ctl
