#pragma once

#include "kernels/cairn_kernels.h"

namespace cairn::kernels {

/// What can be said without reading the lists: shapes, types, pointers.
cairn_kernels_status CheckTranspose(const cairn_kernels_transpose* args);
/// What the lists say, on the CPU.
cairn_kernels_status CheckTransposeLists(const cairn_kernels_transpose& args);

}  // namespace cairn::kernels
