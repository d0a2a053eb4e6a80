/// Many small copies by one launch: part of cairn_kernels.h, whose rules about memory, streams and
/// errors hold here too.
#ifndef CAIRN_KERNELS_COPY_H
#define CAIRN_KERNELS_COPY_H

#include "kernels/cairn_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Bytes and where they go; both at any address. 0 bytes are nothing to do, whatever the pointers.
typedef struct cairn_kernels_piece {
  const void* source;
  void* target;
  int64_t bytes;
} cairn_kernels_piece;

/// Copies pieces between places that the device can read and write: its own memory, a peer's, and
/// host memory that is pinned and mapped. A copy engine takes as long for 4 KiB as for 28; a warp
/// for each piece does not (docs/decisions/0010-gpu-tier.md). Pieces of any size are right; above
/// 64 KiB the copy engine is the better way. 16 bytes at a time where source and target are equally
/// far from a multiple of 16, 4 where they are from one of 4, else single bytes.
///
/// No target may overlap another target or a source. In device memory a bad piece is left alone,
/// the others are copied: NULL for a null pointer of a piece that has bytes, SHAPE for a size below
/// 0 or above 2^56.
typedef struct cairn_kernels_copy {
  uint32_t struct_bytes; /* sizeof(cairn_kernels_copy) */
  int32_t count;
  const cairn_kernels_piece* pieces; /* [count], where the device can read it; aligned to 8 */
  int32_t max_blocks;    /* of 256 threads, so that others can run beside it; 0: as many as there is
                            work for. Changes no bit */
  int32_t reserved;      /* 0 */
  int32_t* device_error; /* see cairn_kernels.h; may be null */
} cairn_kernels_copy;

cairn_kernels_status cairn_kernels_copy_cpu(const cairn_kernels_copy* args, int32_t part,
                                            int32_t parts);
cairn_kernels_status cairn_kernels_copy_cuda(const cairn_kernels_copy* args, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* CAIRN_KERNELS_COPY_H */
