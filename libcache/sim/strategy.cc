#include "libcache/sim/strategy.h"

namespace cairn::sim {
namespace {

class PlannerStrategy final : public Strategy {
 public:
  explicit PlannerStrategy(std::unique_ptr<Planner> planner) : planner_(std::move(planner)) {}
  std::vector<std::uint32_t> Plan(const PlanInput& input) override { return planner_->Plan(input); }

 private:
  std::unique_ptr<Planner> planner_;
};

}  // namespace

Result<std::unique_ptr<Strategy>> MakeStrategy(std::string_view name) {
  auto planner = MakePlanner(name);
  if (!planner) {
    return Fail(planner.error());
  }
  return std::make_unique<PlannerStrategy>(std::move(*planner));
}

}  // namespace cairn::sim
