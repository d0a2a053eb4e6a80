#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <queue>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/policy/eviction.h"

namespace cairn {

/// Binary heap of unit ids whose order lies outside: `Order` is called as order(a, b) and says
/// whether a comes before b; it must be a strict total order. Eight bytes per unit. Whoever changes
/// what the order looks at calls Moved().
template <class Order>
class IndexedHeap {
 public:
  explicit IndexedHeap(Order order) : order_(order) {}

  [[nodiscard]] std::size_t Size() const { return heap_.size(); }
  [[nodiscard]] bool Contains(UnitId id) const {
    return id < place_.size() && place_[id] != kAbsent;
  }
  void Push(UnitId id) {
    CAIRN_CHECK(!Contains(id));
    if (id >= place_.size()) {
      place_.resize(std::size_t{id} + 1, kAbsent);
    }
    heap_.push_back(id);
    place_[id] = static_cast<std::uint32_t>(heap_.size() - 1);
    SiftUp(heap_.size() - 1);
  }
  void Erase(UnitId id) {
    CAIRN_CHECK(Contains(id));
    const std::size_t hole = place_[id];
    const UnitId last = heap_.back();
    heap_.pop_back();
    place_[id] = kAbsent;
    if (last != id) {
      Put(hole, last);
      Moved(last);
    }
  }
  /// The order of `id` changed in either direction.
  void Moved(UnitId id) {
    CAIRN_CHECK(Contains(id));
    SiftUp(place_[id]);
    SiftDown(place_[id]);
  }
  /// Visits ids from first to last without changing the heap, until `visit` returns false. k visits
  /// cost O(k log k): only children of what was visited can come next.
  template <class Visit>
  void VisitInOrder(Visit visit) const {
    const auto later = [this](std::size_t a, std::size_t b) { return order_(heap_[b], heap_[a]); };
    std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> next(later);
    // Often the first one will do: nothing is allocated before it was visited.
    for (std::size_t at = 0; at < heap_.size() && visit(heap_[at]);) {
      for (std::size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap_.size(); ++child) {
        next.push(child);
      }
      if (next.empty()) {
        return;
      }
      at = next.top();
      next.pop();
    }
  }

 private:
  static constexpr std::uint32_t kAbsent = std::numeric_limits<std::uint32_t>::max();

  void Put(std::size_t at, UnitId id) {
    heap_[at] = id;
    place_[id] = static_cast<std::uint32_t>(at);
  }
  void SiftUp(std::size_t at) {
    const UnitId id = heap_[at];
    while (at > 0 && order_(id, heap_[(at - 1) / 2])) {
      Put(at, heap_[(at - 1) / 2]);
      at = (at - 1) / 2;
    }
    Put(at, id);
  }
  void SiftDown(std::size_t at) {
    const UnitId id = heap_[at];
    for (;;) {
      std::size_t child = 2 * at + 1;
      if (child >= heap_.size()) {
        break;
      }
      if (child + 1 < heap_.size() && order_(heap_[child + 1], heap_[child])) {
        ++child;
      }
      if (!order_(heap_[child], id)) {
        break;
      }
      Put(at, heap_[child]);
      at = child;
    }
    Put(at, id);
  }

  Order order_;
  std::vector<UnitId> heap_;
  std::vector<std::uint32_t> place_;  // Index into heap_, by id.
};

/// PickVictim of the policies that keep a heap.
template <class Order>
std::optional<UnitId> FirstAccepted(const IndexedHeap<Order>& heap,
                                    const std::function<bool(UnitId)>& evictable,
                                    std::size_t max_refused) {
  std::optional<UnitId> victim;
  std::size_t refused = 0;
  heap.VisitInOrder([&](UnitId id) {
    if (evictable(id)) {
      victim = id;
      return false;
    }
    return ++refused <= max_refused;
  });
  return victim;
}

}  // namespace cairn
