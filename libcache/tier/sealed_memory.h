#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "libcache/base/result.h"

namespace cairn {

/// Shared memory of a fixed size that this process alone can write: a memfd, mapped here, sealed
/// against any change of size and, where the kernel has F_SEAL_FUTURE_WRITE (5.1), against further
/// writable mappings. Who receives the descriptor can trust the size; we can trust what we wrote.
class SealedMemory {
 public:
  /// `name` shows in /proc/<pid>/maps. Pages come on first use. Errors: kIo, says which call.
  static Result<std::unique_ptr<SealedMemory>> Create(const char* name, std::uint64_t bytes);
  ~SealedMemory();
  SealedMemory(const SealedMemory&) = delete;
  SealedMemory& operator=(const SealedMemory&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::span<std::byte> memory() const { return memory_; }

 private:
  SealedMemory(int fd, std::span<std::byte> memory) : fd_(fd), memory_(memory) {}

  int fd_;
  std::span<std::byte> memory_;
};

}  // namespace cairn
