#pragma once

#include <cstdint>
#include <string_view>

#include "libcache/base/result.h"

namespace cairn {

/// How near to what was stored a namespace's objects must be when they come back. Declared by the
/// engine and part of every key, so that who wants exact never gets less. Ordered: each permits
/// what those before it permit. The values travel.
enum class Fidelity : std::uint8_t {
  kExact = 0,    ///< The very bytes.
  kNear = 1,     ///< fp32 may come back as the nearest bf16.
  kCompact = 2,  ///< Values may come back within the stated bound of any codec.
};
inline constexpr std::uint32_t kFidelities = 3;

/// "exact", "near", "compact".
std::string_view FidelityName(Fidelity fidelity);
/// Errors: kInvalidArgument, lists the names.
Result<Fidelity> ParseFidelity(std::string_view name);
/// As it travels in messages and structs. Errors: kUnsupported: a number that only newer programs
/// know.
Result<Fidelity> FidelityOf(std::int64_t number);

}  // namespace cairn
