#include <vector>

#include "libcache/base/check.h"
#include "libcache/policy/id_list.h"
#include "libcache/policy/policies.h"

namespace cairn::internal {
namespace {

/// Least recently used first; blind to bytes and value. 16 bytes per unit.
class Lru final : public EvictionPolicy {
 public:
  [[nodiscard]] std::string_view Name() const override { return "lru"; }

  void Insert(UnitId id, const EvictionUnit&) override {
    if (id >= units_.size()) {
      units_.resize(std::size_t{id} + 1);
    }
    CAIRN_CHECK(!Contains(id));
    units_[id].last_use = ++clock_;
    order_.PushNewest(id);
  }
  void Touch(UnitId id) override {
    if (Contains(id)) {
      units_[id].last_use = ++clock_;
      order_.Remove(id);
      order_.PushNewest(id);
    }
  }
  void Update(UnitId, const EvictionUnit&) override {}
  void Erase(UnitId id) override {
    if (Contains(id)) {
      order_.Remove(id);
      units_[id].last_use = 0;
    }
  }
  [[nodiscard]] std::optional<UnitId> PickVictim(const std::function<bool(UnitId)>& evictable,
                                                 std::size_t max_refused) override {
    std::size_t refused = 0;
    for (UnitId id = order_.oldest(); id != kNoUnit; id = units_[id].link.newer) {
      if (evictable(id)) {
        return id;
      }
      if (++refused > max_refused) {
        break;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] double Worth(UnitId id) const override {
    return Contains(id) ? 1.0 / static_cast<double>(1 + clock_ - units_[id].last_use) : 0.0;
  }
  [[nodiscard]] std::size_t Size() const override { return order_.Size(); }

 private:
  struct Unit {
    IdLink link;
    std::uint64_t last_use = 0;  // 0: not present.
  };
  struct Links {
    std::vector<Unit>* units;
    IdLink& operator()(UnitId id) const { return (*units)[id].link; }
  };

  [[nodiscard]] bool Contains(UnitId id) const {
    return id < units_.size() && units_[id].last_use != 0;
  }

  std::uint64_t clock_ = 0;  // Calls, not time.
  std::vector<Unit> units_;
  IdList<Links> order_{Links{&units_}};
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLru() { return std::make_unique<Lru>(); }

}  // namespace cairn::internal
