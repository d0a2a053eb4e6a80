// Plans; the learned placement as operators see it, and what of it is kept over a restart.
#include <algorithm>
#include <utility>

#include "libcache/cache/cache.h"

namespace cairn {
namespace {

// Under the lock for about a millisecond at a time.
constexpr std::uint32_t kPlacesPerPage = 2048;

tl::unexpected<Error> NotLearned(const std::string& planner) {
  return Fail(
      ErrorCode::kUnsupported,
      "the planner is " + planner + ", which learns nothing; start cairnd with --planner trie");
}

}  // namespace

Status CheckPlannerName(std::string_view name) {
  if (name == kLearnedPlanner) {
    return {};
  }
  if (const auto planner = MakePlanner(name); !planner) {
    return Fail(planner.error().code, planner.error().message + ", or trie, which learns");
  }
  return {};
}

std::vector<std::uint32_t> Cache::PlanFor(NodeId deepest, std::uint32_t kv_tokens,
                                          const PlanInput& input) {
  const std::uint16_t name_space = index_.node(deepest).name_space;
  if (trie_ != nullptr) {
    return trie_->PlanFor({.name_space = name_space,
                           .deepest = deepest,
                           .prompt_tokens = input.prompt_tokens,
                           .seen_tokens = input.overlap_tokens,
                           .resume_tokens = input.resume_tokens,
                           .kv_tokens = kv_tokens,
                           .grid_tokens = input.grid_tokens});
  }
  if (namespaces_[name_space].spec.checkpoint_bytes == 0) {
    return {};
  }
  return planner_->Plan(input);
}

Result<PlacementSummary> Cache::Placement(std::size_t most_places) const {
  if (trie_ == nullptr) {
    return NotLearned(config_.planner);
  }
  const MutexLock lock(mu_);
  return trie_->Summary(most_places);
}

Result<PathPlacement> Cache::ExplainPlacement(const std::string& key_hex) const {
  if (trie_ == nullptr) {
    return NotLearned(config_.planner);
  }
  const MutexLock lock(mu_);
  const auto id = FindByHex(key_hex);
  if (!id) {
    return Fail(id.error());
  }
  return trie_->Explain(*id);
}

Result<PlacementModels> Cache::LearnedModels() const {
  if (trie_ == nullptr) {
    return NotLearned(config_.planner);
  }
  const MutexLock lock(mu_);
  return trie_->Models();
}

Result<Cache::PlacePage> Cache::LearnedPlaces(std::uint32_t from) const {
  if (trie_ == nullptr) {
    return NotLearned(config_.planner);
  }
  PlacePage page;
  const MutexLock lock(mu_);
  page.next = trie_->Places(from, kPlacesPerPage, page.places);
  return page;
}

Status Cache::MergeLearnedModels(const PlacementModels& models) {
  if (trie_ == nullptr) {
    return NotLearned(config_.planner);
  }
  const MutexLock lock(mu_);
  return trie_->MergeModels(models);
}

Result<std::size_t> Cache::MergeLearnedPlaces(std::span<const PlaceRecord> places) {
  if (trie_ == nullptr) {
    return NotLearned(config_.planner);
  }
  std::size_t taken = 0;
  while (!places.empty()) {
    const auto page = places.first(std::min<std::size_t>(places.size(), kPlacesPerPage));
    places = places.subspan(page.size());
    const MutexLock lock(mu_);
    for (const PlaceRecord& place : page) {
      taken += trie_->MergePlace(place) ? 1 : 0;
    }
  }
  return taken;
}

void Cache::SortLearnedPlaces() {
  if (trie_ != nullptr) {
    const MutexLock lock(mu_);
    trie_->SortPlaces();
  }
}

}  // namespace cairn
