#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "libcache/base/key.h"

namespace cairn::bench {

/// The bytes of an object, as a function of its key and kind alone: whoever reads an object back
/// knows what it must hold without having kept it. Several GB/s a core in both directions.
void FillPayload(const PrefixKey& key, ObjectKind kind, std::span<std::byte> out);

/// Whether `bytes` are what FillPayload writes. Makes no second copy.
[[nodiscard]] bool IsPayload(const PrefixKey& key, ObjectKind kind,
                             std::span<const std::byte> bytes);

}  // namespace cairn::bench
