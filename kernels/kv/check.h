#pragma once

#include "kernels/kv/plan.h"

namespace cairn::kernels {

/// What can be said without reading the lists: shapes, types, pointers. Fills in the plan.
cairn_kernels_status CheckKv(const cairn_kernels_kv* args, KvPlan& plan);
/// What the lists say, on the CPU.
cairn_kernels_status CheckKvLists(const KvPlan& plan);

}  // namespace cairn::kernels
