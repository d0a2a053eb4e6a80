#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/v1/admin.pb.h"
#include "libcache/base/result.h"
#include "libcache/transport/certificates.h"
#include "libcache/transport/dev_certificates.h"
#include "services/cairnctl/members.h"

namespace cairn::ctl {

// What --json prints: one object, indented, with a line end. The field names are an interface
// (docs/cairnctl.md); they are added to, never renamed. Numbers are numbers; bytes that are not
// UTF-8 are replaced.

std::string StatusJson(const v1::StatusReply& status);
std::string TiersJson(const v1::StatusReply& status);
/// Of status, tiers and members for several daemons: what `status` prints for each, or its error.
std::string MembersJson(std::span<const MemberStatus> members);
std::string TreeJson(const v1::TreeReply& tree);
std::string LookupJson(const v1::LookupReply& found);
std::string LeasesJson(const v1::LeasesReply& leases);
std::string ConfigJson(const v1::ConfigReply& config);

std::string PlacementShowJson(const v1::PlacementShowReply& shown);
std::string PlacementExplainJson(const v1::PlacementExplainReply& path);
/// Of placement export and import; `places` were written or taken.
std::string PlacementFileJson(std::string_view path, std::uint64_t places, std::uint64_t of);
/// The same of an import. `left_out` in words; empty: nothing.
std::string PlacementImportJson(std::string_view path, std::uint64_t places, std::uint64_t of,
                                std::string_view left_out);

/// Of cert dev.
std::string CertDevJson(std::string_view directory, const DevCertificates& made);
/// Of cert show.
std::string CertShowJson(const std::vector<CertificateInfo>& certificates);

/// Of pin and unpin.
std::string PinJson(const v1::LookupReply& found, bool pinned);
/// Of evict and clear; `key` is empty for clear.
std::string EvictedJson(const v1::CountReply& count, std::string_view key, bool host_only);
/// `seconds` is negative while the daemon has not ended; `cut_off` counts once it has.
std::string DrainJson(double seconds, bool cut_off);
/// `daemon` is empty if there is none; then `problem` says why.
std::string VersionJson(std::string_view endpoint, std::string_view daemon, const Error& problem);
std::string CompletionJson(std::string_view shell, std::string_view script);

/// One line, for standard error. `code` is ErrorName of a code, or "usage".
std::string ErrorJson(std::string_view code, std::string_view message);

}  // namespace cairn::ctl
