#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "libcache/placement/chain_choice.h"
#include "libcache/placement/distance_model.h"
#include "libcache/placement/engine_shadow.h"
#include "libcache/placement/prefill_cost.h"
#include "libcache/placement/reuse_model.h"
#include "libcache/placement/site_tree.h"
#include "libcache/policy/indexed_heap.h"

namespace cairn {

/// The planner that learns: where checkpoints pay, which of them to keep, and what not to write.
///
/// It watches where overlaps end (SiteTree), learns how soon such places come back (ReuseModel) and
/// how far before a known place they end (DistanceModel), and values a checkpoint at
///   (uses per second it will serve) x (prefill seconds a use saves) / (bytes that go with it)
/// where the bytes are its state and the KV that nothing else on the path needs. That one number
/// per byte and second is compared across prompts, tenants and models: what is worth least goes
/// first, and what would be worth less than that is not written. docs/placement.md explains.
///
/// Time comes in with every call and must not go back. Same calls, same answers. Not thread-safe.
class LearnedPlacement {
 public:
  struct Config {
    std::uint32_t max_sites = 1U << 20U;  ///< 112 bytes each, and about 30 of queues.
    /// What writing costs, whatever there is room for: a checkpoint must be expected to save more
    /// time than its bytes take to write.
    double write_bytes_per_s = 25e9;
    /// Of the engine that is run beside it in numbers, which bounds what is written.
    std::uint64_t capacity_bytes = std::numeric_limits<std::uint64_t>::max();
    double mass_half_life_s = 3600;  ///< Of the counts that Site::mass shows.
    std::size_t max_plan = std::numeric_limits<std::size_t>::max();  ///< Positions per request.
    /// Places whose age one call brings up to date; CatchUp does the rest.
    std::size_t aged_per_call = std::numeric_limits<std::size_t>::max();
    // Each switched off for an ablation.
    bool learn_reuse = true;     ///< Else all places are alike: only ages and sizes differ.
    bool learn_distance = true;  ///< Else overlaps are expected at known places only.
    bool admission = true;       ///< Else whatever has any value is planned.
    bool bounded_writes = true;  ///< Else an allowance is not kept.
  };
  /// Who shares: a tenant with one model.
  struct Owner {
    std::uint8_t tenant = 0;
    std::uint64_t checkpoint_bytes = 0;
    std::uint64_t kv_bytes_per_token = 0;
    std::uint32_t grain_tokens = 1;  ///< Positions are multiples of this.
    PrefillCost cost;
  };

  explicit LearnedPlacement(const Config& config);

  /// The root of a new trie.
  SiteRef AddOwner(const Owner& owner, double now_s);
  /// The prefill of the owner of this root was measured anew.
  void SetCost(SiteRef root, const PrefillCost& cost);

  /// A request as it arrives. Positions in tokens, multiples of the owner's grain.
  struct Request {
    double now_s = 0;
    SiteRef root;
    /// On whose edge the overlap ends; the root's when there is none. What is no longer valid
    /// counts as never seen: pass the deepest valid place, and its position as the overlap.
    SiteRef edge;
    std::uint32_t overlap = 0;      ///< Seen before, resident or not.
    std::uint32_t resume = 0;       ///< Boundary that will be restored; 0 if none.
    std::uint32_t kv_resident = 0;  ///< KV of the path that is in the cache already.
    std::uint32_t end = 0;          ///< The deepest position inside the prompt.
    bool extends = true;            ///< The prompt goes on where the overlap ends, unseen.
  };
  /// The places that a request made or used. `junction` is where its overlap ended (the root for
  /// none); from there up to its parent's position, the path now belongs to it. `tip` is the end of
  /// the prompt if it is new, else no place.
  struct Places {
    SiteRef junction;
    bool junction_is_new = false;
    SiteRef tip;
  };
  Places Observe(const Request& request);

