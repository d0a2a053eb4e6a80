#pragma once

#include "kernels/cairn_kernels.h"

namespace cairn::kernels {

/// What can be said without reading the lists. The CPU needs no workspace.
cairn_kernels_status CheckScanShapes(const cairn_kernels_scan* args, bool workspace);
/// What the lists say, on the CPU.
cairn_kernels_status CheckScanLists(const cairn_kernels_scan& args);

}  // namespace cairn::kernels
