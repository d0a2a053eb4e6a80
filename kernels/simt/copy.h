#pragma once

#include "kernels/simt/device.h"

// 16 bytes at a time: vectors, and copies into shared memory that run while a thread does something
// else. A thread's copies are done after WaitAsync, and other threads see them after SyncBlock.

#ifndef __CUDACC__
#include <cstring>
#include <vector>
#endif

namespace cairn::kernels {

/// Read and written in one access where it is aligned.
struct alignas(16) Float4 {
  float x, y, z, w;
};

#ifdef __CUDACC__

/// Before a loop that must not be unrolled, for its registers' sake.
#define CAIRN_ROLLED _Pragma("unroll 1")

template <int kBytes>
CAIRN_DEVICE void CopyAsync(void* shared, const void* global) {
  static_assert(kBytes == 4 || kBytes == 16);
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global) : "memory");
  }
}
CAIRN_DEVICE void CommitAsync() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits for this thread's copies but those of the newest kGroups commits.
template <int kGroups>
CAIRN_DEVICE void WaitAsync() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

#else

#define CAIRN_ROLLED

namespace emulated {

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};
/// By thread, then by group; the last group is not committed yet. Nothing is copied before a wait,
/// so that code which forgets to wait sees what was there before.
inline std::vector<std::vector<Copy>>& Pending() {
  static std::vector<std::vector<std::vector<Copy>>> all;
  const auto thread = static_cast<std::size_t>(ThreadIndex());
  if (all.size() <= thread) {
    all.resize(thread + 1);
  }
  if (all[thread].empty()) {
    all[thread].emplace_back();
  }
  return all[thread];
}

}  // namespace emulated

template <int kBytes>
void CopyAsync(void* shared, const void* global) {
  emulated::Pending().back().push_back({shared, global, kBytes});
}
inline void CommitAsync() { emulated::Pending().emplace_back(); }
template <int kGroups>
void WaitAsync() {
  auto& groups = emulated::Pending();
  while (groups.size() > kGroups + 1) {
    for (const auto& copy : groups.front()) {
      std::memcpy(copy.to, copy.from, copy.bytes);
    }
    groups.erase(groups.begin());
  }
}

#endif

}  // namespace cairn::kernels
