#pragma once

#include "libcache/codec/codec.h"

namespace cairn {

/// Lossy, for recurrent states: int8 with one fp32 scale per column of each matrix (a head of a
/// layer is a matrix; with rows of V and columns of K a scale serves one key dimension). A copy is
/// coded once; a state that was computed from a coded one has that one's error too.
///
/// With a the largest finite |x| of the column: s = a / 127, q = x / s rounded to nearest even.
///   |x - x'| <= s (1/2 + 2^-15) + u a,   u: 0 for fp32, 2^-11 for fp16, 2^-8 for bf16.
/// (q is off by 1/2 and by 127 roundings of 2^-24 of the quotient, x' = q s by another; then x' is
/// rounded to the element.) About 0.65 % of a column's root mean square on states of a gated delta
/// network. A column with a < 127 * 2^-126 comes back as zeros. What is not finite comes back as
/// NaN, and does not touch the rest of its column.
///
/// Size: a quarter (fp32) or half, and 4 bytes per column. Thread-safe.
const Codec& Int8ColumnCodec();

}  // namespace cairn
