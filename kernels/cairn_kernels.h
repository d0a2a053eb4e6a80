/// The kernels of Cairn, as C: advancing recurrent states, emitting them at chosen positions, and
/// moving them. No torch, no allocation, no wait for the device; calls can be captured in a graph.
///
/// Every operation comes twice: `..._cpu` runs here and now, `..._cuda` is queued on `stream` (a
/// cudaStream_t) of the current device. Both give the same bits unless a function says otherwise.
///
/// Pointers of a `..._cuda` call, those to lists included, are device memory; the structs
/// themselves are read before the call returns. The caller owns all memory and keeps it until the
/// work is done. Every function is safe to call from several threads at once as long as no two
/// calls write the same memory.
///
/// Errors: what is wrong with shapes, types and pointers is returned at once, and nothing was
/// written. What is wrong inside device memory (positions, slots, lengths) cannot be seen without
/// waiting for the device: the sequence that has it is left alone, and its code is put into
/// `device_error` if that is given; nothing that the call wrote is to be used then, since one wrong
/// list may mislead the others' work. The CPU looks at all of it first and returns the code.
#ifndef CAIRN_KERNELS_H
#define CAIRN_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CAIRN_KERNELS_VERSION 1

typedef enum cairn_kernels_status {
  CAIRN_KERNELS_OK = 0,
  CAIRN_KERNELS_NULL = 1,       /* a pointer that must be given is null */
  CAIRN_KERNELS_SHAPE = 2,      /* a size or stride is negative, zero or not one this kernel has */
  CAIRN_KERNELS_HEADS = 3,      /* value_heads is no multiple of key_heads */
  CAIRN_KERNELS_DTYPE = 4,      /* an element type that is unknown or not allowed there */
  CAIRN_KERNELS_LENGTHS = 5,    /* cu_seqlens does not begin at 0, falls, or passes `tokens` */
  CAIRN_KERNELS_POSITIONS = 6,  /* positions not rising, below 0 or past the sequence's length */
  CAIRN_KERNELS_SLOTS = 7,      /* a slot below -1 or past the pool, or written by two sequences */
  CAIRN_KERNELS_UNKNOWN = 8,    /* a rule, layout or option of a newer version */
  CAIRN_KERNELS_NO_DEVICE = 9,  /* built without CUDA, or no device or driver is here */
  CAIRN_KERNELS_LAUNCH = 10,    /* the driver refused; cairn_kernels_last_cuda_error has its code */
  CAIRN_KERNELS_ALIGNMENT = 11, /* a pointer or stride is not a multiple of what it must be */
  CAIRN_KERNELS_CHECKSUM = 12,  /* bytes are not those that a digest was made of */
  CAIRN_KERNELS_DAMAGED = 13    /* encoded bytes that no encoder writes */
} cairn_kernels_status;

typedef enum cairn_kernels_dtype {
  CAIRN_KERNELS_F32 = 0,
  CAIRN_KERNELS_BF16 = 1,
  CAIRN_KERNELS_F16 = 2
} cairn_kernels_dtype;

/// A sentence in English, never null.
const char* cairn_kernels_status_text(cairn_kernels_status status);
/// The arithmetic of this build: part of a namespace's kernel id, since states made by another are
/// not bit-equal. It changes whenever a result may.
const char* cairn_kernels_id(void);
/// "avx512", "avx2" or "scalar": what the CPU calls use here. CAIRN_KERNELS_ISA in the environment
/// may name a lesser one, for tests. All give the same bits.
const char* cairn_kernels_cpu_path(void);
/// The cudaError_t of this thread's last CAIRN_KERNELS_LAUNCH, or 0.
int32_t cairn_kernels_last_cuda_error(void);

/* ---- recurrent advance -------------------------------------------------------------------------
 */

