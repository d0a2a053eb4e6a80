#pragma once

#include "kernels/cairn_kernels.h"

namespace cairn::kernels {

/// What can be said without reading the lists: shapes, types, pointers.
cairn_kernels_status CheckReplay(const cairn_kernels_replay* args);
/// What the lists say, on the CPU.
cairn_kernels_status CheckReplayLists(const cairn_kernels_replay& args);

}  // namespace cairn::kernels
