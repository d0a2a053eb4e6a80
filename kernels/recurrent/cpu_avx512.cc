#include "kernels/recurrent/instances.h"
#include "kernels/vector/avx512.h"

namespace cairn::kernels {

AdvanceHead AdvanceHeadAvx512(int key_dim, int rule) { return AdvanceOf<Avx512Vec>(key_dim, rule); }

}  // namespace cairn::kernels
