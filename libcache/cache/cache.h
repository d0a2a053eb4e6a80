#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/completion.h"
#include "libcache/base/mutex.h"
#include "libcache/base/thread_pool.h"
#include "libcache/base/unique_fd.h"
#include "libcache/cache/cold_writer.h"
#include "libcache/cache/gpu_mover.h"
#include "libcache/cache/gpu_tier.h"
#include "libcache/cache/host_tier.h"
#include "libcache/cache/trie_placement.h"
#include "libcache/cache/types.h"
#include "libcache/codec/codec_rules.h"
#include "libcache/codec/object_codec.h"
#include "libcache/index/prefix_index.h"
#include "libcache/model/prefix_key.h"
#include "libcache/placement/planner.h"
#include "libcache/policy/eviction.h"
#include "libcache/policy/load_meter.h"
#include "libcache/tier/arena.h"
#include "libcache/tier/cold_tier.h"
#include "libcache/tier/copy_switch.h"

namespace cairn {

/// Errors: kInvalidArgument, listing the names of planners.
Status CheckPlannerName(std::string_view name);

/// The cache that the daemon, embedded mode and tests share: trie, host tier, cold tier, leases and
/// plans. It knows no sockets. docs/architecture.md follows a request through it.
///
/// Thread-safe. One lock guards all bookkeeping and is held for microseconds; bytes are
/// copied, hashed and read from disk without it. Calls never wait for I/O, except where a
/// Completion is handed out to wait on. Everything a caller may wait for ends by itself: leases and
/// reservations expire, and end with their session.
class Cache {
 public:
  struct Config {
    std::uint64_t host_bytes = 0;  ///< The arena; a hard cap.
    bool huge_pages = true;
    std::uint64_t index_bytes = 64 * kMiB;  ///< Trie memory; the longest unused ghosts go first.
    /// A name of MakePlanner, or "trie": learned.
    std::string planner = "turn_end_demand";
    /// A name of MakeEvictionPolicy. "value" is learned too where the planner is.
    std::string eviction = "value";
    std::uint64_t placement_bytes = 32 * kMiB;  ///< Statistics of the planner "trie".
    std::chrono::milliseconds lease_time{30'000};
    std::uint32_t max_leases_per_session = 1024;
    std::uint32_t max_reservations_per_session = 16384;
    /// Objects waiting for the cold tier. They stay in the arena and cannot be evicted meanwhile,
    /// so this is not extra memory but a bound on how much of the arena it may hold. 0: a quarter.
    std::uint64_t cold_queue_bytes = 0;
    std::chrono::milliseconds cold_flush_every{2'000};
    int cold_read_threads = 2;
    /// How objects are stored on the cold tier: CodecRules. A lossy codec is for namespaces that
    /// permit it; objects of others are stored without loss.
    std::string cold_codecs = "none";
    TenantKey tenant_key;
    const Clock* clock = &SteadyClock::Instance();

    /// Errors: kInvalidArgument naming the field.
    [[nodiscard]] Status Validate() const;
  };

  /// A device for the GPU tier, or why there is none.
  struct Gpu {
    std::unique_ptr<DeviceMemory> device;
    CopySwitch copies = {};            ///< Of the device, as found (MeasureCopySwitch).
    std::string without = "off";       ///< What to say of the tier without a device.
    std::uint64_t capacity_bytes = 0;  ///< A hard cap.
    std::uint64_t extent_bytes = 0;    ///< As in GpuTier::Config, like the next two.
    std::uint32_t promote_after = 2;
    std::chrono::milliseconds least_stay{1'000};
    DeviceUploader::Config uploader = {};
    /// Told once, from a thread of the cache, when the device is lost; may be empty.
    std::function<void(const std::string& reason)> on_lost = {};
    /// Likewise when the kernel for small pieces does not start any more: the copy engine has them.
    std::function<void(const std::string& reason)> on_kernel_dropped = {};
  };
  /// `cold` may be null: then what leaves host memory is gone. Objects it holds are recovered into
  /// the trie before this returns. A device that fails here is absent, which is no error.
  /// Errors: those of Validate, Arena::Create and Recover.
  static Result<std::unique_ptr<Cache>> Open(const Config& config, std::unique_ptr<ColdTier> cold,
                                             Gpu gpu);
  static Result<std::unique_ptr<Cache>> Open(const Config& config, std::unique_ptr<ColdTier> cold);
  ~Cache();
  /// Ends the threads of this cache after writing what is queued for the cold tier; completions
  /// handed out are done when it returns. No call but Stats may follow. The destructor does it too.
  void Shutdown();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  // Sessions and namespaces.

  SessionId BeginSession() CAIRN_EXCLUDES(mu_);
  /// Ends its leases, reservations and pins.
  void EndSession(SessionId session) CAIRN_EXCLUDES(mu_);
  struct OpenedNamespace {
    NamespaceId id = 0;
    PrefixKey seed;
    std::uint32_t grid_tokens = 0;
    /// That the cold tier's codecs are not those that the operator wants for this model, and why:
    /// for a log. Said once; empty usually.
    std::string notice;
  };
  /// Errors: kInvalidArgument naming the field; kOverloaded beyond 4,096 namespaces.
  Result<OpenedNamespace> OpenNamespace(const NamespaceSpec& spec) CAIRN_EXCLUDES(mu_);

  // Reading.

  /// Every restorable boundary of the prompt, a lease on the best, and the plan. The prefix is
  /// remembered as seen. `keys`: one per whole block.
  /// Errors: kInvalidArgument; kUnavailable while draining; kOverloaded beyond the session's
  /// leases.
  Result<MatchResult> Match(SessionId session, std::uint64_t request, NamespaceId name_space,
                            std::span<const PrefixKey> keys, std::uint32_t prompt_tokens,
                            const MatchWish& wish = {}) CAIRN_EXCLUDES(mu_);
  /// Starts bringing the objects of one boundary of the lease's path to host memory. The result is
  /// done at once when they are there already. KV up to `from_position` is left out.
  /// Errors: kExpired, kNotFound (evicted meanwhile, or no such boundary), kNoSpace, kOverloaded.
  Result<std::shared_ptr<Completion>> StartFetch(SessionId session, LeaseId lease,
                                                 std::uint32_t position, const PrefixKey* tail_key,
                                                 std::uint32_t from_position) CAIRN_EXCLUDES(mu_);
  /// After StartFetch is done: where the bytes are. They stay put until the lease ends. KV blocks
  /// shallow to deep, then the tail's KV, then the checkpoint. Errors: kExpired, kNotFound.
  Result<std::vector<ObjectView>> FinishFetch(SessionId session, LeaseId lease) CAIRN_EXCLUDES(mu_);
  /// One object of those handed out last, held in place even if the lease ends meanwhile.
  class Reading;
  /// By its index among them, for planes that send bytes. Errors: kExpired, kNotFound.
  Result<Reading> BeginRead(SessionId session, LeaseId lease, std::uint32_t index)
      CAIRN_EXCLUDES(mu_);
  /// `used`: the objects that came with Match were loaded, which counts as a fetch.
  Status Release(SessionId session, LeaseId lease, bool used = false) CAIRN_EXCLUDES(mu_);
  /// The session's latest match, whose lease this is (0: it had none), went to another daemon: its
  /// plan will not be carried out, and it does not count as a match. Never fails.
  void Decline(SessionId session, LeaseId lease) CAIRN_EXCLUDES(mu_);
  /// What a process needs to read an extent of device memory: import or map `region`, map `ledger`
  /// read-only.
  struct DeviceGrant {
    std::string kind;  ///< Of the device: "cuda", "fake".
    std::uint64_t bytes = 0;
    std::uint32_t ledger_words = 0;
    UniqueFd region;
    UniqueFd ledger;
  };
  /// For an extent that a view of the lease names. Until the session ends the extent keeps its
  /// memory. Errors: kExpired; kPermissionDenied (nothing of the lease lies there); kNotFound (the
  /// tier is lost); kIo.
  Result<DeviceGrant> AttachDevice(SessionId session, LeaseId lease, std::uint32_t extent)
      CAIRN_EXCLUDES(mu_);
  /// A reader found that object `index` of FinishFetch does not have its digest: it is dropped from
  /// all tiers, once its slot still is what the reader saw.
  Status ReportCorrupt(SessionId session, LeaseId lease, std::uint32_t index) CAIRN_EXCLUDES(mu_);
  /// The same of the copy in device memory, which alone is dropped.
  Status ReportCorruptOnDevice(SessionId session, LeaseId lease, std::uint32_t index)
      CAIRN_EXCLUDES(mu_);

  // Writing: Reserve, Fill in order, Commit.

  Result<std::vector<ReserveOutcome>> Reserve(SessionId session, std::uint64_t request,
                                              NamespaceId name_space,
                                              std::span<const ReserveItem> items)
      CAIRN_EXCLUDES(mu_);
  /// A stretch of a reserved object that the holder fills without the lock. Keeps the memory in
  /// place even if the reservation ends meanwhile.
  class Filling;
  /// Errors: kExpired; kInvalidArgument if `offset` is not where the last stretch ended or it
  /// passes the object's end; kInProgress while another stretch is being filled.
  Result<Filling> BeginFill(SessionId session, std::uint64_t token, std::uint64_t offset,
                            std::uint64_t bytes) CAIRN_EXCLUDES(mu_);
  /// BeginFill, copy and end in one.
  Status Fill(SessionId session, std::uint64_t token, std::uint64_t offset,
              std::span<const std::byte> bytes) CAIRN_EXCLUDES(mu_);
  struct CommitResult {
    /// kOk, kExpired, kInvalidArgument (not filled), kCorrupt; kOverloaded for what is readable but
    /// will not be durable.
    std::vector<ErrorCode> codes;
    std::shared_ptr<Completion> durable;  ///< Set if asked for; to be waited on before acking.
    std::vector<PrefixKey> paths;         ///< With `durable`: for CheckDurable.
  };
  /// Publishes objects whose bytes have the digest the writer computed.
  CommitResult Commit(SessionId session, std::span<const CommitItem> items, bool durable)
      CAIRN_EXCLUDES(mu_);
  /// After a commit's `durable` is done: the blocks before what was committed, which somebody else
  /// may have stored in haste, are on the cold tier too. Errors: kIo.
  [[nodiscard]] Status CheckDurable(const CommitResult& committed) const CAIRN_EXCLUDES(mu_);
  void Abort(SessionId session, std::span<const std::uint64_t> tokens) CAIRN_EXCLUDES(mu_);

  Status Observe(NamespaceId name_space, const Observation& observation) CAIRN_EXCLUDES(mu_);

  // Administration.

  /// Ends leases and reservations whose time is over. The owner calls it a few times a second.
  void SweepExpired() CAIRN_EXCLUDES(mu_);
  [[nodiscard]] CacheStats Stats() const CAIRN_EXCLUDES(mu_);
  [[nodiscard]] std::vector<LeaseView> Leases() const CAIRN_EXCLUDES(mu_);
  struct NamespaceView {
    NamespaceId id = 0;
    NamespaceSpec spec;
    PrefixKey seed;
    std::array<ObjectCodec, 2> cold_codecs;  ///< By ObjectKind, of a whole block.
  };
  [[nodiscard]] std::vector<NamespaceView> Namespaces() const CAIRN_EXCLUDES(mu_);
  /// Nodes at and below those whose key starts with `key_hex` (all roots if empty), parents first,
  /// ghosts left out.
  [[nodiscard]] std::vector<NodeView> Tree(const std::string& key_hex, std::size_t max_nodes) const
      CAIRN_EXCLUDES(mu_);
  /// Errors: kNotFound; kInvalidArgument if `key_hex` is not hex or fits several keys.
  Result<NodeView> Lookup(const std::string& key_hex) const CAIRN_EXCLUDES(mu_);
  /// Keeps a boundary in host memory until UnpinPrefix; what is only on SSD is brought there in the
  /// background.
  /// Errors: those of Lookup; kInvalidArgument (nothing to restore), kExists, kNoSpace,
  /// kOverloaded.
  Status PinPrefix(const std::string& key_hex) CAIRN_EXCLUDES(mu_);
  Status UnpinPrefix(const std::string& key_hex) CAIRN_EXCLUDES(mu_);
  struct Evicted {
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;
  };
  /// What of a prefix to drop.
  struct EvictScope {
    bool host_only = false;          ///< Leave what the SSD has.
    std::optional<ObjectKind> only;  ///< Leave objects of the other kind.
  };
  /// Drops the prefix and all below it; what is leased or in transfer stays.
  Result<Evicted> EvictPrefix(const std::string& key_hex, const EvictScope& scope)
      CAIRN_EXCLUDES(mu_);
  /// Drops everything that nobody holds, in all tiers.
  Evicted Clear() CAIRN_EXCLUDES(mu_);
  /// New matches and reservations are refused from now on.
  void BeginDrain() { draining_ = true; }
  [[nodiscard]] bool draining() const { return draining_; }
  /// Waits for write-behind; false when the deadline passed.
  bool FlushCold(TimePoint deadline);

  [[nodiscard]] const Arena& arena() const { return *arena_; }
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] std::string_view planner_name() const { return config_.planner; }

  // The learned placement. All fail with kUnsupported where the planner is another.

  [[nodiscard]] Result<PlacementSummary> Placement(std::size_t most_places) const
      CAIRN_EXCLUDES(mu_);
  /// Errors: those of Lookup.
  Result<PathPlacement> ExplainPlacement(const std::string& key_hex) const CAIRN_EXCLUDES(mu_);
  [[nodiscard]] Result<PlacementModels> LearnedModels() const CAIRN_EXCLUDES(mu_);
  struct PlacePage {
    std::vector<PlaceRecord> places;
    std::uint32_t next = 0;  ///< Where the next page begins; 0 after the last.
  };
  /// A bounded piece of what is known of places, in no order.
  Result<PlacePage> LearnedPlaces(std::uint32_t from) const CAIRN_EXCLUDES(mu_);
  /// Adds what was learned before a restart, or elsewhere. Errors: those of
  /// LearnedPlacement::MergeModels.
  Status MergeLearnedModels(const PlacementModels& models) CAIRN_EXCLUDES(mu_);
  /// A place must come after the one above it. Returns how many were taken, those included that
  /// wait for their namespace; what lies between known places says nothing new and is left out.
  Result<std::size_t> MergeLearnedPlaces(std::span<const PlaceRecord> places) CAIRN_EXCLUDES(mu_);
  /// After the last of many: see TriePlacement::SortPlaces.
  void SortLearnedPlaces() CAIRN_EXCLUDES(mu_);

 private:
  static constexpr double kAverageWeight = 0.1;  // Of the newest sample in a moving average.

  struct NamespaceState {
    NamespaceSpec spec;
    PrefixKey seed;
    NodeId root = kNoId;
    std::array<ObjectShape, 2> shapes;  // As declared, by ObjectKind.
    bool on_cold = false;      // The cold tier knows it, so what it holds of it can be recovered.
    std::uint32_t domain = 0;  // Number of its tenant: who shares device memory.
    // Moving averages that calibrate load-or-recompute; start values in cache_match.cc.
    double recompute_us_per_token = 0;
  };
  // Generations are never reused, so an object number that changed hands is noticed.
  struct ServedObject {
    ObjectId id = kNoId;
    std::uint64_t generation = 0;
  };
  struct Lease {
    SessionId session = 0;
    std::uint64_t request = 0;
    TimePoint expires;
    NodeId best = kNoId;              // The boundary that Match proposed.
    TierKind tier = TierKind::kHost;  // Where that was when it was matched.
    NodeId deepest = kNoId;           // Pinned, with all whole-block boundaries above it.
    std::vector<NodeId> pinned;
    std::vector<ObjectId> objects;     // Of the last StartFetch; not held, so looked up again.
    std::vector<ServedObject> served;  // What views were handed out for last.
    NodeId fetched = kNoId;
    std::uint32_t fetched_from = 0;
    TierKind fetched_tier = TierKind::kHost;
    std::vector<DevicePlace> device;  // Held for the views handed out last.
    bool want_device = false;
    bool is_pin = false;
  };
  struct Reservation {
    Digester digester;
    SessionId session = 0;
    std::uint64_t request = 0;
    TimePoint expires;
    std::uint64_t filled = 0;
    ObjectId object = kNoId;
    bool filling = false;
    bool aborted = false;  // Ended while being filled; freed when the filling ends.
  };
  /// What a match adds to the counters of the same names.
  struct MatchCounts {
    std::uint64_t hits = 0;
    std::uint64_t boundaries = 0;
    std::uint64_t prompt_tokens = 0;
    std::uint64_t overlap_tokens = 0;
    std::uint64_t lost_tokens = 0;
  };
  struct SessionState {
    std::uint32_t leases = 0;
    std::uint32_t reservations = 0;
    LearnedPlacement::Spent planned;  // By its latest match; nothing where nothing learns.
    // Of its latest match, while that may still be declined; the time is when it began.
    std::optional<MatchCounts> undecided;
    TimePoint undecided_since;
  };
  struct Promotion {
    std::vector<std::shared_ptr<Completion>> waiters;
  };

  Cache(const Config& config, std::unique_ptr<ColdTier> cold, std::unique_ptr<Arena> arena,
        std::unique_ptr<EvictionPolicy> policy, std::unique_ptr<Planner> planner);
  void OpenGpu(Gpu gpu) CAIRN_EXCLUDES(mu_);

  [[nodiscard]] static std::unique_ptr<TriePlacement> MakeTrie(const Config& config,
                                                               const PrefixIndex* index,
                                                               const Arena* arena,
                                                               const ColdTier* cold);
  /// Into the index, and into what is known of places.
  NodeId InsertNode(NodeId parent, const PrefixKey& key, std::uint32_t position, bool tail)
      CAIRN_REQUIRES(mu_);
  /// Where a request should emit whose prompt's walk ended at `deepest`, with KV down to
  /// `kv_tokens`; the learned placement learns from it.
  std::vector<std::uint32_t> PlanFor(NodeId deepest, std::uint32_t kv_tokens,
                                     const PlanInput& input) CAIRN_REQUIRES(mu_);
  Status RecoverCold() CAIRN_EXCLUDES(mu_);
  NodeId ParentOfRecovered(const ObjectRecord& record) CAIRN_REQUIRES(mu_);
  Status StoreNamespace(NamespaceId id) CAIRN_EXCLUDES(mu_);
  NamespaceId AddNamespace(const NamespaceSpec& spec, const PrefixKey& seed) CAIRN_REQUIRES(mu_);

  [[nodiscard]] std::uint32_t LoadPermille() CAIRN_REQUIRES(mu_);
  struct Path;
  void WalkPath(Path& path, std::span<const PrefixKey> keys) CAIRN_REQUIRES(mu_);
  void AddBoundary(Path& path, NodeId id, bool tail) const CAIRN_REQUIRES(mu_);
  void AddTails(Path& path, NodeId id) const CAIRN_REQUIRES(mu_);
  void ChooseBest(const NamespaceState& name_space, MatchResult& result) const CAIRN_REQUIRES(mu_);
  void BeginLease(SessionId session, std::uint64_t request, const MatchWish& wish,
                  MatchResult& result) CAIRN_REQUIRES(mu_);
  void LeaseBest(Lease& lease, const MatchResult& result) CAIRN_REQUIRES(mu_);
  /// What another cache serves: takes back what its plan took, and leaves of the result only what
  /// is told.
  MatchResult Overheard(const MatchResult& result, SessionState& owner) CAIRN_REQUIRES(mu_);
  /// Counts a match, or what may be declined once that is out of the question.
  void CountMatch(SessionState& owner, MatchPurpose purpose, const MatchCounts& counts)
      CAIRN_REQUIRES(mu_);
  /// Whether the arguments of a match fit together, and the session may have a lease.
  [[nodiscard]] Status CheckMatch(SessionId session, NamespaceId name_space,
                                  std::span<const PrefixKey> keys, std::uint32_t prompt_tokens,
                                  MatchPurpose purpose) const CAIRN_REQUIRES(mu_);
  /// The session's latest match was not declined.
  void CountUndecided(SessionState& owner) CAIRN_REQUIRES(mu_);
  [[nodiscard]] std::uint32_t EstimateLoadUs(std::uint64_t bytes, std::uint64_t cold_bytes) const
      CAIRN_REQUIRES(mu_);
  Result<Lease*> FindLease(SessionId session, LeaseId id) CAIRN_REQUIRES(mu_);
  [[nodiscard]] NodeId BoundaryOnPath(const Lease& lease, std::uint32_t position,
                                      const PrefixKey* tail_key) const CAIRN_REQUIRES(mu_);
  Status CollectObjects(Lease& lease, NodeId node, std::uint32_t from_position) CAIRN_REQUIRES(mu_);
  ObjectView ViewOf(ObjectId id) const CAIRN_REQUIRES(mu_);
  /// Views of lease.objects, all of which must be in memory.
  Result<std::vector<ObjectView>> Serve(Lease& lease) CAIRN_REQUIRES(mu_);
  void AddReadyObjects(Lease& lease, std::uint32_t want, MatchResult& result) CAIRN_REQUIRES(mu_);
  [[nodiscard]] bool IsStill(const ServedObject& served) const CAIRN_REQUIRES(mu_);
  void CountServed(const Lease& lease) CAIRN_REQUIRES(mu_);
  /// Takes a damaged object out of all tiers. True when the caller must drop `cold` too.
  bool Condemn(ObjectId id, ColdLocation& cold) CAIRN_REQUIRES(mu_);

  [[nodiscard]] bool OnGpu(ObjectId id) const CAIRN_REQUIRES(mu_);
  /// Where the views' objects lie in device memory, if all of them are there.
  void HoldOnGpu(Lease& lease, std::vector<ObjectView>& views) CAIRN_REQUIRES(mu_);
  void ReleaseOnGpu(Lease& lease) CAIRN_REQUIRES(mu_);
  void OfferToGpu(const Lease& lease) CAIRN_REQUIRES(mu_);
  GpuMover::Step NextGpuStep() CAIRN_EXCLUDES(mu_);
  GpuMover::Step PlanGpuCopy(NodeId unit) CAIRN_REQUIRES(mu_);
  bool OnGpuGrown(const Result<DeviceMemory::Region>& region) CAIRN_EXCLUDES(mu_);
  void OnGpuCopied(const DeviceUploader::Outcome& outcome) CAIRN_EXCLUDES(mu_);
  void OnGpuKernelDropped(const std::string& why) CAIRN_EXCLUDES(mu_);
  void OnGpuLost(const std::string& reason) CAIRN_EXCLUDES(mu_);
  Status Promote(ObjectId id, const std::shared_ptr<Completion>& waiter) CAIRN_REQUIRES(mu_);
  /// `expected.coded`: whether coded values are as good.
  void PromoteObject(ObjectId id, ObjectRecord expected, ColdLocation location,
                     std::span<std::byte> target) CAIRN_EXCLUDES(mu_);
  void FinishPromotion(ObjectId id, const Status& status, const ObjectRecord& read)
      CAIRN_EXCLUDES(mu_);
  void EndLease(LeaseId id) CAIRN_REQUIRES(mu_);

  ReserveOutcome ReserveOne(SessionId session, std::uint64_t request,
                            const NamespaceState& name_space, const ReserveItem& item)
      CAIRN_REQUIRES(mu_);
  /// A recovered node that hangs from the root takes its place under `parent`.
  void Settle(NodeId id, NodeId parent, std::uint32_t position) CAIRN_REQUIRES(mu_);
  Result<NodeId> NodeForWrite(const NamespaceState& name_space, const ReserveItem& item)
      CAIRN_REQUIRES(mu_);
  void EndFill(std::uint64_t token, std::uint64_t bytes, const Digester& digester)
      CAIRN_EXCLUDES(mu_);
  void EndRead(ObjectId id) CAIRN_EXCLUDES(mu_);
  void UnpinIo(ObjectId id) CAIRN_REQUIRES(mu_);
  ErrorCode CommitOne(SessionId session, const CommitItem& item,
                      const std::shared_ptr<Completion>& durable, NodeId& node) CAIRN_REQUIRES(mu_);
  /// Queues what of the path down to `node` is only in memory: without it, an object at `node`
  /// could not be found again. Stops at nodes of `seen`. False when a part cannot be had.
  bool QueuePath(NodeId node, std::unordered_set<NodeId>& seen,
                 const std::shared_ptr<Completion>& durable) CAIRN_REQUIRES(mu_);
  void EndReservation(std::uint64_t token) CAIRN_REQUIRES(mu_);
  void FreeReserved(ObjectId id) CAIRN_REQUIRES(mu_);
  /// True when the writer took it; `durable` gets one more piece then.
  bool QueueForCold(ObjectId id, const std::shared_ptr<Completion>& durable) CAIRN_REQUIRES(mu_);
  /// Errors: the entry's namespace could not be stored.
  Status OnColdWritten(const ColdWriter::Entry& entry, const Result<ColdLocation>& location)
      CAIRN_EXCLUDES(mu_);
  void OnColdGone(std::span<const ColdGone> gone) CAIRN_EXCLUDES(mu_);
  void QueueDeferred() CAIRN_REQUIRES(mu_);
  void ForgetCold(ObjectId id) CAIRN_REQUIRES(mu_);
  [[nodiscard]] ObjectRecord RecordOf(ObjectId id) const CAIRN_REQUIRES(mu_);
  /// For the cold tier.
  [[nodiscard]] ObjectCodec CodecOf(const ObjectRecord& record) const CAIRN_EXCLUDES(mu_);
  [[nodiscard]] ObjectCodec CodecIn(const NamespaceState& state, const ObjectRecord& record) const;
  /// Of a whole block, or a checkpoint.
  [[nodiscard]] ObjectCodec UsualCodec(const NamespaceState& state, ObjectKind kind) const;
  /// See OpenedNamespace; empty if it was said.
  std::string CodecNotice(const NamespaceState& state) CAIRN_REQUIRES(mu_);

  Result<NodeId> FindByHex(const std::string& key_hex) const CAIRN_REQUIRES(mu_);
  // What lies between the root and a node, the node included.
  struct Way {
    std::uint32_t depth = 0;
    bool kv_whole = true;  // All of its KV can be read.
    std::uint64_t kv_bytes = 0;
  };
  [[nodiscard]] Way Extended(Way way, NodeId id) const CAIRN_REQUIRES(mu_);
  [[nodiscard]] Way WayTo(NodeId id) const CAIRN_REQUIRES(mu_);
  [[nodiscard]] NodeView ViewOfNode(NodeId id, const Way& way) const CAIRN_REQUIRES(mu_);
  void EvictBelow(NodeId id, const EvictScope& scope, Evicted& evicted,
                  std::vector<ColdLocation>& cold_drops) CAIRN_REQUIRES(mu_);
  void DropObject(ObjectId id, const EvictScope& scope, Evicted& evicted,
                  std::vector<ColdLocation>& cold_drops) CAIRN_REQUIRES(mu_);

  const Config config_;
  const CodecRules cold_codecs_;
  const std::unique_ptr<ColdTier> cold_;
  const std::unique_ptr<Arena> arena_;
  const std::unique_ptr<Planner> planner_;  // Null where trie_ plans.
  std::atomic<bool> draining_{false};

  mutable Mutex mu_;
  PrefixIndex index_ CAIRN_GUARDED_BY(mu_);
  const std::unique_ptr<TriePlacement> trie_ CAIRN_PT_GUARDED_BY(mu_);  // Null: not learned.
  const std::unique_ptr<EvictionPolicy> policy_ CAIRN_GUARDED_BY(mu_);  // Null where trie_ is it.
  std::vector<NamespaceState> namespaces_ CAIRN_GUARDED_BY(mu_);
  std::unordered_map<PrefixKey, NamespaceId, PrefixKeyHash> namespace_by_seed_
      CAIRN_GUARDED_BY(mu_);
  HostTier host_ CAIRN_GUARDED_BY(mu_);
  std::unique_ptr<GpuTier> gpu_ CAIRN_GUARDED_BY(mu_);  // Null without a device. Set by Open.
  std::unordered_map<std::string, std::uint32_t> domains_ CAIRN_GUARDED_BY(mu_);  // By tenant.
  std::unordered_set<std::size_t> codec_notices_ CAIRN_GUARDED_BY(mu_);  // Hashes of those said.
  std::vector<ObjectId> gpu_sources_ CAIRN_GUARDED_BY(mu_);  // Held in place while they are copied.
  std::vector<ObjectId> gpu_copies_ CAIRN_GUARDED_BY(mu_);   // Those that are being copied.
  NodeId gpu_waiting_ CAIRN_GUARDED_BY(mu_) = kNoId;         // For an extent.
  std::unordered_map<SessionId, SessionState> sessions_ CAIRN_GUARDED_BY(mu_);
  std::unordered_map<LeaseId, Lease> leases_ CAIRN_GUARDED_BY(mu_);
  std::unordered_map<std::uint64_t, Reservation> reservations_ CAIRN_GUARDED_BY(mu_);
  std::unordered_map<ObjectId, Promotion> promotions_ CAIRN_GUARDED_BY(mu_);
  // Objects that found the cold queue full, with their slot's generation: they get another chance
  // when it has room, if they are still in memory.
  std::deque<std::pair<ObjectId, std::uint64_t>> deferred_ CAIRN_GUARDED_BY(mu_);
  std::uint64_t next_id_ CAIRN_GUARDED_BY(mu_) = 1;
  double cold_bytes_per_us_ CAIRN_GUARDED_BY(mu_);
  LoadMeter load_ CAIRN_GUARDED_BY(mu_);
  std::uint64_t committed_bytes_ CAIRN_GUARDED_BY(mu_) = 0;
  mutable CacheStats stats_ CAIRN_GUARDED_BY(mu_);

  // Last, so that their threads end before what they use.
  std::unique_ptr<ColdWriter> writer_;
  std::unique_ptr<ThreadPool> readers_;
  std::unique_ptr<GpuMover> mover_;
};

/// Move-only. The bytes stay where they are while it lives; the cache must outlive it.
class Cache::Reading {
 public:
  Reading(Reading&& other) noexcept;
  Reading& operator=(Reading&&) = delete;
  Reading(const Reading&) = delete;
  ~Reading();

