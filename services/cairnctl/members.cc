#include "services/cairnctl/members.h"

#include <algorithm>
#include <utility>

#include "libcache/transport/resolve.h"
#include "services/cairnctl/daemon.h"

namespace cairn::ctl {
namespace {

Result<std::vector<Member>> MembersOf(const std::string& text) {
  if (!text.starts_with(kDnsPrefix)) {
    return ParseMembers(text);
  }
  const auto name = ParseDnsName(text);
  if (!name) {
    return Fail(name.error());
  }
  const auto endpoints = ResolveHost(name->host, name->port);
  if (!endpoints || endpoints->empty()) {
    return Fail(ErrorCode::kUnavailable,
                "dns: '" + name->host + "' " +
                    (endpoints ? "answers nothing" : "gives none: " + endpoints.error().message) +
                    "; is that the headless service's name, and are its pods ready?");
  }
  std::vector<Member> members;
  for (const std::string& endpoint : *endpoints) {
    members.push_back({.name = endpoint, .endpoint = endpoint, .server = name->host});
  }
  return members;
}

Result<Endpoint> EndpointOf(const Member& member) {
  auto endpoint = ParseEndpoint(member.endpoint);
  if (endpoint) {
    endpoint->server = member.server;
  }
  return endpoint;
}

std::string Names(const std::vector<Member>& members) {
  std::string names;
  for (const Member& member : members) {
    names += (names.empty() ? "" : ", ") + member.name;
  }
  return names;
}

}  // namespace

Status CheckCluster(const std::string& text) {
  const auto members = NamedMembers(text);
  if (!members) {
    return Fail(members.error());
  }
  for (const Member& member : *members) {
    if (const auto endpoint = EndpointOf(member); !endpoint) {
      return Fail(endpoint.error());
    }
  }
  return {};
}

Status ChooseMember(Invocation& invocation) {
  const std::string wanted = invocation.Value("--member");
  if (invocation.cluster.empty()) {
    return wanted.empty() ? Status()
                          : Fail(ErrorCode::kInvalidArgument,
                                 "--member: --connect names one daemon only; give it the list");
  }
  const CommandSpec& command = *FindCommand(invocation.command);
  if (command.works_alone && wanted.empty()) {
    return {};
  }
  auto members = MembersOf(invocation.cluster);
  if (!members) {
    return Fail(members.error());
  }
  if (wanted.empty()) {
    if (!command.of_all) {
      return Fail(
          ErrorCode::kInvalidArgument,
          invocation.command + " is for one daemon; say which with --member: " + Names(*members));
    }
    invocation.members = *std::move(members);
    return {};
  }
  const auto found = std::find_if(members->begin(), members->end(),
                                  [&wanted](const Member& m) { return m.name == wanted; });
  if (found == members->end()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--member: there is no '" + wanted + "'; there are " + Names(*members));
  }
  const auto endpoint = EndpointOf(*found);
  if (!endpoint) {
    return Fail(endpoint.error());
  }
  invocation.endpoint = *endpoint;
  return {};
}

Result<std::vector<MemberStatus>> AskMembers(const Invocation& invocation) {
  std::vector<MemberStatus> asked;
  bool any = false;
  for (const Member& member : invocation.members) {
    Invocation one = invocation;
    const auto endpoint = EndpointOf(member);
    if (!endpoint) {
      return Fail(endpoint.error());
    }
    one.endpoint = *endpoint;
    auto daemon = Daemon::Open(one);
    v1::AdminRequest request;
    request.mutable_status();
    auto reply = daemon ? daemon->Call(request) : Fail(daemon.error());
    any = any || reply.has_value();
    asked.push_back({.member = member,
                     .status = reply ? Result<v1::StatusReply>(std::move(*reply->mutable_status()))
                                     : Fail(reply.error())});
  }
  if (!any && !asked.empty()) {
    const Error& first = asked.front().status.error();
    return Fail(first.code, "none of " + std::to_string(asked.size()) + " daemons answers; " +
                                asked.front().member.name + ": " + first.message);
  }
  return asked;
}

}  // namespace cairn::ctl
