#pragma once

namespace cairn::kernels {

/// The instruction sets a CPU call may use; all give the same bits.
enum class Path { kScalar, kAvx2, kAvx512 };

/// The best this machine has, or what CAIRN_KERNELS_ISA names if that is less. Asked once.
Path CpuPath();
const char* PathName(Path path);

}  // namespace cairn::kernels
