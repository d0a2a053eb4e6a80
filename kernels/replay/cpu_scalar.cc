#include "kernels/replay/restore_head.h"
#include "kernels/vector/scalar.h"

namespace cairn::kernels {

void RestoreHeadScalar(const cairn_kernels_replay& args, const Restore& restore, int layer,
                       int head) {
  HeadReplay<ScalarVec>(args, restore, layer, head).Run();
}

}  // namespace cairn::kernels
