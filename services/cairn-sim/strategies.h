#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"

namespace cairn::sim {

struct NamedChoice {
  std::string name;
  std::string text;
};

/// What may stand behind --strategy, of what is built in, with a line about each.
std::vector<NamedChoice> Strategies();
/// What may stand behind --eviction.
std::vector<NamedChoice> Evictions();

/// Errors: kInvalidArgument, lists the names.
Status CheckStrategy(std::string_view name);
Status CheckEviction(std::string_view name);
/// The eviction that a strategy is known with; engines have lru. The oracle has a way of its own,
/// whatever is said here.
std::string OwnEviction(const std::string& strategy);

/// Prints the names. Returns the exit code.
int RunStrategies(bool json);

}  // namespace cairn::sim
