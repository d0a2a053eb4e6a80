#pragma once

#include <cstdint>

#include "kernels/arith/elements.h"
#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels.h"

namespace cairn::kernels {

/// Element `index` of rows whose type is only known at run time.
CAIRN_BOTH float ReadElement(const cairn_kernels_rows& rows, std::int64_t index) {
  if (rows.dtype == CAIRN_KERNELS_BF16) {
    return ToFloat(static_cast<const Bf16*>(rows.data)[index]);
  }
  if (rows.dtype == CAIRN_KERNELS_F16) {
    return ToFloat(static_cast<const F16*>(rows.data)[index]);
  }
  return static_cast<const float*>(rows.data)[index];
}
CAIRN_BOTH void WriteElement(const cairn_kernels_rows& rows, std::int64_t index, float value) {
  if (rows.dtype == CAIRN_KERNELS_BF16) {
    static_cast<Bf16*>(rows.data)[index] = FromFloat<Bf16>(value);
  } else if (rows.dtype == CAIRN_KERNELS_F16) {
    static_cast<F16*>(rows.data)[index] = FromFloat<F16>(value);
  } else {
    static_cast<float*>(rows.data)[index] = value;
  }
}

}  // namespace cairn::kernels
