#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cairn/v1/admin.pb.h"
#include "libcache/base/result.h"
#include "libcache/cluster/membership.h"
#include "services/cairnctl/command_table.h"

namespace cairn::ctl {

/// Errors: kInvalidArgument for what is neither a list of endpoints nor "dns:NAME:PORT". Looks
/// nothing up.
Status CheckCluster(const std::string& text);

/// The daemon of --member becomes the invocation's endpoint: of those that --connect names, or
/// where that is one daemon, of those it knows. Without --member a command of all gets the list of
/// --connect as members, and for one that works alone nothing is looked up. Errors:
/// kInvalidArgument for an unknown name, and for a command that needs one; kUnavailable when DNS
/// gives none; what the daemon that is asked for the others says.
Status ChooseMember(Invocation& invocation);

/// What one daemon of several says.
struct MemberStatus {
  Member member;
  Result<v1::StatusReply> status;
  /// Somebody is there, but does not tell: where `status` is an error.
  bool refuses = false;

  /// "serving" or "draining"; "refuses" or "no answer" without a status.
  [[nodiscard]] std::string State() const;
};
/// Asks all of invocation.members, side by side, and says on standard error whom it waits for when
/// that takes long. `known` has been asked already. In the order of the members. Errors: that of
/// the first when nobody tells anything.
Result<std::vector<MemberStatus>> AskMembers(const Invocation& invocation,
                                             const std::optional<MemberStatus>& known = {});

/// The daemons that one of them knows.
struct Fellows {
  std::vector<Member> members;
  /// What it said of itself, if it is one of them: by a way that need not be the one engines take.
  std::optional<MemberStatus> self;
};
/// Asks the invocation's endpoint. Errors: kUnavailable when it knows none; its answer.
Result<Fellows> AskForFellows(const Invocation& invocation);

}  // namespace cairn::ctl
