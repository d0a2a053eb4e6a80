#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>

namespace cairn::llamacpp {

/// Memory for whole states: large, kept and used again, and not filled with zeros first, as a
/// vector would be. A new page's first use takes several times as long as the copy that goes there.
class Buffer {
 public:
  Buffer() = default;
  /// size() is 0 if there is no memory: an engine must not fall over a cache.
  explicit Buffer(std::size_t bytes)
      : memory_(new (std::nothrow) std::byte[bytes]), bytes_(memory_ == nullptr ? 0 : bytes) {}

  [[nodiscard]] std::span<std::byte> span() { return {memory_.get(), bytes_}; }
  [[nodiscard]] std::span<const std::byte> span() const { return {memory_.get(), bytes_}; }
  [[nodiscard]] std::size_t size() const { return bytes_; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::size_t bytes_ = 0;
};

}  // namespace cairn::llamacpp