  struct Planned {
    SiteId site = kNoSite;
    std::uint32_t position = 0;
  };
  /// Where to emit, for a request that was just observed: the best set of positions beyond the
  /// resumed one at a price per byte and second (that of Price() when the cache is full, 0 when it
  /// is not). Ascending. Exact over its candidates: known places on the path, and distances back
  /// from the prompt's end that double.
  ///
  /// Never asks for more bytes in all than engines would have written (EngineShadow): what one
  /// request leaves unwritten, later ones may use; a price of writing that follows what is asked
  /// for keeps it for those where it saves most.
  [[nodiscard]] std::vector<Planned> Plan(const Request& request, const Places& places,
                                          double price);

  /// What the latest plan took of the allowance, and did to the price of writing.
  struct Spent {
    double bytes = 0;
    double price_factor = 1;
  };
  [[nodiscard]] const Spent& last_spent() const { return last_spent_; }
  /// A plan will not be carried out: another daemon serves the request. What was learned of it
  /// stays.
  void Forgo(const Spent& spent);

  /// How long the answer became that followed the prompt that ends at `tip`: short answers are
  /// often the last ones. Optional; ignored when the place is gone.
  void Answered(SiteRef tip, std::uint32_t answer_tokens);

  /// A checkpoint is in the cache now; `user` finds it. It must not be there yet.
  CheckpointId Add(const Planned& at, std::uint32_t user, double now_s);
  void Remove(CheckpointId id);
  /// The least valuable one, or none.
  [[nodiscard]] std::optional<CheckpointId> Victim(double now_s);
  /// The least valuable one that `accept` takes, at most `max_refused` refusals deep.
  [[nodiscard]] std::optional<CheckpointId> Victim(double now_s,
                                                   const std::function<bool(CheckpointId)>& accept,
                                                   std::size_t max_refused);
  /// Ages of at most `most` places are brought up to date; true when all are. For a quiet moment:
  /// what is due by age comes to rest then and not with the next request.
  bool CatchUp(double now_s, std::size_t most);
  /// What keeping it is worth: prefill seconds saved per byte and second.
  [[nodiscard]] double Value(CheckpointId id) const;
  /// Value as of the last look at it; cheap.
  [[nodiscard]] double LastValue(CheckpointId id) const { return values_[id]; }
  /// What goes when it goes: its state and the KV that only it needs.
  [[nodiscard]] double BytesFreed(CheckpointId id) const;

  /// What a checkpoint does, or would do.
  struct Appraisal {
    double uses_per_s = 0;
    double saved_s = 0;  ///< Prefill that one use saves, over the next checkpoint above.
    double bytes = 0;    ///< Its state and the KV that only it needs.
    /// Prefill seconds saved per byte and second.
    [[nodiscard]] double value() const { return uses_per_s * saved_s / (bytes < 1 ? 1 : bytes); }
  };
  [[nodiscard]] Appraisal Appraise(CheckpointId id) const;
  /// Of one at a place where none is.
  [[nodiscard]] Appraisal AppraiseNew(const Planned& at);
  /// Overlaps per second that are expected to end at this position of its edge or deeper.
  [[nodiscard]] double RateFrom(const Planned& at) const;

  /// A place as it is written down, for a restart or for another daemon.
  struct Remembered {
    double mass = 0;
    double age_s = 0;  ///< Since its last use.
    std::uint32_t uses = 0;
    std::uint8_t turns = 0;
    std::uint8_t gap_bin = SiteTraits::kNoGap;
    bool is_tip = false;
  };
  [[nodiscard]] Remembered Remember(SiteId id, double now_s) const;
  /// A place below `parent`, which may not have this very place yet. No place when there is no
  /// room.
  SiteRef Recall(SiteId parent, std::uint32_t position, const Remembered& what, double now_s);
  /// Adds what another daemon knows of this place: masses and uses add up, the later use counts.
  void Merge(SiteId id, const Remembered& what, double now_s);
  /// To be called after many of these: places are forgotten and aged in the order of their uses.
  void SortByUse();
  /// Adds what another daemon has learned. Errors: kCorrupt; then nothing has changed.
  /// kUnsupported: a model of another version is left out, one of ours was added.
  Status MergeModels(std::span<const double> reuse, std::span<const double> distance);

