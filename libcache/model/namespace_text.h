#pragma once

#include <string_view>

#include "libcache/base/result.h"
#include "libcache/model/prefix_key.h"

namespace cairn {

/// Reads what CanonicalNamespace wrote; grid_tokens, which it leaves out, is block_tokens.
/// Errors: kCorrupt.
Result<NamespaceSpec> ParseCanonicalNamespace(std::string_view text);

}  // namespace cairn
