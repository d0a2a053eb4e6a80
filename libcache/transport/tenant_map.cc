#include "libcache/transport/tenant_map.h"

#include <algorithm>
#include <utility>

#include "libcache/base/text.h"

namespace cairn {
namespace {

// As NamespaceSpec limits its fields.
constexpr std::size_t kMaxTenantBytes = 256;
constexpr std::size_t kMaxIdentityBytes = 2048;  // Of a SPIFFE ID.

std::vector<std::string_view> Entries(std::string_view text) {
  std::vector<std::string_view> entries;
  while (!Trimmed(text).empty()) {
    const std::size_t comma = text.find(',');
    if (const std::string_view entry = Trimmed(text.substr(0, comma)); !entry.empty()) {
      entries.push_back(entry);
    }
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return entries;
}

bool IsName(std::string_view text, std::size_t most) {
  return !text.empty() && text.size() <= most &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

/// In the form in which IdentityOf gives it: only a SPIFFE ID has a path whose case counts.
std::string Normal(std::string_view identity) {
  std::string text(identity);
  if (!text.starts_with("spiffe://")) {
    std::transform(text.begin(), text.end(), text.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
  }
  return text;
}

tl::unexpected<Error> Bad(std::string_view entry, const std::string& why) {
  // Whatever was written is shown on one line.
  std::string shown(entry.substr(0, 200));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < 0x20 || c > 0x7E; }, '?');
  return Fail(ErrorCode::kInvalidArgument, "'" + shown + "': " + why);
}

}  // namespace

Result<TenantMap> TenantMap::Parse(std::string_view text) {
  TenantMap map;
  const std::vector<std::string_view> entries = Entries(text);
  if (entries.empty() && !text.empty()) {
    // Without a map everybody is let in, which nobody means who writes one.
    return Bad(text, "there is no entry in it; write identity=tenant, or leave it out");
  }
  for (const std::string_view entry : entries) {
    const std::size_t equals = entry.rfind('=');
    const std::string_view pattern = Trimmed(entry.substr(0, equals));
    const std::string_view tenant =
        equals == std::string_view::npos ? std::string_view() : Trimmed(entry.substr(equals + 1));
    if (!IsName(pattern, kMaxIdentityBytes) || !IsName(tenant, kMaxTenantBytes)) {
      return Bad(entry, "write identity=tenant, for instance spiffe://cluster/ns/acme/*=acme");
    }
    const std::size_t star = pattern.find('*');
    if (star == std::string_view::npos) {
      if (!map.exact_.emplace(Normal(pattern), tenant).second) {
        return Bad(entry, "the identity is there twice");
      }
      continue;
    }
    const bool everybody = pattern == "*";
    const bool below = pattern.starts_with("spiffe://") && pattern.ends_with("/*");
    if (star + 1 != pattern.size() || (!everybody && !below)) {
      // "acme*" would let "acme-of-somebody-else" in.
      return Bad(entry,
                 "a * stands at the end, behind the / of a spiffe:// path, or alone for everybody");
    }
    const std::string_view prefix = pattern.substr(0, star);
    const bool twice = std::any_of(map.prefixes_.begin(), map.prefixes_.end(),
                                   [prefix](const Prefix& other) { return other.text == prefix; });
    if (twice) {
      return Bad(entry, "the pattern is there twice");
    }
    map.prefixes_.push_back({.text = std::string(prefix), .tenant = std::string(tenant)});
  }
  std::stable_sort(map.prefixes_.begin(), map.prefixes_.end(),
                   [](const Prefix& a, const Prefix& b) { return a.text.size() > b.text.size(); });
  return map;
}

std::optional<std::string> TenantMap::TenantOf(std::string_view identity) const {
  if (identity.empty()) {
    return std::nullopt;
  }
  if (const auto exact = exact_.find(identity); exact != exact_.end()) {
    return exact->second;
  }
  const auto prefix =
      std::find_if(prefixes_.begin(), prefixes_.end(), [identity](const Prefix& candidate) {
        return identity.starts_with(candidate.text) && identity.size() > candidate.text.size();
      });
  return prefix == prefixes_.end() ? std::nullopt : std::optional(prefix->tenant);
}

Result<std::vector<std::string>> ParseIdentities(std::string_view text) {
  std::vector<std::string> identities;
  const std::vector<std::string_view> entries = Entries(text);
  if (entries.empty() && !text.empty()) {
    return Bad(text, "there is no identity in it; write one, or leave it out");
  }
  for (const std::string_view entry : entries) {
    if (!IsName(entry, kMaxIdentityBytes) || entry.find('*') != std::string_view::npos) {
      return Bad(entry, "write whole identities, for instance spiffe://cluster/admin");
    }
    identities.push_back(Normal(entry));
  }
  return identities;
}

}  // namespace cairn
