#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/key.h"
#include "libcache/cache/placement_view.h"
#include "libcache/index/prefix_index.h"
#include "libcache/model/prefix_key.h"
#include "libcache/placement/learned_placement.h"
#include "libcache/placement/memory_price.h"
#include "libcache/policy/eviction.h"
#include "libcache/policy/indexed_heap.h"
#include "libcache/tier/arena.h"

namespace cairn {

/// Name of the planner that learns, and of the eviction policy that comes with it.
inline constexpr std::string_view kLearnedPlanner = "trie";
inline constexpr std::string_view kLearnedEviction = "value";

/// The learned placement at work in a cache: which place of the trie a prefix belongs to, what a
/// request should emit, and, as the eviction policy "value" beside it, what is worth least.
///
/// Every node of the index lies on the edge of one place (libcache/placement/site_tree.h); this
/// class keeps the map. Checkpoints on a known edge are valued by LearnedPlacement. What is no
/// checkpoint at a block's end (tails, blocks of models without recurrent layers, boundaries of
/// forgotten places) is valued in the same unit, prefill seconds saved per byte and second, by the
/// place it lies at, or as an unknown one. So all compare.
///
/// 8 bytes per node of the index and 4 per place beside those of LearnedPlacement. Where there are
/// boundaries that are no checkpoints at a block's end, 36 per node up to the last of them. About
/// 140 per place that waits for its prefix or its namespace. Not thread-safe: the cache calls it
/// under its lock.
class TriePlacement final : public EvictionPolicy {
 public:
  struct Config {
    const PrefixIndex* index = nullptr;
    const Arena* arena = nullptr;
    const Clock* clock = nullptr;
    std::uint64_t memory_bytes = 0;    ///< For statistics; the longest unused places go first.
    std::uint64_t capacity_bytes = 0;  ///< Of all tiers: what an engine of today would fill.
  };
  explicit TriePlacement(const Config& config);

  /// In the order of their ids.
  void AddNamespace(NodeId root, const NamespaceSpec& spec);
  /// An engine measured what a token of prefill takes.
  void SetRecomputeCost(std::uint32_t name_space, double us_per_token);
  /// `id` was just inserted into the index. It is Known at once if its prefix was seen before a
  /// restart, or by another daemon: then it counts as seen.
  void OnNewNode(NodeId id);
  /// It lies on the edge of a place that is remembered.
  [[nodiscard]] bool Known(NodeId id) const { return learned_.tree().Valid(SiteOf(id)); }

  struct Prompt {
    std::uint32_t name_space = 0;
    NodeId deepest = kNoId;           ///< Where the walk over the prompt's blocks ended.
    std::uint32_t prompt_tokens = 0;  ///< At least 1.
    std::uint32_t seen_tokens = 0;    ///< Whole blocks that were seen before.
    std::uint32_t resume_tokens = 0;
    std::uint32_t kv_tokens = 0;    ///< Leading tokens whose KV is in the cache.
    std::uint32_t grid_tokens = 1;  ///< The engine emits at multiples of this only.
  };
  /// Learns from a request, and says where it should emit: ends of blocks beyond the resumed
  /// boundary, ascending, at most kMaxPlan. Empty where nothing is worth its bytes.
  std::vector<std::uint32_t> PlanFor(const Prompt& prompt);
  /// See LearnedPlacement::Forgo.
  [[nodiscard]] LearnedPlacement::Spent last_spent() const { return learned_.last_spent(); }
  void Forgo(const LearnedPlacement::Spent& spent) { learned_.Forgo(spent); }

  /// To be called after many calls of MergePlace: places are forgotten in the order of their uses.
  /// Takes about 20 ms for 100,000 places, 0.2 s for a million.
  void SortPlaces() { learned_.SortByUse(); }

  /// What may wait for a quiet moment; a bounded piece of it.
  void CatchUp();

  // EvictionPolicy, over node ids.
  [[nodiscard]] std::string_view Name() const override { return kLearnedEviction; }
  void Insert(UnitId id, const EvictionUnit& unit) override;
  void Touch(UnitId id) override;
  void Update(UnitId id, const EvictionUnit& unit) override;
  void Erase(UnitId id) override;
  [[nodiscard]] std::optional<UnitId> PickVictim(const std::function<bool(UnitId)>& evictable,
                                                 std::size_t max_refused) override;
  [[nodiscard]] double Worth(UnitId id) const override;
  [[nodiscard]] std::size_t Size() const override { return checkpoints_.size() + heap_.Size(); }

  // Administration.
  [[nodiscard]] PlacementSummary Summary(std::size_t most_places);
  /// The places on the path to a node, shallow to deep.
  [[nodiscard]] PathPlacement Explain(NodeId id);

