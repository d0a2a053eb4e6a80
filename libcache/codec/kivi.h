#pragma once

#include "libcache/codec/codec.h"

namespace cairn {

/// Lossy, for attention KV: 2 or 4 bits per element as KIVI has it (arXiv 2402.02750). Matrices
/// with even numbers are keys and quantised per channel over groups of 32 tokens, since single
/// channels of keys are large; odd ones are values and quantised per token over groups of 32
/// channels. Rows are tokens. The newest tokens that fill no group of 32 are kept as they are, of
/// keys and values.
///
/// With lo and hi the ends of a group and n = 2^bits - 1: s = (hi - lo) / n, rounded up to a bf16;
/// codes are (x - lo) / s to nearest even, and x' = lo + q s.
///   |x - x'| <= s (1/2 + 2^-10) + (2^-22 + u) max(|lo|, |hi|),   u: 0, 2^-11, 2^-8 as in the
///   others;
/// s <= (1 + 2^-7) (hi - lo) / n. (lo is an element and so exact; the bf16 is rounded up so that n
/// s reaches hi.) A constant group, or one with s < 2^-126, has s = 0 and comes back as lo. A group
/// in which something is not finite, or wider than fp32 can say, comes back as NaN as a whole:
/// there is no code to spare for one element.
///
/// Size of bf16: 3/16 (2 bits) and 5/16 (4 bits). Thread-safe.
const Codec& Kivi2Codec();
const Codec& Kivi4Codec();

}  // namespace cairn
