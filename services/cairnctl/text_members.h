#pragma once

#include <span>
#include <string>

#include "services/cairnctl/members.h"
#include "services/cairnctl/table.h"

namespace cairn::ctl {

// Several daemons for people, a row each; the layout is not an interface.

std::string MembersText(std::span<const MemberStatus> members, const Style& style);
/// A row for each tier of each.
std::string MemberTiersText(std::span<const MemberStatus> members, const Style& style);

}  // namespace cairn::ctl
