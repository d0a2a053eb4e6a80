#pragma once

#include "libcache/codec/codec.h"

namespace cairn {

/// Lossy, for attention KV: CacheGen's scheme (SIGCOMM 2024, arXiv 2310.07240) with another entropy
/// coder. Matrices alternate between keys and values of a layer, rows are tokens. Of every ten
/// tokens the first is an anchor, in int8; the others are differences from it, since tokens near
/// each other are alike, in 31 levels in the first third of the layers and in 15 behind it, since
/// early layers matter more. Scales are bf16, one for 128 channels of a token. Codes then go
/// through interleaved rANS (rans.h) with a model per segment (some 65,536 codes of one matrix), so
/// segments decode side by side, and each by 32 lanes.
///
/// With a the largest finite |x| of an anchor's 128 channels, and s the bf16 not below a / 127:
///   |x - x'| <= s (1/2 + 2^-7) + u a for anchors (u: 0, 2^-11, 2^-8 as in the others).
/// With A' what the anchor comes back as before it is rounded to its type, d the largest |x - A'|
/// of a token's 128 channels, and s the bf16 not below d / 15, or d / 7:
///   |x - x'| <= s (1/2 + 2^-7) + (2^-22 + u) (|x| + |A'|).
/// What is not finite, or further from its anchor than fp32 can say, comes back as NaN. Scales
/// below 2^-126 are 0.
///
/// Size: what the differences need; figures in docs/benchmarks.md. Thread-safe.
const Codec& CacheGenCodec();

}  // namespace cairn
