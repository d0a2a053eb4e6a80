#include "kernels/recurrent/instances.h"
#include "kernels/vector/scalar.h"

namespace cairn::kernels {

AdvanceHead AdvanceHeadScalar(int key_dim, int rule) { return AdvanceOf<ScalarVec>(key_dim, rule); }

}  // namespace cairn::kernels
