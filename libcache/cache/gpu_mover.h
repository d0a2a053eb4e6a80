#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "libcache/base/mutex.h"
#include "libcache/tier/device_memory.h"
#include "libcache/tier/device_uploader.h"

namespace cairn {

/// The one thread that talks to the device: takes regions, copies objects there, asks after its
/// health once a second. What is to be done it asks its owner; it holds no lock meanwhile. A lost
/// device is given up at once, and the thread has nothing more to do. Thread-safe.
class GpuMover {
 public:
  struct Step {
    enum class What : std::uint8_t { kNothing, kGrow, kCopy };
    What what = What::kNothing;
    std::vector<std::uint32_t> release;               ///< kGrow: regions to give back first,
    std::uint64_t grow_bytes = 0;                     ///< and the size of the new one.
    std::vector<DeviceUploader::Transfer> transfers;  ///< kCopy; may be none.
  };
  /// All called on the mover's thread. `grown` says whether it keeps the region. `kernel_dropped`
  /// comes once, within a second, when a kernel that copied small pieces does so no more; `lost`
  /// once, after the call that heard of the failure.
  struct Owner {
    std::function<Step()> next;
    std::function<bool(const Result<DeviceMemory::Region>&)> grown;
    std::function<void(const DeviceUploader::Outcome&)> copied;
    std::function<void(const std::string& why_not)> kernel_dropped;
    std::function<void(const std::string& reason)> lost;
  };

  GpuMover(std::unique_ptr<DeviceMemory> device, std::unique_ptr<DeviceUploader> uploader,
           Owner owner);
  ~GpuMover();
  GpuMover(const GpuMover&) = delete;
  GpuMover& operator=(const GpuMover&) = delete;

  /// There may be something to do.
  void Wake() CAIRN_EXCLUDES(mu_);
  /// Ends the thread after the step under way. Regions stay until the destructor.
  void Stop() CAIRN_EXCLUDES(mu_);

 private:
  void Run() CAIRN_EXCLUDES(mu_);
  /// False when it was told to stop.
  bool WaitForWork() CAIRN_EXCLUDES(mu_);
  /// Works until there is nothing to do. Why the device is lost, or "".
  std::string Work() CAIRN_EXCLUDES(mu_);
  [[nodiscard]] bool stopping() CAIRN_EXCLUDES(mu_);
  /// Looks who copies small pieces now.
  void LookAtCopies();

  // The thread's own.
  std::unique_ptr<DeviceMemory> device_;
  std::unique_ptr<DeviceUploader> uploader_;
  int wrong_copies_ = 0;
  bool by_kernel_;  // A kernel copies small pieces, as far as was told.

  const Owner owner_;
  Mutex mu_;
  CondVar wake_;
  bool woken_ CAIRN_GUARDED_BY(mu_) = false;
  bool stopping_ CAIRN_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace cairn
