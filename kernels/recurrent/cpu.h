#pragma once

#include "kernels/cairn_kernels.h"

namespace cairn::kernels {

/// Advances one head of one sequence; the arguments were checked.
using AdvanceHead = void (*)(const cairn_kernels_recurrent& args, int sequence, int head);

// What was compiled for each instruction set, by K and rule; null where it was not.
AdvanceHead AdvanceHeadScalar(int key_dim, int rule);
AdvanceHead AdvanceHeadAvx2(int key_dim, int rule);
AdvanceHead AdvanceHeadAvx512(int key_dim, int rule);

}  // namespace cairn::kernels
