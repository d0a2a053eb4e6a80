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

/// Where --connect names several daemons: the one of --member becomes the invocation's endpoint;
/// without it a command of all gets them as members, and for one that works alone nothing is looked
/// up. Errors: kInvalidArgument for an unknown name,
/// and for a command that needs one; kUnavailable when DNS gives none.
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

}  // namespace cairn::ctl
