#pragma once

#include <cstdint>

#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels_state.h"

namespace cairn::kernels {

CAIRN_BOTH bool Aligned(const void* pointer, int bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % static_cast<unsigned>(bytes) == 0;
}

/// Slot 0 of a layer.
template <class T>
CAIRN_BOTH T* LayerOf(const cairn_kernels_layer_pool& pool, std::int64_t layer) {
  return pool.layers != nullptr ? static_cast<T*>(pool.layers[layer])
                                : static_cast<T*>(pool.data) + layer * pool.layer_stride;
}

/// What is wrong with the pointer that `layers` has for a layer.
CAIRN_BOTH int LayerError(const cairn_kernels_layer_pool& pool, std::int64_t layer, int alignment) {
  if (pool.layers == nullptr) {
    return CAIRN_KERNELS_OK;  // CheckLayerPool has seen to it.
  }
  if (pool.layers[layer] == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  return Aligned(pool.layers[layer], alignment) ? CAIRN_KERNELS_OK : CAIRN_KERNELS_ALIGNMENT;
}

/// What can be said of a pool without reading its list. All of it must lie at multiples of
/// `alignment` bytes.
inline cairn_kernels_status CheckLayerPool(const cairn_kernels_layer_pool& pool,
                                           std::int64_t slot_elements, int element_bytes,
                                           int alignment) {
  if (pool.data == nullptr && pool.layers == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  if (pool.slots <= 0 || pool.slot_stride < slot_elements ||
      (pool.layers == nullptr && pool.layer_stride < 0)) {
    return CAIRN_KERNELS_SHAPE;
  }
  const bool strides =
      pool.slot_stride * element_bytes % alignment == 0 &&
      (pool.layers != nullptr || pool.layer_stride * element_bytes % alignment == 0);
  return strides && (pool.layers != nullptr || Aligned(pool.data, alignment))
             ? CAIRN_KERNELS_OK
             : CAIRN_KERNELS_ALIGNMENT;
}

inline bool SamePool(const cairn_kernels_layer_pool& a, const cairn_kernels_layer_pool& b) {
  return a.layers == b.layers && (a.layers != nullptr || a.data == b.data);
}

}  // namespace cairn::kernels
