#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <thread>

namespace cairn {

/// Takes the pages of a mapping from the system ahead of their first use, in the background.
///
/// To take one costs the kernel 3 us in a virtual machine (0.75 ms per MiB), so that the first
/// write to fresh memory is several times slower than a copy, and as slow as reading an SSD.
///
/// Works from both ends towards the middle, as the arena hands memory out. Contents are not
/// touched, so the mapping may be in use meanwhile. Where the kernel cannot do it (before 5.14)
/// pages are taken on first use, as without. Memory that is not there is missed at once, not under
/// load.
class Prefaulter {
 public:
  /// `memory`: a writable mapping that outlives this, in whole pages.
  explicit Prefaulter(std::span<std::byte> memory);
  /// Stops within a millisecond or so.
  ~Prefaulter();
  Prefaulter(const Prefaulter&) = delete;
  Prefaulter& operator=(const Prefaulter&) = delete;

 private:
  void Run(std::span<std::byte> memory);

  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace cairn
