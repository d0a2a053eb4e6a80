#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/policy/frequency_sketch.h"
#include "libcache/policy/indexed_heap.h"
#include "libcache/policy/policies.h"

namespace cairn::internal {
namespace {

/// GreedyDual-Size-Frequency (Cherkasova, HPL-98-69): the least of
///   inflation at its last use + uses * saved tokens / bytes
/// goes first, and the inflation becomes the priority of what was evicted. So a unit is worth its
/// prefill per byte times how often it pays, and ages against everything used after it.
///
/// A unit that comes back soon after its eviction starts with the uses that the sketch remembers.
/// 44 bytes per unit and 8 to 16 of sketch.
class Value final : public EvictionPolicy {
 public:
  [[nodiscard]] std::string_view Name() const override { return "value"; }

  void Insert(UnitId id, const EvictionUnit& unit) override {
    if (id >= units_.size()) {
      units_.resize(std::size_t{id} + 1);
    }
    CAIRN_CHECK(!heap_.Contains(id));
    sketch_.EnsureCapacity(heap_.Size() + 1);
    sketch_.Add(unit.key_word);
    units_[id] = {.key_word = unit.key_word,
                  .inflation = inflation_,
                  .density = Density(unit),
                  .last_use = ++clock_,
                  .uses = static_cast<std::uint16_t>(std::max(sketch_.Estimate(unit.key_word), 1U)),
                  .picked = false};
    heap_.Push(id);
  }
  void Touch(UnitId id) override {
    if (!heap_.Contains(id)) {
      return;
    }
    Unit& unit = units_[id];
    sketch_.Add(unit.key_word);
    unit.inflation = inflation_;
    unit.last_use = ++clock_;
    if (unit.uses < kMaxUses) {
      ++unit.uses;
    }
    unit.picked = false;
    heap_.Moved(id);
  }
  void Update(UnitId id, const EvictionUnit& unit) override {
    if (heap_.Contains(id)) {
      units_[id].key_word = unit.key_word;
      units_[id].density = Density(unit);
      heap_.Moved(id);
    }
  }
  void Erase(UnitId id) override {
    if (!heap_.Contains(id)) {
      return;
    }
    // What nobody picked goes for other reasons than being worth least and sets no price.
    if (units_[id].picked) {
      inflation_ = std::max(inflation_, units_[id].Priority());
    }
    heap_.Erase(id);
  }
  [[nodiscard]] std::optional<UnitId> PickVictim(const std::function<bool(UnitId)>& evictable,
                                                 std::size_t max_refused) override {
    const auto victim = FirstAccepted(heap_, evictable, max_refused);
    if (victim) {
      units_[*victim].picked = true;
    }
    return victim;
  }
  /// The credit it has left: what has aged below the price of memory is free.
  [[nodiscard]] double Worth(UnitId id) const override {
    return heap_.Contains(id) ? std::max(units_[id].Priority() - inflation_, 0.0) : 0.0;
  }
  [[nodiscard]] std::size_t Size() const override { return heap_.Size(); }

 private:
  static constexpr double kMaxSaved = 1e12;
  static constexpr std::uint16_t kMaxUses = std::numeric_limits<std::uint16_t>::max();

  struct Unit {
    std::uint64_t key_word = 0;
    double inflation = 0;
    double density = 0;  // Saved tokens per byte.
    std::uint64_t last_use = 0;
    std::uint16_t uses = 0;
    bool picked = false;  // By PickVictim, and not used since.
    [[nodiscard]] double Priority() const { return inflation + uses * density; }
  };
  static_assert(sizeof(Unit) == 40);
  struct Order {
    const std::vector<Unit>* units;
    bool operator()(UnitId a, UnitId b) const {
      const Unit& left = (*units)[a];
      const Unit& right = (*units)[b];
      const double left_priority = left.Priority();
      const double right_priority = right.Priority();
      return left_priority != right_priority ? left_priority < right_priority
                                             : left.last_use < right.last_use;
    }
  };

  /// Infinity would freeze the inflation, and with undefined savings the heap would have no order.
  static double Density(const EvictionUnit& unit) {
    const double saved =
        std::isnan(unit.saved_tokens) ? 0.0 : std::clamp(unit.saved_tokens, 0.0, kMaxSaved);
    return saved / static_cast<double>(std::max<std::uint64_t>(unit.bytes, 1));
  }

  std::uint64_t clock_ = 0;  // Calls, not time.
  double inflation_ = 0;
  FrequencySketch sketch_;
  std::vector<Unit> units_;
  IndexedHeap<Order> heap_{Order{&units_}};
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeValue() { return std::make_unique<Value>(); }

}  // namespace cairn::internal