  [[nodiscard]] const ObjectView& view() const { return view_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  friend class Cache;
  Reading(Cache* cache, ObjectId id, const ObjectView& view, std::span<const std::byte> bytes)
      : cache_(cache), id_(id), view_(view), bytes_(bytes) {}

  Cache* cache_;
  ObjectId id_;
  ObjectView view_;
  std::span<const std::byte> bytes_;
};

/// Move-only. Done() accepts the bytes; destruction without it rejects them and ends the
/// reservation, since the object can no longer be completed in order.
class Cache::Filling {
 public:
  Filling(Filling&& other) noexcept;
  Filling& operator=(Filling&&) = delete;
  Filling(const Filling&) = delete;
  ~Filling();

  [[nodiscard]] std::span<std::byte> target() const { return target_; }
  /// The target holds its bytes; they are hashed now.
  void Done();
  /// Copies `source`, which has target().size() bytes, and hashes on the way.
  void CopyFrom(std::span<const std::byte> source);

 private:
  friend class Cache;
  Filling(Cache* cache, std::uint64_t token, std::span<std::byte> target, const Digester& digester)
      : cache_(cache), token_(token), target_(target), digester_(digester) {}

  Cache* cache_;
  std::uint64_t token_;
  std::span<std::byte> target_;
  Digester digester_;
};

}  // namespace cairn
