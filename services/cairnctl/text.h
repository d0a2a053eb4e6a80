#pragma once

#include <string>
#include <string_view>

#include "cairn/v1/admin.pb.h"
#include "services/cairnctl/table.h"

namespace cairn::ctl {

// What people read. The layout is not an interface: scripts take --json.

std::string StatusText(const v1::StatusReply& status, std::string_view endpoint,
                       const Style& style);
std::string TiersText(const v1::StatusReply& status, const Style& style);
/// `status` names the namespaces. Indentation grows where prefixes part; what follows without a
/// branch stays in its column, since prompts are hundreds of blocks deep. `full` shows whole keys.
std::string TreeText(const v1::TreeReply& tree, const v1::StatusReply& status, bool full,
                     const Style& style);
std::string PlacementShowText(const v1::PlacementShowReply& shown, bool full, const Style& style);
std::string PlacementExplainText(const v1::PlacementExplainReply& path, const Style& style);
std::string LookupText(const v1::LookupReply& found, const Style& style);
std::string LeasesText(const v1::LeasesReply& leases, const Style& style);
std::string ConfigText(const v1::ConfigReply& config, const Style& style);

}  // namespace cairn::ctl
