#pragma once

// Only for files that are compiled where CUDA's headers are (CAIRN_WITH_CUDA).
#include <cuda.h>

#include <cstdint>
#include <functional>

#include "libcache/base/result.h"
#include "libcache/cuda/driver.h"

namespace cairn {

/// What a call's result means to whoever keeps a device: losing it, say. Has the call's name.
using CudaCheck = std::function<Status(const char* call, CUresult result)>;

/// Device memory by handle, at an address of this process. It is undone as far as it has come, so
/// what failed half-way needs no care. A value; it owns nothing by itself.
struct CudaMapping {
  CUmemGenericAllocationHandle handle = 0;  ///< Created or imported by the caller, who sets `held`.
  CUdeviceptr address = 0;
  std::uint64_t bytes = 0;
  bool held = false;
  bool reserved = false;
  bool mapped = false;

  /// Maps `handle` at an address of its own; nobody may access it yet. Errors: those of `check`.
  Status Place(const CudaDriver& driver, const CudaCheck& check);
  /// Gives back the mapping, the address and the handle. Nothing may be using them.
  void Undo(const CudaDriver& driver, const CudaCheck& check) const;
};

}  // namespace cairn
