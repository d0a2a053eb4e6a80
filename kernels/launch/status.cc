#include "kernels/cairn_kernels.h"

extern "C" const char* cairn_kernels_status_text(cairn_kernels_status status) {
  switch (status) {
    case CAIRN_KERNELS_OK: return "ok";
    case CAIRN_KERNELS_NULL: return "a pointer that must be given is null";
    case CAIRN_KERNELS_SHAPE: return "a size or stride is out of range, or not one this kernel has";
    case CAIRN_KERNELS_HEADS: return "value_heads is not a multiple of key_heads";
    case CAIRN_KERNELS_DTYPE: return "an element type is unknown or not allowed there";
    case CAIRN_KERNELS_LENGTHS:
      return "cu_seqlens must begin at 0, never fall and not pass the number of tokens";
    case CAIRN_KERNELS_POSITIONS:
      return "positions must rise and lie between 0 and the sequence's length";
    case CAIRN_KERNELS_SLOTS:
      return "a slot is outside its pool, or one sequence writes what another uses";
    case CAIRN_KERNELS_UNKNOWN: return "a rule, layout or option this version does not know";
    case CAIRN_KERNELS_NO_DEVICE: return "no CUDA device: none here, no driver, or built without";
    case CAIRN_KERNELS_LAUNCH: return "the CUDA driver refused the launch";
    case CAIRN_KERNELS_ALIGNMENT: return "a pointer or stride is not aligned as it must be";
    case CAIRN_KERNELS_CHECKSUM: return "bytes are not those that their digest was made of";
    case CAIRN_KERNELS_DAMAGED: return "encoded bytes are damaged: no encoder writes them";
  }
  return "unknown status";
}

// Raise the number with every change after which a result may have other bits.
extern "C" const char* cairn_kernels_id() { return "cairn-kernels/2"; }
