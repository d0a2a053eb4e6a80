#pragma once

#include "kernels/cairn_kernels.h"

namespace cairn::kernels {

/// What can be said without reading the lists: shapes, types, pointers.
cairn_kernels_status CheckConv(const cairn_kernels_conv* args);
/// What the lists say, on the CPU.
cairn_kernels_status CheckConvLists(const cairn_kernels_conv& args);

}  // namespace cairn::kernels
