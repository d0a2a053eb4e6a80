#pragma once

#include <cstdint>
#include <string>

#include "libcache/base/result.h"

namespace cairn::bench {

/// What ucx_perftest measures of one-sided writes between two processes of this host: messages of
/// `size` bytes one after the other, always the same ones, so that those that fit stay in the
/// processor's caches. Bytes per second. Errors: kNotFound if it is not installed; kUnavailable.
Result<double> UcxPerftestBytesPerSecond(std::uint64_t size, const std::string& transports);

}  // namespace cairn::bench
