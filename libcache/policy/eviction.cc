#include "libcache/policy/eviction.h"

#include <string>

#include "libcache/policy/policies.h"

namespace cairn {

Result<std::unique_ptr<EvictionPolicy>> MakeEvictionPolicy(std::string_view name) {
  if (name == "value" || name == "gdsf") {
    return internal::MakeValue();
  }
  if (name == "lru") {
    return internal::MakeLru();
  }
  if (name == "lfu") {
    return internal::MakeLfu();
  }
  if (name == "w_tinylfu") {
    return internal::MakeWTinyLfu();
  }
  return Fail(ErrorCode::kInvalidArgument,
              "eviction policy '" + std::string(name) + "': must be value, lru, lfu or w_tinylfu");
}

}  // namespace cairn
