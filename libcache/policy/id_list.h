#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "libcache/policy/eviction.h"

namespace cairn {

inline constexpr UnitId kNoUnit = std::numeric_limits<UnitId>::max();

struct IdLink {
  UnitId older = kNoUnit;
  UnitId newer = kNoUnit;
};

/// Doubly linked list of unit ids, oldest to newest. The links lie in the caller's records, reached
/// by `links(id)`, so that several lists share them: a unit is in one list at a time.
template <class Links>
class IdList {
 public:
  explicit IdList(Links links) : links_(links) {}

  [[nodiscard]] UnitId oldest() const { return oldest_; }
  [[nodiscard]] UnitId newest() const { return newest_; }
  [[nodiscard]] std::size_t Size() const { return size_; }

  void PushNewest(UnitId id) {
    links_(id) = {.older = newest_, .newer = kNoUnit};
    (newest_ == kNoUnit ? oldest_ : links_(newest_).newer) = id;
    newest_ = id;
    ++size_;
  }
  void Remove(UnitId id) {
    const IdLink link = links_(id);
    (link.older == kNoUnit ? oldest_ : links_(link.older).newer) = link.newer;
    (link.newer == kNoUnit ? newest_ : links_(link.newer).older) = link.older;
    --size_;
  }

 private:
  Links links_;
  UnitId oldest_ = kNoUnit;
  UnitId newest_ = kNoUnit;
  std::size_t size_ = 0;
};

}  // namespace cairn