/// How a state S [V][K] of one head takes in one token with key k [K] and value v [V]:
///   delta rules:  d = S' k,  u = beta (v - d),  S <- S' + u k^T      where S' = decay(S)
///   plain rules:             u = beta v,        S <- S' + u k^T
/// and what it gives back is o = scale * S q (+ skip * v).
typedef enum cairn_kernels_rule {
  CAIRN_KERNELS_GATED_DELTA = 0, /* Gated DeltaNet: delta, one decay per head (arXiv 2412.06464) */
  CAIRN_KERNELS_KDA = 1, /* Kimi delta attention: delta, a decay per key channel (2510.26692) */
  CAIRN_KERNELS_GLA = 2, /* gated linear attention: plain, per key channel (2312.06635) */
  CAIRN_KERNELS_SSD = 3, /* Mamba-2: plain, per head; k = B, q = C, v = x, beta = dt (2405.21060) */
  CAIRN_KERNELS_LIGHTNING = 4 /* lightning attention: plain, a constant per head (2401.04658) */
} cairn_kernels_rule;

typedef enum cairn_kernels_gate {
  CAIRN_KERNELS_GATE_LOG = 0,   /* g, decay = e^g; -infinity forgets all */
  CAIRN_KERNELS_GATE_FACTOR = 1 /* the decay itself, 0 or more, as FlashInfer has it */
} cairn_kernels_gate;

/// Rows of tokens by heads; the last dimension is contiguous, strides are in elements and may be 0.
typedef struct cairn_kernels_rows {
  void* data;
  int64_t token_stride;
  int64_t head_stride;
  int32_t dtype;
  int32_t reserved; /* 0 */
} cairn_kernels_rows;

/// Slots of whole layer states, each [heads][V][K] (value-major) and contiguous.
typedef struct cairn_kernels_pool {
  void* data;
  int64_t slot_stride; /* in elements, at least heads * V * K */
  int32_t slots;
  int32_t dtype;
} cairn_kernels_pool;

/// One layer, many sequences. Sequence n has the tokens cu_seqlens[n] .. cu_seqlens[n + 1] of all
/// rows; a length of 0 leaves its state as it is. K is 64, 128 or 256, V a multiple of 16 up to
/// 256; value head h uses key head h / (value_heads / key_heads), and the gate and beta of its own.
typedef struct cairn_kernels_recurrent {
  uint32_t struct_bytes; /* sizeof(cairn_kernels_recurrent) */
  int32_t rule;          /* cairn_kernels_rule */
  int32_t gate_kind;     /* cairn_kernels_gate */
  int32_t normalize;     /* 1: q and k are divided by their length, as DeltaNet's layers do */
  int32_t sequences;
  int32_t key_heads;
  int32_t value_heads;
  int32_t key_dim;              /* K */
  int32_t value_dim;            /* V */
  float scale;                  /* of the outputs */
  int64_t tokens;               /* of all sequences; what cu_seqlens may reach */
  const int32_t* cu_seqlens;    /* [sequences + 1] */
  cairn_kernels_rows key;       /* [tokens][key_heads][K] */
  cairn_kernels_rows value;     /* [tokens][value_heads][V] */
  cairn_kernels_rows query;     /* [tokens][key_heads][K]; needed with output only */
  cairn_kernels_rows output;    /* [tokens][value_heads][V]; null: state only. f32, bf16 or f16 */
  cairn_kernels_rows gate;      /* f32 [tokens][value_heads], or [..][K] for a decay per channel */
  cairn_kernels_rows beta;      /* f32 [tokens][value_heads]; null: 1 */
  const float* skip;            /* [value_heads], Mamba-2's D; null: 0. Plain rules only */
  cairn_kernels_pool state;     /* f32; both ends of every sequence, in place */
  const int32_t* initial_slots; /* [sequences]; -1, or null for all: begin with zeros */
  const int32_t* final_slots;   /* [sequences]; -1, or null for all: the end is not kept */
  /// Emission: after emit_positions[e] tokens of sequence n, for e in emit_starts[n] ..
  /// emit_starts[n + 1]; rising, 0 (the initial state) and the whole length allowed. It goes to
  /// slot emit_slots[e] (null: e) of `emit`, f32 or bf16. Emission changes no other result.
  const int32_t* emit_starts; /* [sequences + 1]; null: none */
  const int32_t* emit_positions;
  const int32_t* emit_slots;
  cairn_kernels_pool emit;
  int32_t emissions;     /* entries of emit_positions */
  int32_t reserved;      /* 0 */
  int32_t* device_error; /* see the top; may be null */
  /// What a replay restores states from (cairn_kernels_state.h), f32: all three or none.
  cairn_kernels_rows log_key; /* [tokens][key_heads][K], as used: divided by its length if asked */
  cairn_kernels_rows log_value; /* [tokens][value_heads][V]: u */
  cairn_kernels_rows log_gate;  /* [tokens][value_heads], or [..][K]: the decay itself */
} cairn_kernels_recurrent;

