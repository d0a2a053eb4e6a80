#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace cairn {

/// What went wrong, said as what the caller can do about it. The values travel in the protocol and
/// in the C ABI (cairn.h), so they are never renumbered.
enum class ErrorCode : int {
  kOk = 0,
  kNotFound = 1,          ///< A miss. Always allowed, never logged above debug.
  kExists = 2,            ///< The object is already committed; nothing to do.
  kInProgress = 3,        ///< Another writer holds the key; do not wait for it.
  kInvalidArgument = 4,   ///< The caller is wrong; the message names the field.
  kDeadlineExceeded = 5,  ///< Treat as a miss.
  kOverloaded = 6,        ///< A stated limit is reached; treat as a miss, retry later.
  kUnavailable = 7,       ///< No daemon, draining, or the circuit breaker is open.
  kCorrupt = 8,           ///< A checksum, length or format check failed; the object is quarantined.
  kNoSpace = 9,           ///< A capacity cap or the disk is full.
  kPermissionDenied = 10,
  kUnsupported = 11,  ///< Another protocol or format version.
  kExpired = 12,      ///< The lease or reservation is gone; treat as a miss.
  kIo = 13,           ///< The operating system refused.
  kInternal = 14,     ///< A bug of ours.
};

/// Stable lower-case name, as printed by the tools: "not_found", "overloaded", ...
std::string_view ErrorName(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

/// "not_found: no such prefix".
std::string ToString(const Error& error);

/// A value or an Error. Derived only to be [[nodiscard]].
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

inline tl::unexpected<Error> Fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

/// Passes an error on, of whatever type the failed result was.
inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace cairn
