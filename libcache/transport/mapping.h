#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "libcache/base/result.h"
#include "libcache/transport/socket.h"

namespace cairn {

/// A shared mapping of sealed memory that somebody else made, unmapped at the end.
class Mapping {
 public:
  /// Errors: kCorrupt (not sealed against shrinking, or smaller than `bytes`), kIo (mmap).
  static Result<Mapping> Map(int fd, std::uint64_t bytes, int protection);
  Mapping(Mapping&& other) noexcept : memory_(std::exchange(other.memory_, {})) {}
  Mapping& operator=(Mapping&&) = delete;
  Mapping(const Mapping&) = delete;
  ~Mapping();
  [[nodiscard]] std::span<std::byte> memory() const { return memory_; }

 private:
  explicit Mapping(std::span<std::byte> memory) : memory_(memory) {}
  std::span<std::byte> memory_;
};

}  // namespace cairn
