#pragma once

#include "kernels/cairn_kernels_codec.h"

namespace cairn::kernels {

/// All that can be said without reading the payload.
cairn_kernels_status CheckQuantise(const cairn_kernels_quantise* args);

}  // namespace cairn::kernels
