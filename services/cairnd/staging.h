#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "libcache/base/mutex.h"
#include "libcache/base/result.h"

namespace cairn::server {

/// Shared memory that one connection writes into, so that it never needs write access to the arena.
/// A sealed memfd, mapped by both sides. Its content may change under us at any time: it is copied
/// once and only the copy is looked at.
class Staging {
 public:
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::span<const std::byte> memory() const { return memory_; }

 private:
  friend class StagingPool;
  Staging(class StagingPool* pool, int fd, std::span<std::byte> memory)
      : pool_(pool), fd_(fd), memory_(memory) {}
  class StagingPool* pool_;
  int fd_;
  std::span<std::byte> memory_;
};

/// Hands out staging memory under a cap. Thread-safe; must outlive what it handed out.
class StagingPool {
 public:
  StagingPool(std::uint64_t cap_bytes, std::uint64_t each_bytes)
      : cap_bytes_(cap_bytes), each_bytes_(each_bytes) {}
  /// Errors: kOverloaded when the cap is reached (the client streams instead), kIo.
  Result<std::unique_ptr<Staging>> Take() CAIRN_EXCLUDES(mu_);

 private:
  friend class Staging;
  void Return() CAIRN_EXCLUDES(mu_);
  const std::uint64_t cap_bytes_;
  const std::uint64_t each_bytes_;
  Mutex mu_;
  std::uint64_t taken_bytes_ CAIRN_GUARDED_BY(mu_) = 0;
};

}  // namespace cairn::server
