#include <cstdint>
#include <cstring>

#include "kernels/cairn_kernels.h"

namespace {

/// The dimensions of each kind, the slowest first: layer, 2 (K and V), page, token, head.
const char* OrderOf(std::int32_t kind) {
  switch (kind) {
    case CAIRN_KERNELS_KV_VLLM_NHD: return "l2pth";
    case CAIRN_KERNELS_KV_VLLM_HND: return "l2pht";
    case CAIRN_KERNELS_KV_FLASHINFER_NHD: return "lp2th";
    case CAIRN_KERNELS_KV_FLASHINFER_HND: return "lp2ht";
    case CAIRN_KERNELS_KV_LBNHC: return "lpth2";
    case CAIRN_KERNELS_KV_MLA: return "lpt2h";
    case CAIRN_KERNELS_KV_SGLANG_LAYER_FIRST: return "2lpth";
    case CAIRN_KERNELS_KV_SGLANG_PAGE_FIRST: return "2ptlh";
    case CAIRN_KERNELS_KV_SGLANG_PAGE_DIRECT: return "2plth";
    case CAIRN_KERNELS_KV_SGLANG_PAGE_HEAD: return "2phtl";
    default: return nullptr;
  }
}

}  // namespace

extern "C" cairn_kernels_status cairn_kernels_kv_layout_of(int32_t kind,
                                                           const cairn_kernels_kv_shape* shape,
                                                           cairn_kernels_kv_layout* layout) {
  if (shape == nullptr || layout == nullptr) {
    return CAIRN_KERNELS_NULL;
  }
  const char* order = OrderOf(kind);
  if (order == nullptr) {
    return CAIRN_KERNELS_UNKNOWN;
  }
  const bool one = kind == CAIRN_KERNELS_KV_MLA;
  if (shape->layers <= 0 || shape->heads <= 0 || shape->pages <= 0 || shape->page_tokens <= 0 ||
      shape->unit_bytes <= 0 || shape->kv < 1 || shape->kv > 2 ||
      (one && (shape->kv != 1 || shape->heads != 1))) {
    return CAIRN_KERNELS_SHAPE;
  }
  *layout = {};
  layout->pages = shape->pages;
  layout->page_tokens = shape->page_tokens;
  const struct {
    char name;
    std::int64_t count;
    std::int64_t* stride;
  } dimensions[] = {{'l', shape->layers, &layout->layer_stride},
                    {'2', shape->kv, &layout->kv_stride},
                    {'p', shape->pages, &layout->page_stride},
                    {'t', shape->page_tokens, &layout->token_stride},
                    {'h', shape->heads, &layout->head_stride}};
  std::int64_t stride = shape->unit_bytes;
  for (std::size_t i = std::strlen(order); i-- > 0;) {
    for (const auto& dimension : dimensions) {
      if (dimension.name == order[i]) {
        *dimension.stride = stride;
        if (stride > (std::int64_t{1} << 56) / dimension.count) {
          return CAIRN_KERNELS_SHAPE;  // More than any memory.
        }
        stride *= dimension.count;
      }
    }
  }
  return CAIRN_KERNELS_OK;
}

extern "C" cairn_kernels_copy_way cairn_kernels_copy_way_of(int64_t piece_bytes,
                                                            int64_t threshold_bytes) {
  constexpr std::int64_t kKernelBelow = std::int64_t{28} << 10;
  constexpr std::int64_t kEngineFrom = std::int64_t{64} << 10;
  if (piece_bytes >= kEngineFrom) {
    return CAIRN_KERNELS_COPY_BY_ENGINE;
  }
  return piece_bytes < kKernelBelow || piece_bytes < threshold_bytes ? CAIRN_KERNELS_COPY_BY_KERNEL
                                                                     : CAIRN_KERNELS_COPY_BY_ENGINE;
}
