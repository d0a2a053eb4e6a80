#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/cairn_kernels.h"

namespace cairn::kernels::test {

/// Where a test runs: the CPU, device code emulated on the CPU, or a GPU. Memory is the backend's.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;
  /// Memory of exactly `bytes`, freed with the backend. `from` may be null: then it is filled with
  /// NaNs. Returns null for 0 bytes.
  virtual void* Put(const void* from, std::size_t bytes) = 0;
  virtual void Get(void* to, const void* from, std::size_t bytes) = 0;
  /// The call, and whatever it leaves in device_error, waited for.
  virtual cairn_kernels_status Recurrent(cairn_kernels_recurrent args) = 0;
  /// Without `workspace_bytes` the backend gives it a workspace, of exactly the size asked for and
  /// full of NaNs.
  virtual cairn_kernels_status Scan(cairn_kernels_scan args) = 0;
  virtual cairn_kernels_status Replay(cairn_kernels_replay args) = 0;
  virtual cairn_kernels_status Conv(cairn_kernels_conv args) = 0;
  virtual cairn_kernels_status Transpose(cairn_kernels_transpose args) = 0;
  virtual cairn_kernels_status Kv(cairn_kernels_kv args) = 0;
  virtual cairn_kernels_status Quantise(cairn_kernels_quantise args) = 0;
  virtual cairn_kernels_status ExponentSplit(cairn_kernels_exponent_split args) = 0;
  virtual cairn_kernels_status Copy(cairn_kernels_copy args) = 0;

  template <class T>
  T* Put(const std::vector<T>& from) {
    return static_cast<T*>(Put(from.data(), from.size() * sizeof(T)));
  }
  template <class T>
  void Get(std::vector<T>& to, const void* from) {
    Get(to.data(), from, to.size() * sizeof(T));
  }
};

/// Every backend this machine has: "cpu" and "emulated", and "cuda" where there is a device. With
/// CAIRN_KERNELS_NEED_CUDA in the environment, having no device is a failure.
std::vector<std::unique_ptr<Backend>> Backends();
std::unique_ptr<Backend> Cpu();
/// Threads take their turns in an order by `seed`.
std::unique_ptr<Backend> Emulated(unsigned seed = 0);

}  // namespace cairn::kernels::test
