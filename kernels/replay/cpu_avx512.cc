#include "kernels/replay/restore_head.h"
#include "kernels/vector/avx512.h"

namespace cairn::kernels {

void RestoreHeadAvx512(const cairn_kernels_replay& args, const Restore& restore, int layer,
                       int head) {
  HeadReplay<Avx512Vec>(args, restore, layer, head).Run();
}

}  // namespace cairn::kernels
