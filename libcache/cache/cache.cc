#include "libcache/cache/cache.h"

#include <algorithm>
#include <utility>

#include "libcache/model/namespace_text.h"

namespace cairn {
namespace {

// Node, its object and its share of the table: what PrefixIndex promises not to exceed.
constexpr std::uint64_t kBytesPerNode = 128;
// Until the first read is timed: a modest NVMe drive.
constexpr double kFirstColdBytesPerUs = 1000;
// The largest object the formats carry; MiniMax-M1's state, the largest preset, is 294 MB.
constexpr std::uint64_t kMaxObjectBytes = UINT32_MAX;
// Together with the longest names and shapes, 32 MiB: namespaces are kept until a restart.
constexpr std::size_t kMaxNamespaces = 4'096;
constexpr std::size_t kMaxNameBytes = 512;
// A node counts its children in 24 bits.
constexpr std::uint64_t kMaxIndexBytes = 2 * kGiB;
constexpr std::uint32_t kMaxBlockTokens = 65'536;

/// Of any fidelity, so that a mistake shows at once. Errors: kInvalidArgument naming the field.
Status CheckShapes(const NamespaceSpec& spec) {
  struct Declared {
    const char* name;
    const std::string& text;
    ObjectKind kind;
    std::uint64_t bytes;
  };
  for (const auto& [name, text, kind, bytes] :
       {Declared{"kv_shape", spec.kv_shape, ObjectKind::kKv, spec.kv_bytes_per_token},
        Declared{"checkpoint_shape", spec.checkpoint_shape, ObjectKind::kCheckpoint,
                 spec.checkpoint_bytes}}) {
    const auto shape = ObjectShape::Parse(text);
    const Status fits = shape ? shape->CheckFor(kind, bytes) : Fail(shape.error());
    if (!fits) {
      return Fail(ErrorCode::kInvalidArgument, std::string(name) + ": " + fits.error().message);
    }
  }
  return {};
}

/// What sizes are computed from later without a look; of those that come from the SSD, too. Errors:
/// kInvalidArgument naming the field.
Status CheckSpec(const NamespaceSpec& spec) {
  const auto bad = [](std::string message) {
    return Fail(ErrorCode::kInvalidArgument, std::move(message));
  };
  if (spec.model.empty()) {
    return bad("model: must not be empty");
  }
  for (const auto& [name, text] :
       {std::pair{"tenant", &spec.tenant}, std::pair{"model", &spec.model},
        std::pair{"revision", &spec.revision}, std::pair{"dtype", &spec.dtype},
        std::pair{"layout", &spec.layout}, std::pair{"kernel", &spec.kernel},
        std::pair{"adapter", &spec.adapter}, std::pair{"salt", &spec.salt},
        std::pair{"checkpoint_shape", &spec.checkpoint_shape},
        std::pair{"kv_shape", &spec.kv_shape}}) {
    if (text->size() > kMaxNameBytes) {
      return bad(std::string(name) + ": has " + std::to_string(text->size()) + " bytes; at most " +
                 std::to_string(kMaxNameBytes) + " are allowed");
    }
  }
  if (spec.block_tokens == 0 || spec.block_tokens > kMaxBlockTokens) {
    return bad("block_tokens: must be between 1 and " + std::to_string(kMaxBlockTokens) + ", not " +
               std::to_string(spec.block_tokens));
  }
  if (spec.tp_size == 0 || spec.tp_rank >= spec.tp_size) {
    return bad("tp_rank: must be below tp_size");
  }
  if (spec.kv_bytes_per_token == 0 && spec.checkpoint_bytes == 0) {
    return bad("kv_bytes_per_token and checkpoint_bytes are both 0: there is nothing to cache");
  }
  if (spec.checkpoint_bytes > kMaxObjectBytes ||
      spec.kv_bytes_per_token > kMaxObjectBytes / spec.block_tokens) {
    return bad("an object of this layout would exceed 4 GiB; use a smaller block_tokens");
  }
  return CheckShapes(spec);
}

}  // namespace

Status Cache::Config::Validate() const {
  if (host_bytes < 2 * kMiB) {
    return Fail(ErrorCode::kInvalidArgument,
                "host_bytes: " + FormatBytes(host_bytes) + " is too small; give at least 2MiB");
  }
  if (index_bytes < kMiB) {
    return Fail(ErrorCode::kInvalidArgument, "index_bytes: give at least 1MiB");
  }
  if (index_bytes > kMaxIndexBytes) {
    return Fail(ErrorCode::kInvalidArgument, "index_bytes: more than 2GiB (16 million blocks)");
  }
  if (lease_time.count() < 1) {
    return Fail(ErrorCode::kInvalidArgument, "lease_time: must be positive");
  }
  if (cold_read_threads < 1 || cold_read_threads > 256) {
    return Fail(ErrorCode::kInvalidArgument, "cold_read_threads: must be between 1 and 256");
  }
  if (const auto rules = CodecRules::Parse(cold_codecs); !rules) {
    return Fail(ErrorCode::kInvalidArgument, "cold_codecs: " + rules.error().message);
  }
  return {};
}

Result<std::unique_ptr<Cache>> Cache::Open(const Config& config, std::unique_ptr<ColdTier> cold) {
  return Open(config, std::move(cold), Gpu{});
}

Result<std::unique_ptr<Cache>> Cache::Open(const Config& config, std::unique_ptr<ColdTier> cold,
                                           Gpu gpu) {
  if (const Status valid = config.Validate(); !valid) {
    return Fail(valid.error());
  }
  if (const Status known = CheckPlannerName(config.planner); !known) {
    return Fail(known.error());
  }
  const bool learned = config.planner == kLearnedPlanner;
  Result<std::unique_ptr<Planner>> planner = nullptr;
  if (!learned) {
    planner = MakePlanner(config.planner);
  }
  if (!planner) {
    return Fail(planner.error());
  }
  Result<std::unique_ptr<EvictionPolicy>> policy = nullptr;
  if (!learned || config.eviction != kLearnedEviction) {
    policy = MakeEvictionPolicy(config.eviction);
  }
  if (!policy) {
    return Fail(policy.error());
  }
  auto arena =
      Arena::Create({.capacity_bytes = config.host_bytes, .huge_pages = config.huge_pages});
  if (!arena) {
    return Fail(arena.error());
  }
  std::unique_ptr<Cache> cache(new Cache(config, std::move(cold), std::move(*arena),
                                         std::move(*policy), std::move(*planner)));
  if (cache->cold_ != nullptr) {
    if (const Status recovered = cache->RecoverCold(); !recovered) {
      return Fail(recovered.error());
    }
    Cache* const raw = cache.get();
    cache->readers_ =
        std::make_unique<ThreadPool>("cairn-reader", config.cold_read_threads, 65'536);
    cache->writer_ = std::make_unique<ColdWriter>(
        raw->cold_.get(),
        config.cold_queue_bytes != 0 ? config.cold_queue_bytes : config.host_bytes / 4,
        config.cold_flush_every,
        [raw](const ColdWriter::Entry& entry, const Result<ColdLocation>& location) {
          return raw->OnColdWritten(entry, location);
        });
    cache->cold_->SetCodecs([raw](const ObjectRecord& record) { return raw->CodecOf(record); });
    cache->cold_->SetGoneListener([raw](std::span<const ColdGone> gone) { raw->OnColdGone(gone); });
  }
  cache->OpenGpu(std::move(gpu));
  return cache;
}

Cache::Cache(const Config& config, std::unique_ptr<ColdTier> cold, std::unique_ptr<Arena> arena,
             std::unique_ptr<EvictionPolicy> policy, std::unique_ptr<Planner> planner)
    : config_(config),
      cold_codecs_(CodecRules::Parse(config.cold_codecs).value()),  // Validated.
      cold_(std::move(cold)),
      arena_(std::move(arena)),
      planner_(std::move(planner)),
      index_(static_cast<std::uint32_t>(
          std::min<std::uint64_t>(config.index_bytes / kBytesPerNode, UINT32_MAX / 2))),
      trie_(MakeTrie(config, &index_, arena_.get(), cold_.get())),
      policy_(std::move(policy)),
      host_({.index = &index_,
             .arena = arena_.get(),
             .policy = policy_ != nullptr ? policy_.get() : trie_.get(),
             .stats = &stats_,
             .shape =
                 [this](std::uint16_t id) CAIRN_REQUIRES(mu_) {
                   const NamespaceSpec& spec = namespaces_[id].spec;
                   return NamespaceShape{.recurrent = spec.checkpoint_bytes != 0,
                                         .block_tokens = spec.block_tokens};
                 },
             .dropped =
                 [this](ObjectId id) CAIRN_REQUIRES(mu_) {
                   if (gpu_ != nullptr) {
                     gpu_->Forget(id);
                   }
                 }}),
      cold_bytes_per_us_(kFirstColdBytesPerUs) {}

Cache::~Cache() { Shutdown(); }

std::unique_ptr<TriePlacement> Cache::MakeTrie(const Config& config, const PrefixIndex* index,
                                               const Arena* arena, const ColdTier* cold) {
  if (config.planner != kLearnedPlanner) {
    return nullptr;
  }
  return std::make_unique<TriePlacement>(TriePlacement::Config{
      .index = index,
      .arena = arena,
      .clock = config.clock,
      .memory_bytes = config.placement_bytes,
      .capacity_bytes =
          arena->capacity_bytes() + (cold == nullptr ? 0 : cold->Stats().capacity_bytes)});
}

NodeId Cache::InsertNode(NodeId parent, const PrefixKey& key, std::uint32_t position, bool tail) {
  const NodeId id = index_.Insert(parent, key, position, tail);
  if (id != kNoId && trie_ != nullptr) {
    trie_->OnNewNode(id);
  }
  return id;
}

void Cache::Shutdown() {
  if (mover_ != nullptr) {
    mover_->Stop();
  }
  if (writer_ != nullptr) {
    writer_->Stop();  // Writes what is queued.
  }
  readers_.reset();  // Finishes promotions under way.
}

SessionId Cache::BeginSession() {
  const MutexLock lock(mu_);
  const SessionId session = next_id_++;
  sessions_.emplace(session, SessionState{});
  return session;
}

void Cache::EndSession(SessionId session) {
  const MutexLock lock(mu_);
  std::vector<LeaseId> leases;
  for (const auto& [id, lease] : leases_) {
    if (lease.session == session) {
      leases.push_back(id);
    }
  }
  for (const LeaseId id : leases) {
    EndLease(id);
  }
  std::vector<std::uint64_t> tokens;
  for (const auto& [token, reservation] : reservations_) {
    if (reservation.session == session) {
      tokens.push_back(token);
    }
  }
  for (const std::uint64_t token : tokens) {
    stats_.aborted += 1;
    EndReservation(token);
  }
  if (const auto owner = sessions_.find(session); owner != sessions_.end()) {
    CountUndecided(owner->second);
    sessions_.erase(owner);
  }
  if (gpu_ != nullptr) {
    gpu_->EndSession(session);
  }
}

Result<Cache::OpenedNamespace> Cache::OpenNamespace(const NamespaceSpec& spec) {
  if (const Status checked = CheckSpec(spec); !checked) {
    return Fail(checked.error());
  }
  NamespaceSpec stored = spec;
  stored.grid_tokens = spec.grid_tokens == 0 ? spec.block_tokens : spec.grid_tokens;
  if (spec.fidelity == Fidelity::kExact) {
    stored.checkpoint_shape.clear();  // No part of the keys, so who came first must not matter.
    stored.kv_shape.clear();
  }
  const PrefixKey seed = NamespaceSeed(config_.tenant_key, stored);
  OpenedNamespace opened;
  {
    const MutexLock lock(mu_);
    const auto known = namespace_by_seed_.find(seed);
    if (known == namespace_by_seed_.end() && namespaces_.size() >= kMaxNamespaces) {
      return Fail(ErrorCode::kOverloaded, "too many namespaces; restart the daemon to forget them");
    }
    const bool added = known == namespace_by_seed_.end();
    if (added && index_.Find(seed) != kNoId) {
      // Only somebody who uses this seed as a key of another namespace gets here.
      return Fail(ErrorCode::kUnavailable,
                  "another namespace uses this one's seed as a key; evict " + seed.Hex() +
                      " and open it again");
    }
    opened.id = added ? AddNamespace(stored, seed) : known->second;
    opened.notice = CodecNotice(namespaces_[opened.id]);
  }
  opened.seed = seed;
  opened.grid_tokens = stored.grid_tokens;
  // A failure is made up for before anything in it is called durable.
  static_cast<void>(StoreNamespace(opened.id));
  return opened;
}

Status Cache::StoreNamespace(NamespaceId id) {
  PrefixKey seed;
  std::string canonical;
  {
    const MutexLock lock(mu_);
    const NamespaceState& state = namespaces_[id];
    if (cold_ == nullptr || state.on_cold) {
      return {};
    }
    seed = state.seed;
    canonical = CanonicalNamespace(state.spec);
  }
  Status put = cold_->PutNamespace(seed, canonical);
  if (put) {
    const MutexLock lock(mu_);
    namespaces_[id].on_cold = true;
  }
  return put;
}

NamespaceId Cache::AddNamespace(const NamespaceSpec& spec, const PrefixKey& seed) {
  const auto id = static_cast<NamespaceId>(namespaces_.size());
  NamespaceState state;
  state.spec = spec;
  state.seed = seed;
  // What cannot be read (of a store that another release wrote) counts as not declared.
  state.shapes = {ObjectShape::Parse(spec.kv_shape).value_or(ObjectShape()),
                  ObjectShape::Parse(spec.checkpoint_shape).value_or(ObjectShape())};
  state.domain =
      domains_.emplace(spec.tenant, static_cast<std::uint32_t>(domains_.size())).first->second;
  state.root = index_.InsertRoot(seed, static_cast<std::uint16_t>(id));
  namespaces_.push_back(std::move(state));
  namespace_by_seed_.emplace(seed, id);
  if (trie_ != nullptr) {
    trie_->AddNamespace(namespaces_.back().root, spec);
  }
  return id;
}

void Cache::EndLease(LeaseId id) {
  const auto it = leases_.find(id);
  CAIRN_CHECK(it != leases_.end());
  ReleaseOnGpu(it->second);
  for (const NodeId node : it->second.pinned) {
    host_.Unpin(node);
  }
  const auto session = sessions_.find(it->second.session);
  if (session != sessions_.end() && !it->second.is_pin) {
    --session->second.leases;
  }
  leases_.erase(it);
}

void Cache::SweepExpired() {
  const MutexLock lock(mu_);
  const TimePoint now = config_.clock->Now();
  std::vector<LeaseId> leases;
  for (const auto& [id, lease] : leases_) {
    if (!lease.is_pin && lease.expires <= now) {
      leases.push_back(id);
    }
  }
  for (const LeaseId id : leases) {
    stats_.leases_expired += 1;
    EndLease(id);
  }
  std::vector<std::uint64_t> tokens;
  for (const auto& [token, reservation] : reservations_) {
    if (!reservation.filling && reservation.expires <= now) {
      tokens.push_back(token);
    }
  }
  for (const std::uint64_t token : tokens) {
    stats_.aborted += 1;
    EndReservation(token);
  }
  for (auto& [id, owner] : sessions_) {
    if (owner.undecided && now - owner.undecided_since >= config_.lease_time) {
      CountUndecided(owner);
    }
  }
  if (trie_ != nullptr) {
    trie_->CatchUp();
  }
}

bool Cache::FlushCold(TimePoint deadline) {
  for (bool all = writer_ == nullptr; !all;) {
    {
      const MutexLock lock(mu_);
      all = deferred_.empty();
    }
    if (!writer_->Flush(deadline) || SteadyClock::Instance().Now() >= deadline) {
      return false;
    }
  }
  return true;
}

NodeId Cache::ParentOfRecovered(const ObjectRecord& record) {
  const NodeId parent = index_.Find(record.parent);
  const NodeId root = index_.Find(record.seed);
  if (parent != kNoId || root == kNoId || !index_.node(root).Has(Node::kRoot)) {
    return parent;
  }
  // Without KV the blocks on the way have no records. Nothing needs them either: the block before
  // hangs from the root until a walk comes by with the keys between (WalkPath).
  const NamespaceSpec& spec = namespaces_[index_.node(root).name_space].spec;
  const std::uint32_t position = (record.position - 1) / spec.block_tokens * spec.block_tokens;
  if (spec.kv_bytes_per_token != 0 || position == 0) {
    return kNoId;
  }
  return InsertNode(root, record.parent, position, false);
}

Status Cache::RecoverCold() {
  struct Found {
    ObjectRecord record;
    ColdLocation location;
    ObjectId id;
  };
  std::vector<Found> found;
  const MutexLock lock(mu_);
  for (const auto& [seed, canonical] : cold_->Namespaces()) {
    const auto spec = ParseCanonicalNamespace(canonical);
    if (spec && CheckSpec(*spec) && namespaces_.size() < kMaxNamespaces &&
        index_.Find(seed) == kNoId) {
      namespaces_[AddNamespace(*spec, seed)].on_cold = true;
    }
  }
  // mu_ is held over the recovery: nobody else knows this cache yet.
  Status status = cold_->Recover([this, &found](const ObjectRecord& record, ColdLocation location)
                                     CAIRN_REQUIRES(mu_) -> std::optional<std::uint32_t> {
                                       if (record.bytes == 0 || record.bytes > kMaxObjectBytes) {
                                         return std::nullopt;
                                       }
                                       const ObjectId id = index_.NewObject();
                                       found.push_back({record, location, id});
                                       return id;
                                     });
  if (!status) {
    return status;
  }
  // Parents before children: a block's position is beyond its parent's.
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return a.record.position < b.record.position; });
  for (const Found& f : found) {
    const ReserveItem item{.kind = f.record.kind,
                           .key = f.record.key,
                           .parent = f.record.parent,
                           .position = f.record.position,
                           .bytes = f.record.bytes};
    const NodeId parent = ParentOfRecovered(f.record);
    Result<NodeId> node = Fail(ErrorCode::kNotFound, "");
    if (parent != kNoId) {
      node = NodeForWrite(namespaces_[index_.node(parent).name_space], item);
    }
    // Coded values must not get into a namespace that is exact, whoever wrote them there.
    const bool exact =
        parent != kNoId &&
        namespaces_[index_.node(parent).name_space].spec.fidelity == Fidelity::kExact;
    const bool usable = node && !(exact && f.record.coded) &&
                        (f.record.kind == ObjectKind::kKv ? index_.node(*node).kv
                                                          : index_.node(*node).checkpoint) == kNoId;
    if (!usable) {
      if (index_.Full() && !node && node.error().code != ErrorCode::kInvalidArgument) {
        // It, or what leads to it, found no room: it stays on disk for a start with a larger index.
        stats_.cold_unindexed += 1;
      } else {
        cold_->Drop(f.location);  // Unreachable: its path or namespace is gone.
      }
      index_.FreeUnattached(f.id);
      continue;
    }
    Object& object = index_.object(f.id);
    object.bytes = static_cast<std::uint32_t>(f.record.bytes);
    object.kind = f.record.kind;
    object.cold = f.location;
    object.Set(Object::kCold);
    index_.Attach(f.id, *node);
    stats_.cold.bytes[static_cast<std::size_t>(object.kind)] += object.bytes;
    stats_.cold.objects[static_cast<std::size_t>(object.kind)] += 1;
  }
  return {};
}

}  // namespace cairn
