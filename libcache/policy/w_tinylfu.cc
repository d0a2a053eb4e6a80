#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "libcache/base/check.h"
#include "libcache/policy/frequency_sketch.h"
#include "libcache/policy/id_list.h"
#include "libcache/policy/policies.h"

namespace cairn::internal {
namespace {

/// W-TinyLFU (Einziger, Friedman, Manes: TinyLFU, ACM ToS 2017; the arrangement is Caffeine's).
/// New units enter a window of 1 % of the bytes, in order of use. What falls out of it is a
/// newcomer to the main area, whose units are on probation until they are used, and protected then;
/// what falls out of the protected 80 % is on probation again. Value is not looked at.
///
/// The victim is the unit unused for longest on probation, or the newcomer if the sketch saw that
/// one less often or as often. So a scan of units used once evicts itself. Newcomers are admitted
/// without a contest while nothing had to be evicted yet, and where more than 1 % of them wait.
///
/// The policy is not told the capacity; it takes the most bytes it ever held, which is the capacity
/// once the cache has been full. 32 bytes per unit and 8 to 16 of sketch.
class WTinyLfu final : public EvictionPolicy {
 public:
  [[nodiscard]] std::string_view Name() const override { return "w_tinylfu"; }

  void Insert(UnitId id, const EvictionUnit& unit) override {
    if (id >= units_.size()) {
      units_.resize(std::size_t{id} + 1);
    }
    CAIRN_CHECK(units_[id].area == kNowhere);
    sketch_.EnsureCapacity(Size() + 1);
    sketch_.Add(unit.key_word);
    units_[id].key_word = unit.key_word;
    units_[id].bytes = unit.bytes;
    units_[id].last_use = ++clock_;
    Enter(kWindow, id);
    Rebalance();
  }
  void Touch(UnitId id) override {
    if (!Contains(id)) {
      return;
    }
    if (id == picked_ || id == rival_) {
      ForgetContest();  // It would now end otherwise.
    }
    sketch_.Add(units_[id].key_word);
    units_[id].last_use = ++clock_;
    Move(id, units_[id].area == kWindow ? kWindow : kProtected);
    Rebalance();
  }
  void Update(UnitId id, const EvictionUnit& unit) override {
    if (!Contains(id)) {
      return;
    }
    bytes_[units_[id].area] += unit.bytes - units_[id].bytes;
    units_[id].bytes = unit.bytes;
    units_[id].key_word = unit.key_word;
    Rebalance();
  }
  void Erase(UnitId id) override {
    if (!Contains(id)) {
      return;
    }
    Leave(id);
    if (id == picked_ && rival_ != kNoUnit && units_[rival_].area == kNewcomers) {
      Move(rival_, kProbation);  // It has won the place.
    }
    if (id == picked_ || id == rival_) {
      ForgetContest();
    }
  }
  [[nodiscard]] std::optional<UnitId> PickVictim(const std::function<bool(UnitId)>& evictable,
                                                 std::size_t max_refused) override;
  [[nodiscard]] double Worth(UnitId id) const override {
    return Contains(id) ? Frequency(id) + 1.0 / (1.0 + (clock_ - units_[id].last_use)) : 0.0;
  }
  [[nodiscard]] std::size_t Size() const override { return size_; }

 private:
  enum Area : std::uint8_t { kWindow, kNewcomers, kProbation, kProtected, kNowhere };

  struct Unit {
    std::uint64_t key_word = 0;
    std::uint64_t bytes = 0;
    IdLink link;
    std::uint32_t last_use = 0;
    Area area = kNowhere;
  };
  static_assert(sizeof(Unit) == 32);
  struct Links {
    std::vector<Unit>* units;
    IdLink& operator()(UnitId id) const { return (*units)[id].link; }
  };
  using List = IdList<Links>;

