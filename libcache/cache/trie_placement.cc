// What a request teaches and what it should emit; trie_placement_value.cc says what goes first.
#include "libcache/cache/trie_placement.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "libcache/base/check.h"
#include "libcache/base/digest.h"
#include "libcache/cache/types.h"
#include "libcache/placement/planner.h"

namespace cairn {
namespace {

// A place with its queues (docs/placement.md), and its share of the maps here.
constexpr std::uint64_t kBytesPerPlace = 160;
constexpr std::uint64_t kFewestPlaces = 1024;
// A small model on a large machine, and a large one on a laptop.
constexpr double kLeastUsPerToken = 0.1;
constexpr double kMostUsPerToken = 1e5;
// Places whose age a request brings up to date, and a quiet moment.
constexpr std::size_t kAgedPerRequest = 64;
constexpr std::size_t kAgedPerCatchUp = 4096;
constexpr std::size_t kProbesPerCatchUp = 4096;
constexpr std::uint64_t kTenants = 64;

LearnedPlacement::Config LearnedConfig(const TriePlacement::Config& config) {
  LearnedPlacement::Config learned;
  learned.max_sites = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
      config.memory_bytes / kBytesPerPlace, kFewestPlaces, UINT32_MAX / 4));
  learned.capacity_bytes = config.capacity_bytes;
  learned.max_plan = kMaxPlan;
  learned.aged_per_call = kAgedPerRequest;
  return learned;
}

/// The same number in every daemon, so that what is learned of a tenant can be merged.
std::uint8_t TenantNumber(const std::string& name) {
  return static_cast<std::uint8_t>(DigestOf(std::as_bytes(std::span(name))).low % kTenants);
}

}  // namespace

TriePlacement::TriePlacement(const Config& config)
    : config_(config),
      started_(config.clock->Now()),
      learned_(LearnedConfig(config)),
      price_(static_cast<double>(config.arena->capacity_bytes())) {}

double TriePlacement::NowSeconds() const {
  return std::chrono::duration<double>(config_.clock->Now() - started_).count();
}

void TriePlacement::AddNamespace(NodeId root, const NamespaceSpec& spec) {
  Space space;
  space.root_node = root;
  space.grain_tokens = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      std::lcm(std::uint64_t{std::max(spec.grid_tokens, 1U)}, std::uint64_t{spec.block_tokens}),
      std::numeric_limits<std::int32_t>::max()));
  space.checkpoint_bytes = spec.checkpoint_bytes;
  space.tenant = TenantNumber(spec.tenant);
  space.cost = {.per_token_s = 1e-6 * kFirstRecomputeUsPerToken};
  space.root = learned_.AddOwner({.tenant = space.tenant,
                                  .checkpoint_bytes = spec.checkpoint_bytes,
                                  .kv_bytes_per_token = spec.kv_bytes_per_token,
                                  .grain_tokens = space.grain_tokens,
                                  .cost = space.cost},
                                 NowSeconds());
  OnNewNode(root);
  SetSite(root, space.root);
  SetEnd(space.root, root);
  spaces_.push_back(space);
  TakeInHomeless();
}

void TriePlacement::SetRecomputeCost(std::uint32_t name_space, double us_per_token) {
  Space& space = spaces_[name_space];
  // What one engine says must not outweigh all others for long.
  space.cost.per_token_s = 1e-6 * std::clamp(us_per_token, kLeastUsPerToken, kMostUsPerToken);
  learned_.SetCost(space.root, space.cost);
}

void TriePlacement::SetSite(NodeId id, SiteRef site) {
  if (id >= site_of_.size()) {
    site_of_.resize(std::size_t{id} + 1);
  }
  site_of_[id] = site;
}

NodeId TriePlacement::EndOf(SiteId id) const {
  const NodeId node = id < end_of_.size() ? end_of_[id] : kNoId;
  const bool still =
      node != kNoId && SiteOf(node) == learned_.tree().RefOf(id) && MayEndAt(node, id);
  return still ? node : kNoId;
}

bool TriePlacement::MayEndAt(NodeId node, SiteId site) const {
  const Node& n = config_.index->node(node);
  const Site& place = learned_.tree().site(site);
  return n.position == place.position && n.name_space == place.owner;
}

void TriePlacement::SetEnd(SiteRef site, NodeId node) {
  if (site.id >= end_of_.size()) {
    end_of_.resize(std::size_t{site.id} + 1, kNoId);
  }
  end_of_[site.id] = node;
}

