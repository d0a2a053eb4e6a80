/// Attention KV between an engine's pages and Cairn's objects: part of cairn_kernels.h, whose rules
/// about memory, streams and errors hold here too. Not in scope of its own.
#ifndef CAIRN_KERNELS_KV_H
#define CAIRN_KERNELS_KV_H

#include "kernels/cairn_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Where the pages of an engine lie. A unit is what one token has in one head of K or of V, a few
/// contiguous bytes. With strides in bytes, that of (layer, kv, page, token in it, head) is at
///   data + layer * layer_stride + kv * kv_stride + page * page_stride + token * token_stride
///        + head * head_stride
typedef struct cairn_kernels_kv_layout {
  void* data;
  void* const* parts; /* [layers][kv]: instead of data, layer_stride and kv_stride; or null */
  int64_t layer_stride;
  int64_t kv_stride;
  int64_t page_stride;
  int64_t token_stride;
  int64_t head_stride;
  int32_t pages;
  int32_t page_tokens;
} cairn_kernels_kv_layout;

/// Layouts in use, the slowest dimension first; "2" is K and V.
typedef enum cairn_kernels_kv_kind {
  CAIRN_KERNELS_KV_VLLM_NHD = 0,       /* [layer][2][page][token][head][unit] */
  CAIRN_KERNELS_KV_VLLM_HND = 1,       /* [layer][2][page][head][token][unit] */
  CAIRN_KERNELS_KV_FLASHINFER_NHD = 2, /* [layer][page][2][token][head][unit] */
  CAIRN_KERNELS_KV_FLASHINFER_HND = 3, /* [layer][page][2][head][token][unit] */
  CAIRN_KERNELS_KV_LBNHC = 4,          /* [layer][page][token][head][2][unit]: packed */
  CAIRN_KERNELS_KV_MLA = 5,            /* [layer][page][token][unit]: one latent, kv and heads 1 */
  CAIRN_KERNELS_KV_SGLANG_LAYER_FIRST = 6, /* [2][layer][page][token][head][unit] */
  CAIRN_KERNELS_KV_SGLANG_PAGE_FIRST = 7,  /* [2][page][token][layer][head][unit] */
  CAIRN_KERNELS_KV_SGLANG_PAGE_DIRECT = 8, /* [2][page][layer][token][head][unit] */
  CAIRN_KERNELS_KV_SGLANG_PAGE_HEAD = 9    /* [2][page][head][token][layer][unit] */
} cairn_kernels_kv_kind;

/// What the pages of an engine hold.
typedef struct cairn_kernels_kv_shape {
  int32_t layers;
  int32_t kv; /* 2: K and V; 1: one of them, or a latent */
  int32_t heads;
  int32_t unit_bytes; /* a multiple of 4; of 16 it is faster */
  int32_t pages;
  int32_t page_tokens;
} cairn_kernels_kv_shape;

/// The strides of a layout in one allocation; `data` and `parts` become null. SHAPE if a size is
/// out of range, UNKNOWN for a kind that is.
cairn_kernels_status cairn_kernels_kv_layout_of(int32_t kind, const cairn_kernels_kv_shape* shape,
                                                cairn_kernels_kv_layout* layout);

/// XXH3-128 of a leaf: 4,096 bytes of an object, the last one filled up with zeros.
typedef struct cairn_kernels_digest {
  uint64_t low;
  uint64_t high;
} cairn_kernels_digest;

#define CAIRN_KERNELS_LEAF_BYTES 4096

/// Tokens of one object: contiguous bytes, [layers][kv][object_tokens][heads][unit]. Of its tokens,
/// `tokens` from object_first on are copied; in the pages they are at first_token and after, where
/// token t is in page page_ids[table_at + t / page_tokens].
typedef struct cairn_kernels_kv_range {
  int64_t object_at; /* in bytes from `objects`; a multiple of 16 (of 4 if unit_bytes is not) */
  int64_t leaf_at;   /* leaves of all ranges before this one; the first has 0 */
  int64_t table_at;
  int32_t object_tokens;
  int32_t object_first;
  int32_t tokens;
  int32_t first_token;
  int32_t rope;     /* which row of rope_table turns its keys; -1: none does */
  int32_t reserved; /* 0 */
} cairn_kernels_kv_range;

