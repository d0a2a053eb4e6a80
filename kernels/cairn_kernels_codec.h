/// Payloads of codecs, coded where the values are, so that the smaller form is what travels: part
/// of cairn_kernels.h, whose rules about memory, streams and errors hold here too. Formats and
/// error bounds: docs/formats/codecs.md. Headers and checksums of frames are the host's business.
#ifndef CAIRN_KERNELS_CODEC_H
#define CAIRN_KERNELS_CODEC_H

#include "kernels/cairn_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Codecs that store numbers with fewer bits; the values are those of frames.
typedef enum cairn_kernels_codec {
  CAIRN_KERNELS_INT8_COLUMN = 2, /* states: int8, an fp32 scale per column of a matrix */
  CAIRN_KERNELS_FP8_KV = 3,      /* KV: e4m3, an fp32 scale per 128 columns of a row */
  CAIRN_KERNELS_INT8_KV = 4,     /* KV: int8, likewise */
  CAIRN_KERNELS_KIVI2 = 5, /* KV: 2 bits; even matrices are keys, by channel; odd ones values */
  CAIRN_KERNELS_KIVI4 = 6  /* KV: 4 bits, likewise */
} cairn_kernels_codec;

/// Values to a payload, or back. The same bytes from the CPU and a GPU.
typedef struct cairn_kernels_quantise {
  uint32_t struct_bytes; /* sizeof(cairn_kernels_quantise) */
  int32_t codec;         /* cairn_kernels_codec */
  int32_t decode;        /* 0: values -> payload; 1: payload -> values */
  int32_t dtype;         /* of the values */
  int32_t matrices;
  int32_t rows;
  int32_t columns;       /* at most 65,536 */
  int32_t max_blocks;    /* of 256 threads, so that others can run beside it; 0: as many as there is
                            work for. Changes no bit */
  void* values;          /* [matrices][rows][columns], contiguous, aligned to their type */
  void* payload;         /* aligned to 4 */
  int64_t payload_bytes; /* encoding: room, at least cairn_kernels_quantised_bytes; decoding: all */
  int32_t* device_error; /* see cairn_kernels.h; may be null */
} cairn_kernels_quantise;

/// Bytes of the payload that encoding makes; -1 if a size is out of range or the codec unknown.
int64_t cairn_kernels_quantised_bytes(int32_t codec, int32_t dtype, int32_t matrices, int32_t rows,
                                      int32_t columns);
/// A payload that no encoder made is DAMAGED, of which only its length and, for KIVI, two words of
/// it can tell: the other bytes all mean something.
cairn_kernels_status cairn_kernels_quantise_cpu(const cairn_kernels_quantise* args, int32_t part,
                                                int32_t parts);
cairn_kernels_status cairn_kernels_quantise_cuda(const cairn_kernels_quantise* args, void* stream);

/// Decodes a payload of the lossless codec, exponent_split. Any bytes are safe: DAMAGED if
/// something is wrong with them, and the object is then anything.
typedef struct cairn_kernels_exponent_split {
  uint32_t struct_bytes; /* sizeof(cairn_kernels_exponent_split) */
  int32_t max_blocks;    /* of 32 threads; 0: as many as there is work for. Changes no bit */
  const void* payload;   /* aligned to 4 */
  int64_t payload_bytes;
  void* object;          /* aligned to 4 */
  int64_t object_bytes;  /* what the frame says */
  int32_t* device_error; /* see cairn_kernels.h; may be null */
} cairn_kernels_exponent_split;

cairn_kernels_status cairn_kernels_exponent_split_cpu(const cairn_kernels_exponent_split* args,
                                                      int32_t part, int32_t parts);
cairn_kernels_status cairn_kernels_exponent_split_cuda(const cairn_kernels_exponent_split* args,
                                                       void* stream);

#ifdef __cplusplus
}
#endif

#endif /* CAIRN_KERNELS_CODEC_H */
