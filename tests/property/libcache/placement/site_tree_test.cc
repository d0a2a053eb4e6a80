#include "libcache/placement/site_tree.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace cairn {
namespace {

/// The same trie without any shortcut: everything is found by walking over all of it.
struct Model {
  struct Place {
    SiteId parent = kNoSite;
    std::uint32_t position = 0;
    std::uint32_t generation = 0;
    double mass = 0;
    std::uint32_t uses = 0;
    bool came_back = false;  ///< For the first time, to its present parent.
  };
  struct Kept {
    SiteId site = kNoSite;
    std::uint32_t position = 0;
    std::uint32_t user = 0;
  };
  std::map<SiteId, Place> places;
  std::map<CheckpointId, Kept> kept;

  /// From the place to its root.
  [[nodiscard]] std::vector<SiteId> PathOf(SiteId id) const {
    std::vector<SiteId> path;
    for (; id != kNoSite; id = places.at(id).parent) {
      path.push_back(id);
    }
    return path;
  }
  [[nodiscard]] bool IsBelow(SiteId id, SiteId above) const {
    const auto path = PathOf(id);
    return std::find(path.begin(), path.end(), above) != path.end();
  }
  [[nodiscard]] std::uint32_t CheckpointsBelow(SiteId id) const {
    std::uint32_t count = 0;
    for (const auto& [checkpoint, at] : kept) {
      count += IsBelow(at.site, id) ? 1 : 0;
    }
    return count;
  }
  [[nodiscard]] std::uint32_t Children(SiteId id) const {
    std::uint32_t count = 0;
    for (const auto& [other, place] : places) {
      count += place.parent == id ? 1 : 0;
    }
    return count;
  }
  [[nodiscard]] std::uint32_t Continued(SiteId id) const {
    std::uint32_t count = 0;
    for (const auto& [other, place] : places) {
      count += place.parent == id && place.came_back ? 1 : 0;
    }
    return count;
  }
  [[nodiscard]] std::uint32_t PositionAbove(CheckpointId id) const {
    const Kept& own = kept.at(id);
    std::uint32_t deepest = 0;
    for (const auto& [other, at] : kept) {
      if (IsBelow(own.site, at.site) && at.position < own.position) {
        deepest = std::max(deepest, at.position);
      }
    }
    return deepest;
  }
  /// How much of the path to `id` the paths to all others have in common with it.
  [[nodiscard]] std::uint32_t NeededAbove(CheckpointId id) const {
    const Kept& own = kept.at(id);
    std::uint32_t needed = 0;
    for (const auto& [other, at] : kept) {
      if (other == id) {
        continue;
      }
      SiteId common = own.site;
      while (common != kNoSite && !IsBelow(at.site, common)) {
        common = places.at(common).parent;
      }
      if (common != kNoSite) {
        needed =
            std::max(needed, std::min({own.position, at.position, places.at(common).position}));
      }
    }
    return needed;
  }
};

class Driver {
 public:
  Driver(std::uint32_t seed, std::uint32_t max_sites)
      : random_(seed), max_sites_(max_sites), tree_(max_sites) {
    for (auto roots = 1 + random_() % 2; roots > 0; --roots) {
      Adopt(tree_.AddRoot(0, 0), kNoSite, 0);
    }
  }

  void Step() {
    const SiteId id = AnyPlace();
    const std::uint32_t begin = Begin(id);
    const std::uint32_t end = model_.places[id].position;
    switch (random_() % 8) {
      case 0:
      case 1: {
        const std::uint32_t position = end + 1 + static_cast<std::uint32_t>(random_() % 10);
        const SiteId tip = tree_.AddTip(id, position, 1);
        Reconcile(tip, id);
        if (tip != kNoSite) {
          Adopt(tip, id, position);
          RC_ASSERT(tree_.site(tip).is_tip && !tree_.site(id).is_tip);
        }
        break;
      }
      case 2:
      case 3:
        if (model_.places[id].parent != kNoSite && end - begin >= 2) {
          Split(id, begin + 1 + static_cast<std::uint32_t>(random_() % (end - begin - 1)));
        }
        break;
      case 4:
      case 5: AddCheckpoint(id, begin, end); break;
      case 6:
        if (!model_.kept.empty()) {
          auto at = model_.kept.begin();
          std::advance(at, random_() % model_.kept.size());
          tree_.RemoveCheckpoint(at->first);
          model_.kept.erase(at);
        }
        break;
      default:
        tree_.Touch(id);
        model_.places[id].mass += 1;
        tree_.AddMass(id, 1, 0);
        if (random_() % 2 == 0) {
          model_.places[id].came_back |=
              model_.places[id].uses++ == 0 && model_.places[id].parent != kNoSite;
          tree_.CountReturn(id);
          ++tree_.site(id).uses;
        }
    }
  }