/// Part `part` of `parts` of the work, for callers with threads of their own: 0 of 1 is all of it.
/// The bits depend on nothing but one sequence's own inputs: not on what else is in the batch,
/// where it was split, what is emitted or how many parts there are.
cairn_kernels_status cairn_kernels_recurrent_cpu(const cairn_kernels_recurrent* args, int32_t part,
                                                 int32_t parts);
cairn_kernels_status cairn_kernels_recurrent_cuda(const cairn_kernels_recurrent* args,
                                                  void* stream);

/* ---- chunkwise scan
 * ------------------------------------------------------------------------------ */

/// The same for longer gaps, by matrix products of 64 tokens: all rules and kinds of gates, K of
/// 128, V a multiple of 32 up to 256; there is no log for replays. Operands are rounded to bf16
/// (keys and queries after normalising; those of rules with a decay per channel also after decays
/// of at most 64 tokens, whose products cannot overflow while no decay passes 1); sums and the
/// state between chunks are f32. Error of the state against exact arithmetic on such inputs: some
/// 3e-3 to 5e-3 of its length, as of any bf16 kernel.
///
/// A sequence's chunks end at the multiples of 64 of its own absolute positions. Splitting it there
/// and resuming from the f32 state gives the same bits; so do other batches, emission and outputs.
/// The CPU sums in another order than a GPU's tensor cores: near, not the same bits.
///
/// A key, value, gate or beta that is not finite (keys and values as bf16; a decay of 0 is) changes
/// nothing before its token. In its value heads all that depends on it is NaN: outputs from there
/// on, emissions after it, the end. A query is its own output's alone. Not guarded are finite
/// inputs whose products are not: these may reach back within their 64 tokens.
typedef struct cairn_kernels_scan {
  cairn_kernels_recurrent of;    /* its struct_bytes is sizeof(cairn_kernels_recurrent) */
  const int32_t* first_position; /* [sequences]: absolute position of the first token; null: 0 */
  void* workspace;               /* aligned to 16; may be shared by calls on one stream */
  int64_t workspace_bytes;       /* at least cairn_kernels_scan_workspace */
} cairn_kernels_scan;

/// What the size of a workspace depends on: for one call, or for all with this rule and these heads
/// that have no more sequences, tokens, emissions and outputs.
typedef struct cairn_kernels_scan_shape {
  int32_t rule; /* cairn_kernels_rule */
  int32_t sequences;
  int64_t tokens;
  int32_t key_heads;
  int32_t value_heads;
  int32_t value_dim; /* V */
  int32_t emissions; /* in all; those of rules with a decay per channel need room */
  int32_t outputs;   /* 1: with outputs */
  int32_t reserved;  /* 0 */
} cairn_kernels_scan_shape;

/// Bytes for calls of up to this shape; -1 if `shape` is null, something in it is out of range, or
/// its chunks of 64 tokens or its emissions, times value_heads, are more than 2^27: such a call on
/// a device is refused as SHAPE.
int64_t cairn_kernels_scan_workspace(const cairn_kernels_scan_shape* shape);
/// Needs no workspace, but 512 KiB of the calling thread's stack.
cairn_kernels_status cairn_kernels_scan_cpu(const cairn_kernels_scan* args, int32_t part,
                                            int32_t parts);
cairn_kernels_status cairn_kernels_scan_cuda(const cairn_kernels_scan* args, void* stream);

#ifdef __cplusplus
}
#endif

#include "kernels/cairn_kernels_codec.h"
#include "kernels/cairn_kernels_copy.h"
#include "kernels/cairn_kernels_kv.h"
#include "kernels/cairn_kernels_state.h"

#endif /* CAIRN_KERNELS_H */
