#include "kernels/recurrent/instances.h"
#include "kernels/vector/avx2.h"

namespace cairn::kernels {

AdvanceHead AdvanceHeadAvx2(int key_dim, int rule) { return AdvanceOf<Avx2Vec>(key_dim, rule); }

}  // namespace cairn::kernels
