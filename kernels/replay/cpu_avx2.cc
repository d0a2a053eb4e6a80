#include "kernels/replay/restore_head.h"
#include "kernels/vector/avx2.h"

namespace cairn::kernels {

void RestoreHeadAvx2(const cairn_kernels_replay& args, const Restore& restore, int layer,
                     int head) {
  HeadReplay<Avx2Vec>(args, restore, layer, head).Run();
}

}  // namespace cairn::kernels
