#pragma once

#include "libcache/codec/codec.h"

namespace cairn {

/// Lossless for any bytes. The exponents of states and KV lie close together, their mantissas are
/// noise: so the bytes of a chunk's elements are told apart into planes, and each plane that is
/// worth it is entropy-coded (rans.h), the others kept as they are. About 0.68 of the size for
/// bf16, 0.84 for fp32, 0.85 for fp16.
///
/// Chunks of 128 KiB with a model of their own, found by an index in front, so that threads or
/// warps code them side by side. With Element::kBytes each chunk finds out for itself how its
/// elements are best read, by a sample: a checkpoint may have fp32 states and a bf16 window. The
/// type only decides the size; NaNs, denormals, odd lengths and text come back bit by bit.
///
/// Speed: docs/benchmarks.md. Memory beside the caller's: 512 KiB. Thread-safe.
const Codec& ExponentSplitCodec();

}  // namespace cairn