  [[nodiscard]] const SiteTree& tree() const { return tree_; }
  [[nodiscard]] const ReuseModel& reuse() const { return reuse_; }
  [[nodiscard]] const DistanceModel& distance() const { return distance_; }
  /// What an engine of today would have served and written.
  [[nodiscard]] const EngineShadow& shadow() const { return shadow_; }
  /// What such an engine wrote for the request that was observed last; 0 once it was planned.
  [[nodiscard]] double engine_bytes() const { return engine_bytes_; }
  /// What all plans together asked for.
  [[nodiscard]] double planned_bytes() const { return planned_bytes_; }
  /// Uses per second that are expected to end on the edge of a place.
  [[nodiscard]] double Density(SiteId id) const;
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  struct Waiting {
    SiteId site = kNoSite;
    std::uint32_t generation = 0;
    double since_s = 0;
  };
  struct Order {
    const std::vector<double>* values;
    bool operator()(UnitId a, UnitId b) const {
      const double left = (*values)[a];
      const double right = (*values)[b];
      return left != right ? left < right : a < b;
    }
  };

  void AdvanceTo(double now_s);
  void Restart(SiteId id, double now_s);
  void Wait(SiteId id);
  void Use(SiteId id, std::uint32_t overlap);
  [[nodiscard]] SiteTraits TraitsOf(SiteId id) const;
  [[nodiscard]] const Owner& OwnerOf(SiteId id) const { return owners_[tree_.site(id).owner]; }
  /// Share of the overlaps on its edge that end at `position` or deeper.
  [[nodiscard]] double ShareFrom(SiteId id, std::uint32_t position) const;
  [[nodiscard]] double RateServed(CheckpointId id) const;
  [[nodiscard]] double RateBelow(SiteId id, int& budget) const;
  void Refresh(CheckpointId id);
  void RefreshEdge(SiteId id);
  void RefreshNeighbours(SiteId site, CheckpointId above, CheckpointId below);
  /// What is expected of a place.
  struct Outlook {
    double returns = 0;  ///< Probability that it is used again.
    double held_s = 0;   ///< How long it is held until then, or until it is given up.
  };
  [[nodiscard]] Outlook OutlookOf(SiteId id) const;
  void AddCandidate(const Outlook& outlook, SiteId id, std::uint32_t position, double share);
  void FindCandidates(const Request& request, const Places& places);
  void PriceCandidates(double price, double write_price);
  [[nodiscard]] std::size_t MostStates(double bytes) const;
  void AdjustWritePrice(double asked_bytes);

  Config config_;
  std::vector<Owner> owners_;
  SiteTree tree_;
  ReuseModel reuse_;
  DistanceModel distance_;
  double now_s_ = 0;
  bool out_of_order_ = false;  // Places came that were used before those that are here.
  double caught_up_s_ = -1;    // All ages are as of this moment, if it is not over.
  EngineShadow shadow_;
  double planned_bytes_ = 0;    // Asked for so far.
  std::uint64_t observed_ = 0;  // Requests.
  Spent last_spent_;
  double write_price_;  // Of a byte, in seconds: see AdjustWritePrice.
  // What the engine wrote for the request that was observed last.
  double engine_bytes_ = 0;
  std::array<std::deque<Waiting>, AgeBins::kCount> waiting_;  // By age bin, oldest first.
  std::vector<double> values_;                                // By checkpoint, as of its refresh.
  IndexedHeap<Order> heap_{Order{&values_}};
  // Of the plan at hand; kept for their memory.
  std::vector<ChainCandidate> candidates_;
  std::vector<double> held_s_;  // Of each candidate: how long its bytes are paid for.
  ChainChoice chain_choice_;
};

}  // namespace cairn
