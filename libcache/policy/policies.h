#pragma once

#include <memory>

#include "libcache/policy/eviction.h"

// The policies behind MakeEvictionPolicy, one file each.
namespace cairn::internal {

std::unique_ptr<EvictionPolicy> MakeValue();
std::unique_ptr<EvictionPolicy> MakeLru();
std::unique_ptr<EvictionPolicy> MakeLfu();
std::unique_ptr<EvictionPolicy> MakeWTinyLfu();

}  // namespace cairn::internal
