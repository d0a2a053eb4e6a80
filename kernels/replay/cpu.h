#pragma once

#include "kernels/replay/restore.h"

namespace cairn::kernels {

/// Restores one head of one layer; the arguments were checked.
using RestoreHead = void (*)(const cairn_kernels_replay& args, const Restore& restore, int layer,
                             int head);

// What was compiled for each instruction set.
void RestoreHeadScalar(const cairn_kernels_replay& args, const Restore& restore, int layer,
                       int head);
void RestoreHeadAvx2(const cairn_kernels_replay& args, const Restore& restore, int layer, int head);
void RestoreHeadAvx512(const cairn_kernels_replay& args, const Restore& restore, int layer,
                       int head);

}  // namespace cairn::kernels
