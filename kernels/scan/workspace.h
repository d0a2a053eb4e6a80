#pragma once

#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels.h"

// What the preparing kernel leaves for the scan, chunk by chunk.
namespace cairn::kernels {

constexpr int kChunk = 64;
constexpr int kScanKey = 128;  ///< K; the scan has registers for no other.

/// Chunks come in slots. Those of sequence n begin at cu_seqlens[n] / 64 + 2 n, which is known
/// without a look at other sequences: a sequence of T tokens has at most T / 64 + 2 chunks.
CAIRN_BOTH std::int64_t FirstSlot(std::int64_t begin, std::int64_t n) {
  return begin / kChunk + 2 * n;
}
CAIRN_BOTH std::int64_t SlotCount(std::int64_t sequences, std::int64_t tokens) {
  return tokens / kChunk + 2 * sequences;
}

/// A part of a sequence that ends at a multiple of 64 of its positions, or with the sequence.
struct ChunkRange {
  std::int32_t first;  ///< Token of the sequence.
  std::int32_t count;  ///< 1 .. 64; 0: the sequence has no such chunk.
};
CAIRN_BOTH ChunkRange RangeOf(std::int32_t chunk, std::int32_t first_position,
                              std::int32_t length) {
  const std::int64_t offset = first_position % kChunk;
  const std::int64_t begin = std::int64_t{chunk} * kChunk - offset;
  const std::int64_t end = begin + kChunk;
  const std::int64_t first = begin < 0 ? 0 : begin;
  const std::int64_t last = end < length ? end : length;
  return {static_cast<std::int32_t>(first),
          static_cast<std::int32_t>(last > first ? last - first : 0)};
}

/// Rows past a chunk's count are zeros. All are bf16 but the gates.
struct ScanWorkspace {
  Bf16* key;      ///< [slot][key_heads][64][128], normalised.
  Bf16* query;    ///< Likewise; null without outputs.
  Bf16* erased;   ///< W = T diag(beta Gamma) K, [slot][value_heads][64][128]; delta rules only.
  Bf16* written;  ///< U = T diag(beta) V, [slot][value_heads][64][V].
  Bf16* mixed;  ///< tril(e^{G_i - G_j} q_i k_j), [slot][value_heads][64][64]; null without outputs.
  float* gate;  ///< G in powers of two, summed within the chunk, [slot][value_heads][64].
};
/// Elements of each.
struct ScanWorkspaceSizes {
  std::int64_t key, erased, written, mixed, gate;
};
CAIRN_BOTH ScanWorkspaceSizes SizesOf(std::int64_t slots, std::int64_t key_heads,
                                      std::int64_t value_heads, std::int64_t value_dim) {
  return {.key = slots * key_heads * kChunk * kScanKey,
          .erased = slots * value_heads * kChunk * kScanKey,
          .written = slots * value_heads * kChunk * value_dim,
          .mixed = slots * value_heads * kChunk * kChunk,
          .gate = slots * value_heads * kChunk};
}
CAIRN_BOTH std::int64_t BytesOf(const ScanWorkspaceSizes& size, bool outputs) {
  return (size.key + size.erased + size.written + (outputs ? size.key + size.mixed : 0)) * 2 +
         size.gate * 4;
}
CAIRN_BOTH ScanWorkspace Workspace(void* memory, const ScanWorkspaceSizes& size, bool outputs) {
  ScanWorkspace w{};
  w.key = static_cast<Bf16*>(memory);
  w.erased = w.key + size.key;
  w.written = w.erased + size.erased;
  Bf16* end = w.written + size.written;
  if (outputs) {
    w.query = end;
    w.mixed = w.query + size.key;
    end = w.mixed + size.mixed;
  }
  w.gate = reinterpret_cast<float*>(end);
  return w;
}
CAIRN_BOTH ScanWorkspace Workspace(const cairn_kernels_scan& args) {
  return Workspace(args.workspace,
                   SizesOf(SlotCount(args.of.sequences, args.of.tokens), args.of.key_heads,
                           args.of.value_heads, args.of.value_dim),
                   args.of.output.data != nullptr);
}

/// log2 of a decay below which it is taken for this: e^g is 0 in float long before.
constexpr float kLeastGate = -160.0F;

}  // namespace cairn::kernels
