#pragma once

#include "libcache/codec/codec.h"

namespace cairn {

/// Lossy, for fp32 of any use: each value as the nearest bf16, ties to even, and those without loss
/// (exponent_split.h). What a namespace of near fidelity says it is content with. Only fp32 has
/// something to give: other elements are refused.
///
///   |x - x'| <= 2^-8 |x|, and 2^-134 where that is more (denormals).
/// What would round up to an infinity becomes the largest finite bf16; infinities stay, and every
/// NaN comes back as the same one. Coding what was coded changes nothing.
///
/// Size: a third. Memory beside the caller's: as exponent_split. Thread-safe.
const Codec& Bf16RoundCodec();

}  // namespace cairn
