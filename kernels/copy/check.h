#pragma once

#include "kernels/cairn_kernels.h"

namespace cairn::kernels {

/// What can be said without reading the pieces.
cairn_kernels_status CheckCopy(const cairn_kernels_copy* args);

}  // namespace cairn::kernels
