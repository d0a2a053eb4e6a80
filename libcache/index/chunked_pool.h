#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "libcache/base/check.h"

namespace cairn {

/// Numbered slots of T that never move and are reused after Free. Grows by chunks, so growth copies
/// nothing and wastes at most one chunk; a plain vector would double. Not thread-safe.
template <class T>
class ChunkedPool {
 public:
  static constexpr std::uint32_t kChunk = 4096;

  std::uint32_t Allocate() {
    ++size_;
    if (!free_.empty()) {
      const std::uint32_t id = free_.back();
      free_.pop_back();
      (*this)[id] = T{};
      return id;
    }
    if (next_ % kChunk == 0) {
      chunks_.push_back(std::make_unique<T[]>(kChunk));
    }
    CAIRN_CHECK(next_ < UINT32_MAX - 1);
    return next_++;
  }

  void Free(std::uint32_t id) {
    CAIRN_CHECK(id < next_ && size_ > 0);
    --size_;
    free_.push_back(id);
  }

  T& operator[](std::uint32_t id) {
    CAIRN_DCHECK(id < next_);
    return chunks_[id / kChunk][id % kChunk];
  }
  const T& operator[](std::uint32_t id) const {
    CAIRN_DCHECK(id < next_);
    return chunks_[id / kChunk][id % kChunk];
  }

  /// Slots in use.
  [[nodiscard]] std::uint32_t size() const { return size_; }
  /// One past the largest number ever handed out.
  [[nodiscard]] std::uint32_t end() const { return next_; }
  [[nodiscard]] std::uint64_t memory_bytes() const {
    return chunks_.size() * kChunk * sizeof(T) + free_.capacity() * sizeof(std::uint32_t);
  }

 private:
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<std::uint32_t> free_;
  std::uint32_t next_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace cairn
