#pragma once

#include "kernels/cairn_kernels.h"

namespace cairn::kernels {

/// What can be said without reading the lists: shapes, types, pointers.
cairn_kernels_status CheckShapes(const cairn_kernels_recurrent* args);
/// What the lists say, on the CPU.
cairn_kernels_status CheckLists(const cairn_kernels_recurrent& args);

}  // namespace cairn::kernels