  [[nodiscard]] bool Contains(UnitId id) const {
    return id < units_.size() && units_[id].area != kNowhere;
  }
  [[nodiscard]] std::uint32_t Frequency(UnitId id) const {
    return sketch_.Estimate(units_[id].key_word);
  }
  void Enter(Area area, UnitId id) {
    lists_[area].PushNewest(id);
    bytes_[area] += units_[id].bytes;
    units_[id].area = area;
    ++size_;
  }
  void Leave(UnitId id) {
    const Area area = units_[id].area;
    lists_[area].Remove(id);
    bytes_[area] -= units_[id].bytes;
    units_[id].area = kNowhere;
    --size_;
  }
  void Move(UnitId id, Area area) {
    Leave(id);
    Enter(area, id);
  }
  void ForgetContest() {
    picked_ = kNoUnit;
    rival_ = kNoUnit;
  }
  void Rebalance() {
    peak_bytes_ =
        std::max(peak_bytes_, std::accumulate(bytes_.begin(), bytes_.end(), std::uint64_t{0}));
    const std::uint64_t percent = peak_bytes_ / 100;
    // In both, one unit stays even if it is larger than the area, as a state often is.
    while (lists_[kWindow].Size() > 1 && bytes_[kWindow] > percent) {
      Move(lists_[kWindow].oldest(), full_ ? kNewcomers : kProbation);
    }
    while (lists_[kNewcomers].Size() > 1 && bytes_[kNewcomers] > percent) {
      Move(lists_[kNewcomers].oldest(), kProbation);
    }
    const std::uint64_t main = peak_bytes_ - percent;
    while (bytes_[kProtected] > main - main / 5) {
      Move(lists_[kProtected].oldest(), kProbation);
    }
  }
  /// Residents go probation first, then protected, then window, each from its oldest on. The first
  /// of `area` or, where that is empty, of what comes after it.
  [[nodiscard]] UnitId FirstToGo(Area area) const {
    UnitId first = lists_[area].oldest();
    if (first == kNoUnit && area == kProbation) {
      first = lists_[kProtected].oldest();
    }
    return first == kNoUnit ? lists_[kWindow].oldest() : first;
  }
  [[nodiscard]] UnitId NextToGo(UnitId id) const {
    const Unit& unit = units_[id];
    if (unit.link.newer != kNoUnit || unit.area == kWindow) {
      return unit.link.newer;
    }
    return FirstToGo(unit.area == kProbation ? kProtected : kWindow);
  }

  FrequencySketch sketch_;
  std::vector<Unit> units_;
  std::array<List, 4> lists_{List{Links{&units_}}, List{Links{&units_}}, List{Links{&units_}},
                             List{Links{&units_}}};
  std::array<std::uint64_t, 4> bytes_{};
  std::size_t size_ = 0;
  std::uint64_t peak_bytes_ = 0;
  std::uint32_t clock_ = 0;  // Calls, not time; ages survive its wrapping.
  bool full_ = false;        // PickVictim was called.
  UnitId picked_ = kNoUnit;  // The last victim, if it was not a newcomer, and
  UnitId rival_ = kNoUnit;   // the newcomer that it lost against, if any.
};

std::optional<UnitId> WTinyLfu::PickVictim(const std::function<bool(UnitId)>& evictable,
                                           std::size_t max_refused) {
  full_ = true;
  ForgetContest();
  UnitId resident = FirstToGo(kProbation);
  UnitId newcomer = lists_[kNewcomers].oldest();
  for (std::size_t refused = 0; refused <= max_refused; ++refused) {
    if (newcomer != kNoUnit &&
        (resident == kNoUnit || Frequency(newcomer) <= Frequency(resident))) {
      if (evictable(newcomer)) {
        return newcomer;
      }
      newcomer = units_[newcomer].link.newer;
    } else if (resident != kNoUnit) {
      if (evictable(resident)) {
        picked_ = resident;
        rival_ = newcomer;
        return resident;
      }
      resident = NextToGo(resident);
    } else {
      break;
    }
  }
  return std::nullopt;
}

}  // namespace

std::unique_ptr<EvictionPolicy> MakeWTinyLfu() { return std::make_unique<WTinyLfu>(); }

}  // namespace cairn::internal
