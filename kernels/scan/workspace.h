#pragma once

#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/arith/exp2.h"
#include "kernels/arith/host_device.h"
#include "kernels/arith/log2.h"
#include "kernels/cairn_kernels.h"
#include "kernels/recurrent/rule.h"

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

/// A chunk's gates, and four floats of which the first says how many of its rows are sound: those
/// before the first whose key, value, gate or beta is not finite.
constexpr int kGateRow = kChunk + 4;
constexpr int kChannelGateRow = kScanKey + 4;

/// Rows past a chunk's count are zeros, and so is what is not finite, since 0 times it would be NaN
/// in products of earlier rows. All are bf16 but the gates. [heads] are the key heads; for
/// a decay per channel the value heads, since each decays its keys in its own way.
struct ScanWorkspace {
  /// [slot][heads][64][128], normalised. With a decay per channel: as they are at the chunk's end.
  Bf16* key;
  /// Likewise, with outputs only. With a decay per channel: decayed from the chunk's beginning.
  Bf16* query;
  Bf16* erased;   ///< W = T diag(beta) (Gamma K), [slot][value_heads][64][128]; delta rules only.
  Bf16* written;  ///< U = T diag(beta) V, [slot][value_heads][64][V].
  /// P, row i's query by row j's key decayed from j to i, j <= i; [slot][value_heads][64][64]. With
  /// outputs only.
  Bf16* mixed;
  /// As `key`, but as they are at an emission, later rows zero: [emission][value_heads], in the
  /// order of a warp's registers (OperandAt). A decay per channel only.
  Bf16* emitted_key;
  /// G in powers of two, summed within the chunk, [slot][value_heads][64 + 4]. With a decay per
  /// channel: the decay over the whole chunk, [slot][value_heads][128 + 4].
  float* gate;
  float* emitted_gate;  ///< The decay up to an emission, [emission][value_heads][128].
};
/// Elements of each.
struct ScanWorkspaceSizes {
  std::int64_t key, query, erased, written, mixed, emitted_key, gate, emitted_gate;
};
CAIRN_BOTH ScanWorkspaceSizes SizesOf(const cairn_kernels_scan_shape& shape, RuleTraits rule) {
  const std::int64_t slots = SlotCount(shape.sequences, shape.tokens);
  const std::int64_t values = slots * shape.value_heads;
  const std::int64_t keys = rule.channel ? values : slots * shape.key_heads;
  const std::int64_t emitted = rule.channel ? std::int64_t{shape.emissions} * shape.value_heads : 0;
  return {.key = keys * kChunk * kScanKey,
          .query = shape.outputs != 0 ? keys * kChunk * kScanKey : 0,
          .erased = rule.delta ? values * kChunk * kScanKey : 0,
          .written = values * kChunk * shape.value_dim,
          .mixed = shape.outputs != 0 ? values * kChunk * kChunk : 0,
          .emitted_key = emitted * kChunk * kScanKey,
          .gate = values * (rule.channel ? kChannelGateRow : kGateRow),
          .emitted_gate = emitted * kScanKey};
}
CAIRN_BOTH std::int64_t BytesOf(const ScanWorkspaceSizes& size) {
  return (size.key + size.query + size.erased + size.written + size.mixed + size.emitted_key) * 2 +
         (size.gate + size.emitted_gate) * 4;
}
CAIRN_BOTH cairn_kernels_scan_shape ShapeOf(const cairn_kernels_recurrent& args) {
  return {.rule = args.rule,
          .sequences = args.sequences,
          .tokens = args.tokens,
          .key_heads = args.key_heads,
          .value_heads = args.value_heads,
          .value_dim = args.value_dim,
          .emissions = args.emit_starts == nullptr ? 0 : args.emissions,
          .outputs = args.output.data != nullptr ? 1 : 0,
          .reserved = 0};
}
CAIRN_BOTH ScanWorkspace Workspace(const cairn_kernels_scan& args, RuleTraits rule) {
  const ScanWorkspaceSizes size = SizesOf(ShapeOf(args.of), rule);
  ScanWorkspace w{};
  w.key = static_cast<Bf16*>(args.workspace);
  w.query = w.key + size.key;
  w.erased = w.query + size.query;
  w.written = w.erased + size.erased;
  w.mixed = w.written + size.written;
  w.emitted_key = w.mixed + size.mixed;
  w.gate = reinterpret_cast<float*>(w.emitted_key + size.emitted_key);
  w.emitted_gate = w.gate + size.gate;
  return w;
}

/// log2 of a decay per head, from a gate of that kind. What is less than 2^-160 is taken for this,
/// since e^g is 0 in float long before, and sums of it stay finite.
CAIRN_BOTH float LogOfDecay(std::int32_t gate_kind, float gate) {
  constexpr float kLeast = -160.0F;
  const float log = gate_kind == CAIRN_KERNELS_GATE_LOG ? gate * kLog2E : Log2(gate);
  return log < kLeast ? kLeast : log;
}
/// A decay per channel, likewise.
CAIRN_BOTH float DecayOf(std::int32_t gate_kind, float gate) {
  return gate_kind == CAIRN_KERNELS_GATE_LOG ? Exp2(gate * kLog2E) : gate;
}

}  // namespace cairn::kernels
