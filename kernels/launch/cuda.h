#pragma once

#include "kernels/cairn_kernels.h"

namespace cairn::kernels {

constexpr int kMostGridY = 65535;

/// What became of the launch before, without waiting for it to run.
cairn_kernels_status LaunchStatus();

}  // namespace cairn::kernels
