#include "services/cairnctl/text_members.h"

#include "libcache/base/bytes.h"
#include "services/cairnctl/format.h"

namespace cairn::ctl {
namespace {

std::uint64_t Counter(const v1::StatusReply& status, const std::string& name) {
  const auto found = status.counters().find(name);
  return found == status.counters().end() ? 0 : found->second;
}

std::uint64_t Served(const v1::StatusReply& status) {
  return Counter(status, "hit_tokens_host") + Counter(status, "hit_tokens_ssd") +
         Counter(status, "hit_tokens_gpu");
}

bool IsOff(const v1::TierStatus& tier) {
  return tier.state().starts_with("off") || tier.state().starts_with("absent");
}

const v1::TierStatus* HostTier(const v1::StatusReply& status) {
  for (const v1::TierStatus& tier : status.tiers()) {
    if (tier.name() == "host") {
      return &tier;
    }
  }
  return nullptr;
}

}  // namespace

std::string MembersText(std::span<const MemberStatus> members, const Style& style) {
  Table table({{"MEMBER"},
               {"STATE"},
               {"UP", Align::kRight},
               {"MATCHES", Align::kRight},
               {"SERVED", Align::kRight},
               {"HOST USED", Align::kRight},
               {"FULL", Align::kRight},
               {"LEASES", Align::kRight},
               {"ENDPOINT"},
               {"PROBLEM"}});
  for (const MemberStatus& member : members) {
    if (!member.status) {
      table.AddRow({member.member.name, member.State(), "-", "-", "-", "-", "-", "-",
                    member.member.endpoint, member.status.error().message});
      continue;
    }
    const v1::StatusReply& status = *member.status;
    const v1::TierStatus* const host = HostTier(status);
    table.AddRow({member.member.name, member.State(), FormatSeconds(status.uptime_seconds()),
                  FormatCount(Counter(status, "matches")), FormatCount(Served(status), "token"),
                  host == nullptr ? "-" : FormatBytes(host->used_bytes()),
                  host == nullptr ? "-" : FormatShare(host->used_bytes(), host->capacity_bytes()),
                  FormatCount(status.leases()), member.member.endpoint, ""});
  }
  return table.Text(style);
}

std::string MemberTiersText(std::span<const MemberStatus> members, const Style& style) {
  Table table({{"MEMBER"},
               {"TIER"},
               {"USED", Align::kRight},
               {"CAPACITY", Align::kRight},
               {"FULL", Align::kRight},
               {"STATE"}});
  for (const MemberStatus& member : members) {
    if (!member.status) {
      table.AddRow({member.member.name, "-", "-", "-", "-",
                    member.State() + ": " + member.status.error().message});
      continue;
    }
    for (const v1::TierStatus& tier : member.status->tiers()) {
      const bool off = IsOff(tier);
      table.AddRow({member.member.name, tier.name(), off ? "-" : FormatBytes(tier.used_bytes()),
                    off ? "-" : FormatBytes(tier.capacity_bytes()),
                    FormatShare(tier.used_bytes(), tier.capacity_bytes()), tier.state()});
    }
  }
  return table.Text(style);
}

}  // namespace cairn::ctl