void TriePlacement::OnNewNode(NodeId id) {
  SetSite(id, {});
  if (remembered_.empty()) {
    return;
  }
  const auto found = remembered_.find(config_.index->node(id).key);
  if (found == remembered_.end()) {
    return;
  }
  const SiteRef site = found->second;
  remembered_.erase(found);
  remembered_keys_.erase(site.id);
  // Its prefix lies elsewhere if somebody else's statistics were wrong.
  if (learned_.tree().Valid(site) && MayEndAt(id, site.id)) {
    SetSite(id, site);
    SetEnd(site, id);
    // Blocks come one by one, those above first: they lie on its edge, whose end was not there yet.
    FillUp(config_.index->node(id).parent, site);
  }
}

/// The nodes on the edge of `site` above `from` that belong nowhere yet.
void TriePlacement::FillUp(NodeId from, SiteRef site) {
  const SiteId parent = learned_.tree().site(site.id).parent;
  const std::uint32_t begin = parent == kNoSite ? 0 : learned_.tree().site(parent).position;
  for (NodeId id = from; id != kNoId && config_.index->node(id).position > begin && !Known(id);
       id = config_.index->node(id).parent) {
    SetSite(id, site);
  }
}

NodeId TriePlacement::FindEdge(const Prompt& prompt, LearnedPlacement::Request& request) {
  const PrefixIndex& index = *config_.index;
  const SiteTree& tree = learned_.tree();
  const Space& space = spaces_[prompt.name_space];
  const std::uint32_t limit = space.Floor(std::min(prompt.seen_tokens, prompt.prompt_tokens - 1));
  request.root = space.root;
  request.edge = space.root;
  // The deepest node whose place is known; where a grain has several blocks, only its end counts.
  NodeId at = prompt.deepest;
  while (at != space.root_node && (index.node(at).position > limit || !Known(at))) {
    at = index.node(at).parent;
  }
  if (at != space.root_node) {
    request.edge = SiteOf(at);
    FillUp(index.node(at).parent, request.edge);
    const Site& edge = tree.site(request.edge.id);
    request.overlap = std::min(space.Floor(index.node(at).position), edge.position);
    if (request.overlap <= tree.site(edge.parent).position) {
      request.edge = tree.RefOf(edge.parent);
      request.overlap = tree.site(edge.parent).position;
    }
  }
  request.extends = request.end > space.Floor(prompt.seen_tokens) || request.overlap < limit;
  return at;
}

void TriePlacement::NameNodes(const Prompt& prompt, NodeId at, SiteRef edge,
                              const LearnedPlacement::Places& places) {
  const PrefixIndex& index = *config_.index;
  const SiteTree& tree = learned_.tree();
  const std::uint32_t junction = tree.site(places.junction.id).position;
  if (places.junction_is_new) {
    for (NodeId id = at; id != kNoId; id = index.node(id).parent) {
      if (index.node(id).position > junction) {
        continue;
      }
      if (SiteOf(id) != edge) {
        break;
      }
      SetSite(id, places.junction);
      if (index.node(id).position == junction) {
        SetEnd(places.junction, id);
      }
    }
  }
  if (!tree.Valid(places.tip)) {
    return;
  }
  const std::uint32_t end = tree.site(places.tip.id).position;
  for (NodeId id = prompt.deepest; index.node(id).position > junction; id = index.node(id).parent) {
    if (index.node(id).position <= prompt.seen_tokens && Known(id)) {
      continue;  // Inside a grain that others share in part.
    }
    SetSite(id, places.tip);
    if (index.node(id).position == end) {
      SetEnd(places.tip, id);
    }
  }
}

std::vector<std::uint32_t> TriePlacement::PlanFor(const Prompt& prompt) {
  const Space& space = spaces_[prompt.name_space];
  LearnedPlacement::Request request;
  request.now_s = NowSeconds();
  request.resume = prompt.resume_tokens;
  request.kv_resident = prompt.kv_tokens;
  request.end = space.Floor(prompt.prompt_tokens);
  const NodeId at = FindEdge(prompt, request);
  const LearnedPlacement::Places places = learned_.Observe(request);
  NameNodes(prompt, at, request.edge, places);
  std::vector<std::uint32_t> plan;
  if (space.checkpoint_bytes == 0) {
    return plan;
  }
  const std::uint32_t grid = std::max(prompt.grid_tokens, 1U);
  for (const auto& planned : learned_.Plan(request, places, Price(space))) {
    // The engine's grid may have become coarser than when the namespace was opened.
    if (planned.position % grid == 0 && planned.position > prompt.resume_tokens) {
      plan.push_back(planned.position);
    }
  }
  return plan;
}

void TriePlacement::CatchUp() {
  learned_.CatchUp(NowSeconds(), kAgedPerCatchUp);
  RefreshSome(kProbesPerCatchUp);
}

}  // namespace cairn
