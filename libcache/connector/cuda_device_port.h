#pragma once

#include <memory>

#include "libcache/base/result.h"
#include "libcache/connector/device_port.h"

namespace cairn {

struct CudaPortOptions {
  int device = 0;  ///< As CUDA numbers them in this process.
  /// A CUstream (cudaStream_t) of the device's primary context, not being captured; it must outlive
  /// the port. Null: one of the port's own.
  void* stream = nullptr;
};

/// An NVIDIA GPU of this process, by the driver, which is looked for when this is called: no
/// library of CUDA is needed to start. Maps what the daemon's device memory exported, where that is
/// the same GPU or a peer, and copies on one stream. Works in the device's primary context and
/// leaves the thread's current one as it is.
///
/// Captures of CUDA graphs by other threads go on undisturbed; one of the port's own stream refuses
/// copies while it lasts. Any other error of the driver but a lack of memory loses the port:
/// kUnavailable with the reason for good; copies from host memory are still tried. A copy that is
/// not done by its deadline stays under way: it is waited for, within their deadlines, by the calls
/// after it, and what it reads stays mapped, for ever if need be.
///
/// Errors: kUnsupported (built without CUDA's headers), kNotFound (no driver, or no such device),
/// kInvalidArgument (the stream is not of that device, or is being captured), kUnavailable (the
/// driver refused).
Result<std::unique_ptr<DevicePort>> OpenCudaPort(const CudaPortOptions& options);

}  // namespace cairn
