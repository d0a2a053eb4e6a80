#include <vector>

#include "libcache/policy/indexed_heap.h"
#include "libcache/policy/policies.h"

namespace cairn::internal {
namespace {

/// Least often used since it was inserted first, of those the one unused for longest; blind to
/// bytes and value, and it forgets nothing while a unit stays. 24 bytes per unit.
class Lfu final : public EvictionPolicy {
 public:
  [[nodiscard]] std::string_view Name() const override { return "lfu"; }

  void Insert(UnitId id, const EvictionUnit&) override {
    if (id >= units_.size()) {
      units_.resize(std::size_t{id} + 1);
    }
    // Before the heap looks at it; a unit that is present already stops the process there.
    units_[id] = {.uses = 1, .last_use = ++clock_};
    heap_.Push(id);
  }
  void Touch(UnitId id) override {
    if (heap_.Contains(id)) {
      ++units_[id].uses;
      units_[id].last_use = ++clock_;
      heap_.Moved(id);
    }
  }
  void Update(UnitId, const EvictionUnit&) override {}
  void Erase(UnitId id) override {
    if (heap_.Contains(id)) {
      heap_.Erase(id);
    }
  }
  [[nodiscard]] std::optional<UnitId> PickVictim(const std::function<bool(UnitId)>& evictable,
                                                 std::size_t max_refused) override {
    return FirstAccepted(heap_, evictable, max_refused);
  }
  [[nodiscard]] double Worth(UnitId id) const override {
    if (!heap_.Contains(id)) {
      return 0;
    }
    const Unit& unit = units_[id];
    return static_cast<double>(unit.uses) + 1.0 / static_cast<double>(1 + clock_ - unit.last_use);
  }
  [[nodiscard]] std::size_t Size() const override { return heap_.Size(); }

 private:
  struct Unit {
    std::uint64_t uses = 0;
    std::uint64_t last_use = 0;
  };
  struct Order {
    const std::vector<Unit>* units;
    bool operator()(UnitId a, UnitId b) const {
      const Unit& left = (*units)[a];
      const Unit& right = (*units)[b];
      return left.uses != right.uses ? left.uses < right.uses : left.last_use < right.last_use;
    }
  };

  std::uint64_t clock_ = 0;  // Calls, not time.
  std::vector<Unit> units_;
  IndexedHeap<Order> heap_{Order{&units_}};
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLfu() { return std::make_unique<Lfu>(); }

}  // namespace cairn::internal
