#pragma once

#include "libcache/codec/codec.h"

namespace cairn {

/// Lossy, for attention KV: one byte per element, one fp32 scale for every 128 elements of a row
/// (the last group of a row may be shorter). Rows are tokens; with 128 channels to a head a scale
/// serves one head of one token.
///
/// With a the largest finite |x| of the group, and u 0 for fp32, 2^-11 for fp16, 2^-8 for bf16:
/// - int8_kv: s = a / 127, x / s rounded to nearest even: |x - x'| <= s (1/2 + 2^-15) + u a.
/// - fp8_kv: s = a / 448, x / s rounded to e4m3 (OCP: 4 bits of exponent, 3 of mantissa):
///   |x - x'| <= max(|x| (2^-4 + 2^-20), s (2^-10 + 2^-15)) + u a. Half of the last place, which is
///   2^-3 of the leading one, or 2^-9 among denormals. Smaller values keep their digits, large ones
///   have fewer than with int8.
/// A group with s < 2^-126 comes back as zeros. What is not finite comes back as NaN.
///
/// Size: a quarter (fp32) or half, and 1/32 of that for scales. Thread-safe.
const Codec& Int8KvCodec();
const Codec& Fp8KvCodec();

}  // namespace cairn
