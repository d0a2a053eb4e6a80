/// Recurrent states, conv windows and what is kept to restore them: part of cairn_kernels.h, whose
/// rules about memory, streams and errors hold here too.
#ifndef CAIRN_KERNELS_STATE_H
#define CAIRN_KERNELS_STATE_H

#include "kernels/cairn_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Slots of several layers: one allocation, or one for each layer. Two layers must not overlap.
typedef struct cairn_kernels_layer_pool {
  void* data;           /* slot 0 of layer 0; not looked at if there are `layers` */
  void* const* layers;  /* [layers]: slot 0 of each; null: data + layer * layer_stride */
  int64_t layer_stride; /* in elements */
  int64_t slot_stride;  /* in elements */
  int32_t slots;
  int32_t dtype;
} cairn_kernels_layer_pool;

/* ---- replay log --------------------------------------------------------------------------------
 */

typedef enum cairn_kernels_replay_mode {
  /// The recurrent advance's own operations, S <- fma(k, u, decay * S): the same bits as an advance
  /// that stopped there. Two operations for each element and token.
  CAIRN_KERNELS_REPLAY_EXACT = 0,
  /// Decays folded into the keys of 16 tokens (8 if K is 256), counted from the log's beginning:
  /// S <- D S + sum of (w k) u^T. One operation for each, off by rounding (1e-6 of the state), and
  /// still the same bits on the CPU and on the GPU.
  CAIRN_KERNELS_REPLAY_FOLDED = 1
} cairn_kernels_replay_mode;

/// Restores the states of all layers at any positions of logged sequences. The log is what
/// cairn_kernels_recurrent writes to log_key, log_value and log_gate, one layer after the other at
/// `.._layer_stride` elements; rows are f32. Restore r goes from the state before the log in
/// base_slots[r] to the one after positions[r] tokens, in target_slots[r]; both may be the same
/// slot. Positions come in any order, and more than once.
///
/// Pointers must be multiples of 16 bytes, and so must strides, but those of a gate for each head.
typedef struct cairn_kernels_replay {
  uint32_t struct_bytes; /* sizeof(cairn_kernels_replay) */
  int32_t rule;          /* cairn_kernels_rule: which of them made the log */
  int32_t mode;          /* cairn_kernels_replay_mode */
  int32_t layers;
  int32_t sequences;
  int32_t restores;
  int32_t key_heads;
  int32_t value_heads;
  int32_t key_dim;           /* K */
  int32_t value_dim;         /* V */
  int64_t tokens;            /* in one layer's log; what cu_seqlens may reach */
  const int32_t* cu_seqlens; /* [sequences + 1] */
  cairn_kernels_rows key;    /* [tokens][key_heads][K] */
  cairn_kernels_rows value;  /* [tokens][value_heads][V]: u */
  cairn_kernels_rows gate;   /* [tokens][value_heads], or [..][K]: the decay itself */
  int64_t key_layer_stride;
  int64_t value_layer_stride;
  int64_t gate_layer_stride;
  const int32_t* restore_sequences; /* [restores]; null: restore r is of sequence r */
  const int32_t* positions;         /* [restores], in tokens of the log: 0 is the base itself */
  const int32_t* base_slots;        /* [restores]; -1, or null for all: zeros */
  const int32_t* target_slots;      /* [restores]; -1: this one is left out */
  cairn_kernels_layer_pool base;    /* f32 slots of [value_heads][V][K] */
  cairn_kernels_layer_pool target;  /* the same */
  int32_t* device_error;            /* see cairn_kernels.h; may be null */
} cairn_kernels_replay;

cairn_kernels_status cairn_kernels_replay_cpu(const cairn_kernels_replay* args, int32_t part,
                                              int32_t parts);
cairn_kernels_status cairn_kernels_replay_cuda(const cairn_kernels_replay* args, void* stream);

/* ---- conv windows ------------------------------------------------------------------------------
 */

/// Slots of windows: the last W - 1 raw inputs of a causal convolution, the oldest first. Entry
/// (channel, row) is at channel * dim_stride + row * row_stride: {W - 1, 1} is the layout [dim][W -
/// 1] of causal_conv1d, {1, dim} is channel-last.
typedef struct cairn_kernels_windows {
  void* data;
  int64_t slot_stride; /* all strides in elements; the entries of a slot may not overlap */
  int64_t dim_stride;
  int64_t row_stride;
  int32_t slots;
  int32_t dtype; /* of the rows and of both pools; copied bit for bit */
} cairn_kernels_windows;

/// One layer, many sequences, lengths as in cairn_kernels_recurrent. The window at position p are
/// the W - 1 rows before token p; those before token 0 are the initial window's. It is emitted at a
/// rising list of positions, 0 and the whole length allowed, and kept at the end: with initial and
/// final slots alike and no emissions this is the update in place.
typedef struct cairn_kernels_conv {
  uint32_t struct_bytes; /* sizeof(cairn_kernels_conv) */
  int32_t width;         /* W, 2 to 8 */
  int32_t dim;
  int32_t sequences;
  int64_t tokens;
  const int32_t* cu_seqlens;    /* [sequences + 1] */
  cairn_kernels_rows rows;      /* [tokens][dim]; head_stride is not used */
  cairn_kernels_windows window; /* both ends of every sequence */
  const int32_t* initial_slots; /* [sequences]; -1, or null for all: begin with zeros */
  const int32_t* final_slots;   /* [sequences]; -1, or null for all: the end is not kept */
  const int32_t* emit_starts;   /* [sequences + 1]; null: none */
  const int32_t* emit_positions;
  const int32_t* emit_slots; /* null: emission e goes to slot e */
  cairn_kernels_windows emit;
  int32_t emissions;     /* entries of emit_positions */
  int32_t reserved;      /* 0 */
  int32_t* device_error; /* see cairn_kernels.h; may be null */
} cairn_kernels_conv;

cairn_kernels_status cairn_kernels_conv_cpu(const cairn_kernels_conv* args, int32_t part,
                                            int32_t parts);
cairn_kernels_status cairn_kernels_conv_cuda(const cairn_kernels_conv* args, void* stream);

/* ---- transpose ---------------------------------------------------------------------------------
 */

/// Turns states from [heads][V][K], which is how Cairn keeps them, to [heads][K][V], or back; all
/// listed slots of all layers at once, f32, bf16 or f16 bit for bit. K and V are multiples of 8 up
/// to 1,024. Pointers and strides must be multiples of 16 bytes. Not in place: the target of one
/// may be nobody's source.
typedef struct cairn_kernels_transpose {
  uint32_t struct_bytes; /* sizeof(cairn_kernels_transpose) */
  int32_t to_key_first;  /* 1: [V][K] -> [K][V]; 0: back */
  int32_t layers;
  int32_t count;
  int32_t heads;
  int32_t key_dim;
  int32_t value_dim;
  int32_t reserved;          /* 0 */
  const int32_t* from_slots; /* [count]; -1: left out; null: 0, 1, ... */
  const int32_t* to_slots;   /* the same */
  cairn_kernels_layer_pool from;
  cairn_kernels_layer_pool to;
  int32_t* device_error; /* see cairn_kernels.h; may be null */
} cairn_kernels_transpose;

cairn_kernels_status cairn_kernels_transpose_cpu(const cairn_kernels_transpose* args, int32_t part,
                                                 int32_t parts);
cairn_kernels_status cairn_kernels_transpose_cuda(const cairn_kernels_transpose* args,
                                                  void* stream);

#ifdef __cplusplus
}
#endif

#endif /* CAIRN_KERNELS_STATE_H */
