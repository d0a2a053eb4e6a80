#pragma once

#include "kernels/cairn_kernels_codec.h"

namespace cairn::kernels {

/// All that can be said without reading the payload.
cairn_kernels_status CheckExponentSplit(const cairn_kernels_exponent_split* args);

}  // namespace cairn::kernels
