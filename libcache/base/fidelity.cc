#include "libcache/base/fidelity.h"

#include <string>

#include "libcache/base/check.h"

namespace cairn {

std::string_view FidelityName(Fidelity fidelity) {
  switch (fidelity) {
    case Fidelity::kExact: return "exact";
    case Fidelity::kNear: return "near";
    case Fidelity::kCompact: return "compact";
  }
  CAIRN_CHECK(false && "not a Fidelity");
}

Result<Fidelity> ParseFidelity(std::string_view name) {
  for (const Fidelity fidelity : {Fidelity::kExact, Fidelity::kNear, Fidelity::kCompact}) {
    if (name == FidelityName(fidelity)) {
      return fidelity;
    }
  }
  return Fail(ErrorCode::kInvalidArgument,
              "'" + std::string(name) + "' is not one of exact, near, compact");
}

Result<Fidelity> FidelityOf(std::int64_t number) {
  if (number < 0 || number >= kFidelities) {
    return Fail(ErrorCode::kUnsupported,
                std::to_string(number) + " is unknown here; 0 is exact, 1 near, 2 compact");
  }
  return static_cast<Fidelity>(number);
}

}  // namespace cairn
