#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

/// Which tenant an identity belongs to, as an operator wrote it:
///   spiffe://cluster/ns/acme/*=acme,engine.acme.example=acme
/// An entry is for one identity, or for all SPIFFE IDs below a path ("/*" at the end); "*" alone is
/// for everybody. The longest entry that fits counts.
class TenantMap {
 public:
  /// Entries are separated by commas; space around them does not count. Errors: kInvalidArgument,
  /// naming the entry; also for a text that is not empty and has none.
  static Result<TenantMap> Parse(std::string_view text);

  /// Nullopt: of no tenant.
  [[nodiscard]] std::optional<std::string> TenantOf(std::string_view identity) const;
  [[nodiscard]] bool empty() const { return exact_.empty() && prefixes_.empty(); }

 private:
  struct Prefix {
    std::string text;  // With the "/" at its end, without the "*".
    std::string tenant;
  };
  std::map<std::string, std::string, std::less<>> exact_;
  std::vector<Prefix> prefixes_;  // Longest first.
};

/// Identities, separated by commas. Errors: kInvalidArgument, naming the entry; also for a text
/// that is not empty and has none.
Result<std::vector<std::string>> ParseIdentities(std::string_view text);

}  // namespace cairn