  // Statistics that outlive the process.
  [[nodiscard]] PlacementModels Models() const;
  /// Appends places from the `from`th on, looking at `count`; the next to look at, 0 at the end.
  std::uint32_t Places(std::uint32_t from, std::uint32_t count,
                       std::vector<PlaceRecord>& places) const;
  /// Errors: those of LearnedPlacement::MergeModels.
  Status MergeModels(const PlacementModels& models);
  /// Adds one place; a place must come after the one above it. Where there is no room the longest
  /// unused one goes. One of a namespace that is not open waits for it. False when it lies between
  /// places that are known or hangs below another namespace, or too many wait.
  bool MergePlace(const PlaceRecord& record);

 private:
  struct Space {
    SiteRef root;
    NodeId root_node = kNoId;
    std::uint32_t grain_tokens = 1;
    std::uint64_t checkpoint_bytes = 0;
    std::uint8_t tenant = 0;
    PrefillCost cost;
    [[nodiscard]] std::uint32_t Floor(std::uint32_t tokens) const {
      return tokens / grain_tokens * grain_tokens;
    }
  };
  /// A boundary that is no checkpoint on a known edge.
  struct Plain {
    double bytes = 0;
    double saved_tokens = 0;
    double last_use_s = 0;
    double value = 0;
  };
  struct Order {
    const std::vector<Plain>* plain;
    bool operator()(UnitId a, UnitId b) const {
      const double left = (*plain)[a].value;
      const double right = (*plain)[b].value;
      return left != right ? left < right : a < b;
    }
  };

  [[nodiscard]] double NowSeconds() const;
  [[nodiscard]] SiteRef SiteOf(NodeId id) const {
    return id < site_of_.size() ? site_of_[id] : SiteRef{};
  }
  void SetSite(NodeId id, SiteRef site);
  [[nodiscard]] NodeId EndOf(SiteId id) const;
  /// It is as deep and in the same namespace; owners are added in the order of namespaces.
  [[nodiscard]] bool MayEndAt(NodeId node, SiteId site) const;
  void SetEnd(SiteRef site, NodeId node);
  void FillUp(NodeId from, SiteRef site);
  /// The edge and overlap of a request, and the node that they were found by.
  NodeId FindEdge(const Prompt& prompt, LearnedPlacement::Request& request);
  /// Where the request made places, nodes that lay on `edge` or nowhere lie on theirs now.
  void NameNodes(const Prompt& prompt, NodeId at, SiteRef edge,
                 const LearnedPlacement::Places& places);
  [[nodiscard]] bool HasRoomFor(std::uint64_t bytes) const;
  /// For people: of a checkpoint of no size in particular.
  [[nodiscard]] double ShownPrice() const { return HasRoomFor(0) ? 0 : price_.value(); }
  [[nodiscard]] double Price(const Space& space);
  [[nodiscard]] double ValueOf(NodeId id) const;
  void Refresh(NodeId id);
  void RefreshSome(std::size_t probes);
  [[nodiscard]] PlaceView ViewOf(SiteId id) const;
  [[nodiscard]] std::optional<PlaceRecord> RecordOf(SiteId id) const;
  [[nodiscard]] std::optional<PrefixKey> KeyOf(SiteId id) const;
  [[nodiscard]] SiteRef PlaceWithKey(const PrefixKey& key) const;
  void Remembering(const PrefixKey& key, SiteRef site);
  bool MergeBelow(SiteRef above, const PlaceRecord& record);
  void TakeInHomeless();
  /// Ages run on while a record waits.
  [[nodiscard]] PlaceRecord Aged(PlaceRecord record, double since_s) const;

  const Config config_;
  const TimePoint started_;
  LearnedPlacement learned_;
  std::vector<Space> spaces_;
  std::vector<SiteRef> site_of_;  // By node.
  std::vector<NodeId> end_of_;    // By site; checked before use, since nodes come and go.
  std::unordered_map<NodeId, CheckpointId> checkpoints_;
  std::vector<Plain> plain_;  // By node.
  IndexedHeap<Order> heap_{Order{&plain_}};
  std::size_t hand_ = 0;  // Next of plain_ to look at.
  // Places of before a restart whose prefix has not come by yet, and their keys.
  std::unordered_map<PrefixKey, SiteRef, PrefixKeyHash> remembered_;
  std::unordered_map<SiteId, PrefixKey> remembered_keys_;
  // Places of namespaces that are not open yet.
  struct Homeless {
    PlaceRecord record;
    double since_s = 0;
  };
  std::vector<Homeless> homeless_;  // A place comes after the one above it.
  MemoryPrice price_;
};

}  // namespace cairn