typedef enum cairn_kernels_kv_direction {
  CAIRN_KERNELS_KV_PACK = 0,  /* pages -> objects */
  CAIRN_KERNELS_KV_UNPACK = 1 /* objects -> pages */
} cairn_kernels_kv_direction;

/// Which elements of a key are turned together, of those from rope_first on.
typedef enum cairn_kernels_rope_style {
  CAIRN_KERNELS_ROPE_HALVES = 0, /* i and i + rope_pairs (NeoX, Llama in transformers) */
  CAIRN_KERNELS_ROPE_PAIRS = 1   /* 2 i and 2 i + 1 (GPT-J, Llama's own) */
} cairn_kernels_rope_style;

/// Copies KV of all layers and of many ranges in one launch.
///
/// With `leaves`, packing writes the digest of every leaf of the objects as they are afterwards,
/// and unpacking compares: a leaf that differs is not copied, and the code is CHECKSUM; all other
/// leaves are copied. Objects that are packed in one call must not overlap; nor should pages that
/// are unpacked to, or it is open whose bytes they get.
///
/// Keys (kv 0) of a range with a `rope` row are turned by its angles on the way, in fp32, rounded
/// once. Cos and sin come from the caller (see cairn_kernels_rope_row), since frequencies differ by
/// model; digests are of the object's bytes, turned or not.
///
/// In device memory a bad page id leaves alone the tokens of that page, and a bad range its object.
typedef struct cairn_kernels_kv {
  uint32_t struct_bytes; /* sizeof(cairn_kernels_kv) */
  int32_t direction;     /* cairn_kernels_kv_direction */
  int32_t layers;
  int32_t kv; /* 1 or 2 */
  int32_t heads;
  int32_t unit_bytes;
  int32_t range_count;
  int32_t skip_missing; /* 1: page id -1 leaves those tokens alone; 0: it is an error (SLOTS) */
  cairn_kernels_kv_layout paged;
  void* objects;
  int64_t object_bytes;                 /* at `objects` */
  const cairn_kernels_kv_range* ranges; /* [range_count] */
  const int32_t* page_ids;              /* [page_id_count], of all ranges */
  int64_t page_id_count;
  int64_t leaf_count;           /* of all objects: the sum of their bytes / 4,096, rounded up */
  cairn_kernels_digest* leaves; /* [leaf_count]; null: no digests */
  const float* rope_table;      /* [rope_rows][rope_pairs] of (cos, sin); null: none */
  int32_t rope_rows;
  int32_t rope_pairs;    /* even */
  int32_t rope_first;    /* even */
  int32_t rope_style;    /* cairn_kernels_rope_style */
  int32_t rope_dtype;    /* of the keys */
  int32_t max_blocks;    /* of 256 threads, so that others can run beside it; 0: as many as there is
                            work for. Changes no bit */
  int32_t* device_error; /* see cairn_kernels.h; may be null */
} cairn_kernels_kv;

cairn_kernels_status cairn_kernels_kv_cpu(const cairn_kernels_kv* args, int32_t part,
                                          int32_t parts);
cairn_kernels_status cairn_kernels_kv_cuda(const cairn_kernels_kv* args, void* stream);

/// Fills `row` [pairs] with (cos, sin) of delta * inverse_frequencies[i]: what keys computed at
/// position p must be turned by to stand at p + delta. The same bits on every machine; within 1e-7
/// for |delta| below 2^31. Host memory, no CUDA.
cairn_kernels_status cairn_kernels_rope_row(const double* inverse_frequencies, int32_t pairs,
                                            int64_t delta, float* row);

typedef enum cairn_kernels_copy_way {
  CAIRN_KERNELS_COPY_BY_ENGINE = 0, /* one cudaMemcpyAsync, or an entry of a batch, each */
  CAIRN_KERNELS_COPY_BY_KERNEL = 1  /* cairn_kernels_copy, or pack and unpack, all at once */
} cairn_kernels_copy_way;

/// How to copy contiguous pieces of this size between host and device: by the copy engine from 64
/// KiB on, by a kernel below 28 KiB, and between them by a kernel below `threshold_bytes`, which
/// moves with the device and should be measured; 0: 28 KiB, where an H100's engine catches up.
cairn_kernels_copy_way cairn_kernels_copy_way_of(int64_t piece_bytes, int64_t threshold_bytes);

#ifdef __cplusplus
}
#endif

#endif /* CAIRN_KERNELS_KV_H */