  void Check() {
    RC_ASSERT(tree_.sites() == model_.places.size());
    RC_ASSERT(tree_.checkpoints() == model_.kept.size());
    for (const auto& [id, place] : model_.places) {
      RC_ASSERT(tree_.Valid({id, place.generation}));
      const Site& site = tree_.site(id);
      RC_ASSERT(site.parent == place.parent && site.position == place.position);
      RC_ASSERT(site.mass == place.mass);
      RC_ASSERT(site.children == model_.Children(id));
      RC_ASSERT(site.uses == place.uses && site.continued == model_.Continued(id));
      RC_ASSERT(site.checkpoints_below == model_.CheckpointsBelow(id));
      RC_ASSERT(tree_.EdgeTokens(id) == place.position - Begin(id));
      std::uint32_t linked = 0;
      for (SiteId child = site.first_child; child != kNoSite;
           child = tree_.site(child).next_sibling) {
        RC_ASSERT(tree_.site(child).parent == id);
        ++linked;
      }
      RC_ASSERT(linked == site.children);
    }
    for (const auto& [id, at] : model_.kept) {
      RC_ASSERT(tree_.checkpoint(id).live && tree_.checkpoint(id).user == at.user);
      RC_ASSERT(tree_.checkpoint(id).site == at.site);
      RC_ASSERT(tree_.CheckpointAt(at.site, at.position) == id);
      RC_ASSERT(tree_.PositionAbove(id) == model_.PositionAbove(id));
      RC_ASSERT(tree_.NeededAbove(id) == model_.NeededAbove(id));
    }
    for (const SiteRef ref : forgotten_) {
      RC_ASSERT(!tree_.Valid(ref));
    }
  }

 private:
  SiteId AnyPlace() {
    auto at = model_.places.begin();
    std::advance(at, random_() % model_.places.size());
    return at->first;
  }
  std::uint32_t Begin(SiteId id) {
    const SiteId parent = model_.places[id].parent;
    return parent == kNoSite ? 0 : model_.places[parent].position;
  }
  void Adopt(SiteId id, SiteId parent, std::uint32_t position) {
    RC_ASSERT(!model_.places.contains(id));
    model_.places[id] = {
        .parent = parent, .position = position, .generation = tree_.RefOf(id).generation};
  }
  /// Takes out of the model what was forgotten to make room, if that was allowed.
  void Reconcile(SiteId made, SiteId keep) {
    std::vector<SiteId> gone;
    for (const auto& [id, place] : model_.places) {
      if (!tree_.Valid({id, place.generation})) {
        gone.push_back(id);
      }
    }
    RC_ASSERT(gone.size() <= 1U);
    RC_ASSERT(gone.empty() || (made != kNoSite && model_.places.size() >= max_sites_));
    for (const SiteId id : gone) {
      RC_ASSERT(id != keep);
      RC_ASSERT(model_.Children(id) == 0U && model_.CheckpointsBelow(id) == 0U);
      const Model::Place place = model_.places[id];
      RC_ASSERT(place.parent != kNoSite);
      model_.places[place.parent].mass += place.mass;
      forgotten_.push_back({id, place.generation});
      model_.places.erase(id);
    }
    if (made == kNoSite) {  // With so few places all are looked at.
      for (const auto& [id, place] : model_.places) {
        RC_ASSERT(id == keep || place.parent == kNoSite || model_.Children(id) > 0 ||
                  model_.CheckpointsBelow(id) > 0);
      }
    }
  }
  void Split(SiteId id, std::uint32_t position) {
    const SiteId upper = tree_.Split(id, position, 1);
    Reconcile(upper, id);
    if (upper == kNoSite) {
      return;
    }
    Adopt(upper, model_.places[id].parent, position);
    model_.places[id].parent = upper;
    std::swap(model_.places[upper].came_back, model_.places[id].came_back);
    for (auto& [checkpoint, at] : model_.kept) {
      if (at.site == id && at.position <= position) {
        at.site = upper;
      }
    }
  }
  void AddCheckpoint(SiteId id, std::uint32_t begin, std::uint32_t end) {
    if (begin == end) {
      return;  // A root.
    }
    const std::uint32_t position =
        begin + 1 + static_cast<std::uint32_t>(random_() % (end - begin));
    for (const auto& [checkpoint, at] : model_.kept) {
      if (at.site == id && at.position == position) {
        return;
      }
    }
    const auto user = static_cast<std::uint32_t>(random_());
    const CheckpointId checkpoint = tree_.AddCheckpoint(id, position, user);
    RC_ASSERT(!model_.kept.contains(checkpoint));
    model_.kept[checkpoint] = {.site = id, .position = position, .user = user};
  }

  std::mt19937_64 random_;
  std::uint32_t max_sites_;
  SiteTree tree_;
  Model model_;
  std::vector<SiteRef> forgotten_;
};

RC_GTEST_PROP(SiteTreeProperty, AgreesWithItsModel, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  const auto max_sites = *rc::gen::inRange<std::uint32_t>(3, 24);
  const int steps = *rc::gen::inRange(1, 200);
  Driver driver(seed, max_sites);
  for (int i = 0; i < steps; ++i) {
    driver.Step();
    driver.Check();
  }
}

}  // namespace
}  // namespace cairn
