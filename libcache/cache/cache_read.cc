// Match, Fetch and Release; cache_promote.cc brings what they need to memory.
#include <algorithm>
#include <utility>

#include "libcache/cache/cache.h"

namespace cairn {
namespace {

// Tails shown per block and pinned per lease. Many one-shot prompts may end inside one block of a
// shared system prompt; the connector tells by hashing which, if any, is its own.
constexpr std::uint32_t kMaxTailsPerBlock = 32;
constexpr std::size_t kMaxTailPins = 8;
// How far ahead of the walk table lines are fetched.
constexpr std::size_t kPrefetchAhead = 12;
// A copy from host memory, for estimates; of the order of one core's memcpy.
constexpr double kHostBytesPerUs = 8000;
// A copy within device memory; of the order of what an H100's has for reading and writing.
constexpr double kGpuBytesPerUs = 1'000'000;

}  // namespace

struct Cache::Path {
  const NamespaceState* name_space = nullptr;
  std::uint32_t prompt_tokens = 0;
  NodeId node = kNoId;            // Deepest reached, ghosts included.
  std::uint32_t seen_tokens = 0;  // Known before this request.
  bool kv_whole = true;
  bool kv_on_gpu = false;  // Never where the caller cannot read from there.
  std::uint32_t kv_tokens = 0;
  std::uint64_t kv_bytes = 0;
  std::uint64_t kv_cold_bytes = 0;
  std::vector<Boundary> boundaries;
};

void Cache::AddBoundary(Path& path, NodeId id, bool tail) const {
  const Node& n = index_.node(id);
  const NamespaceSpec& spec = path.name_space->spec;
  if (n.position >= path.prompt_tokens) {
    return;  // Never restore at the prompt's length: its last token must be computed.
  }
  Boundary b;
  b.position = n.position;
  b.node = id;
  b.tail = tail;
  b.bytes = path.kv_bytes;
  std::uint64_t cold_bytes = path.kv_cold_bytes;
  bool on_gpu = path.kv_on_gpu;
  const auto add = [&](ObjectId object_id) CAIRN_REQUIRES(mu_) {
    if (object_id == kNoId) {
      return false;
    }
    const Object& object = index_.object(object_id);
    b.bytes += object.bytes;
    cold_bytes += object.Has(Object::kHost) ? 0 : object.bytes;
    on_gpu = on_gpu && OnGpu(object_id);
    return object.Readable();
  };
  if (spec.checkpoint_bytes != 0 && !add(n.checkpoint)) {
    return;
  }
  if (tail && spec.kv_bytes_per_token != 0 && !add(n.kv)) {
    return;
  }
  b.tier = cold_bytes != 0 ? TierKind::kSsd : TierKind::kHost;
  b.estimated_load_us = EstimateLoadUs(b.bytes, cold_bytes);
  if (on_gpu) {
    b.tier = TierKind::kGpu;
    b.estimated_load_us = static_cast<std::uint32_t>(static_cast<double>(b.bytes) / kGpuBytesPerUs);
  }
  if (tail) {
    b.tail_key = n.key;
  }
  path.boundaries.push_back(b);
}

void Cache::AddTails(Path& path, NodeId id) const {
  const auto first = static_cast<std::ptrdiff_t>(path.boundaries.size());
  std::uint32_t shown = 0;
  for (NodeId tail = index_.node(id).first_tail; tail != kNoId && shown < kMaxTailsPerBlock;
       tail = index_.node(tail).next_sibling) {
    const std::size_t before = path.boundaries.size();
    AddBoundary(path, tail, true);
    shown += path.boundaries.size() > before ? 1 : 0;
  }
  std::sort(path.boundaries.begin() + first, path.boundaries.end(),
            [](const Boundary& a, const Boundary& b) { return a.position < b.position; });
}

void Cache::WalkPath(Path& path, std::span<const PrefixKey> keys) {
  const NamespaceSpec& spec = path.name_space->spec;
  path.node = path.name_space->root;
  AddTails(path, path.node);
  // Recovered checkpoints without KV hang from the root, beyond blocks that nobody remembers.
  const bool may_skip = spec.kv_bytes_per_token == 0;
  bool known = true;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (known && i + kPrefetchAhead < keys.size()) {
      index_.Prefetch(keys[i + kPrefetchAhead]);
    }
    const auto position = static_cast<std::uint32_t>((i + 1) * spec.block_tokens);
    NodeId next = known || may_skip ? index_.Find(keys[i]) : kNoId;
    known = next != kNoId;
    if (!known) {
      next = InsertNode(path.node, keys[i], position, false);
      if (next == kNoId) {
        return;  // The trie is full of prefixes in use: this one is not remembered.
      }
      if (trie_ != nullptr && trie_->Known(next)) {
        path.seen_tokens = position;  // Before a restart, or by another daemon.
      }
    }
    const Node& n = index_.node(next);
    Settle(next, path.node, position);
    if (n.position != position || n.parent != path.node) {
      return;  // A key that belongs elsewhere: the caller mixed up its keys.
    }
    if (known) {
      path.seen_tokens = position;
      index_.TouchGhost(next);
    }
    path.node = next;
    if (path.kv_whole && spec.kv_bytes_per_token != 0) {
      path.kv_whole = n.kv != kNoId && index_.object(n.kv).Readable();
      if (path.kv_whole) {
        const Object& kv = index_.object(n.kv);
        path.kv_tokens = position;
        path.kv_bytes += kv.bytes;
        path.kv_cold_bytes += kv.Has(Object::kHost) ? 0 : kv.bytes;
        path.kv_on_gpu = path.kv_on_gpu && OnGpu(n.kv);
      }
    }
    if (path.kv_whole && known) {
      AddBoundary(path, next, false);
      AddTails(path, next);
    }
  }
}

std::uint32_t Cache::EstimateLoadUs(std::uint64_t bytes, std::uint64_t cold_bytes) const {
  const double us = static_cast<double>(bytes) / kHostBytesPerUs +
                    static_cast<double>(cold_bytes) / cold_bytes_per_us_;
  return static_cast<std::uint32_t>(std::min(us, 4e9));
}

std::uint32_t Cache::LoadPermille() {
  const double now_s =
      std::chrono::duration<double>(config_.clock->Now().time_since_epoch()).count();
  load_.Note(committed_bytes_, now_s);
  return load_.Permille(arena_->used_bytes(), arena_->capacity_bytes(), now_s);
}

void Cache::ChooseBest(const NamespaceState& name_space, MatchResult& result) const {
  const double us_per_token = name_space.recompute_us_per_token > 0
                                  ? name_space.recompute_us_per_token
                                  : kFirstRecomputeUsPerToken;
  // Cheapest by load + recomputed gap. Only whole-block positions are certain; a tail is taken as
  // best only when there is nothing else.
  double least = 0;
  bool found = false;
  for (std::size_t i = 0; i < result.boundaries.size(); ++i) {
    const Boundary& b = result.boundaries[i];
    if (b.tail && found) {
      continue;
    }
    const bool replaces_tail = found && result.boundaries[result.best].tail && !b.tail;
    const double cost = b.estimated_load_us - us_per_token * b.position;
    if (!found || replaces_tail || cost <= least) {
      least = cost;
      result.best = static_cast<std::uint32_t>(i);
      found = true;
    }
  }
}

Result<MatchResult> Cache::Match(SessionId session, std::uint64_t request, NamespaceId name_space,
                                 std::span<const PrefixKey> keys, std::uint32_t prompt_tokens,
                                 const MatchWish& wish) {
  if (draining_) {
    return Fail(ErrorCode::kUnavailable, "the daemon is draining; use another or prefill cold");
  }
  if (prompt_tokens == 0) {
    return Fail(ErrorCode::kInvalidArgument, "prompt_tokens: must be at least 1");
  }
  const MutexLock lock(mu_);
  const auto owner = sessions_.find(session);
  if (name_space >= namespaces_.size() || owner == sessions_.end()) {
    return Fail(ErrorCode::kInvalidArgument, "namespace_id: not opened on this connection");
  }
  NamespaceState& space = namespaces_[name_space];
  if (keys.size() != prompt_tokens / space.spec.block_tokens) {
    return Fail(ErrorCode::kInvalidArgument,
                "keys: " + std::to_string(keys.size()) + " sent, but " +
                    std::to_string(prompt_tokens) + " prompt tokens make " +
                    std::to_string(prompt_tokens / space.spec.block_tokens) + " blocks of " +
                    std::to_string(space.spec.block_tokens) + " tokens");
  }
  const bool overhears = wish.purpose == MatchPurpose::kOverhear;
  if (!overhears && owner->second.leases >= config_.max_leases_per_session) {
    return Fail(
        ErrorCode::kOverloaded,
        "the session holds " + std::to_string(owner->second.leases) + " leases; release some");
  }
  CountUndecided(owner->second);  // The one before, if there is one.
  Path path;
  path.name_space = &space;
  path.prompt_tokens = prompt_tokens;
  path.kv_on_gpu = wish.want_device && gpu_ != nullptr && !gpu_->lost();
  WalkPath(path, keys);

  MatchResult result;
  result.boundaries = std::move(path.boundaries);
  result.overlap_tokens = path.seen_tokens;
  result.kv_tokens = path.kv_tokens;
  result.load_permille = LoadPermille();
  std::uint32_t resume = 0;
  if (!result.boundaries.empty()) {
    ChooseBest(space, result);
    const Boundary& best = result.boundaries[result.best];
    resume = best.tail ? 0 : best.position;
    if (!overhears && !host_.CanPin(best.node)) {
      return Fail(ErrorCode::kOverloaded, "too many requests hold this very prefix");
    }
    if (!overhears) {
      BeginLease(session, request, wish, result);
    }
  }
  result.plan =
      PlanFor(path.node, path.kv_tokens,
              {.prompt_tokens = prompt_tokens,
               .overlap_tokens = path.seen_tokens,
               .resume_tokens = resume,
               .grid_tokens = wish.grid_tokens != 0 ? wish.grid_tokens : space.spec.grid_tokens,
               .block_tokens = space.spec.block_tokens});
  const bool learned = trie_ != nullptr && space.spec.checkpoint_bytes != 0;
  owner->second.planned = learned ? trie_->last_spent() : LearnedPlacement::Spent();
  if (overhears) {
    return Overheard(result, owner->second);
  }
  const std::uint32_t deepest = result.boundaries.empty() ? 0 : result.boundaries.back().position;
  const std::uint32_t usable = std::min(path.kv_tokens, prompt_tokens - 1);
  CountMatch(owner->second, wish.purpose,
             {.hits = result.lease != 0 ? 1U : 0U,
              .boundaries = result.boundaries.size(),
              .prompt_tokens = prompt_tokens,
              .overlap_tokens = path.seen_tokens,
              .lost_tokens = usable > deepest ? usable - deepest : 0});
  return result;
}

void Cache::BeginLease(SessionId session, std::uint64_t request, const MatchWish& wish,
                       MatchResult& result) {
  result.lease = next_id_++;
  Lease& lease = leases_[result.lease];
  lease.session = session;
  lease.request = request;
  lease.want_device = wish.want_device;
  lease.expires = config_.clock->Now() + config_.lease_time;
  sessions_.at(session).leases += 1;
  LeaseBest(lease, result);
  AddReadyObjects(lease, wish.want_objects, result);
  const bool cold = result.boundaries[result.best].tier == TierKind::kSsd;
  result.state = cold ? MatchState::kPending : MatchState::kReady;
}

void Cache::LeaseBest(Lease& lease, const MatchResult& result) {
  const Boundary& best = result.boundaries[result.best];
  lease.best = best.node;
  lease.deepest = best.node;
  lease.tier = best.tier;
  host_.Pin(best.node);
  lease.pinned.push_back(best.node);
  // The caller may know better than the estimate and load a deeper one.
  const auto deeper = std::find_if(result.boundaries.rbegin(), result.boundaries.rend(),
                                   [](const Boundary& b) { return !b.tail; });
  if (deeper != result.boundaries.rend() && deeper->position > best.position &&
      host_.CanPin(deeper->node)) {
    host_.Pin(deeper->node);
    lease.pinned.push_back(deeper->node);
    lease.deepest = deeper->node;
  }
  // Deeper tails may turn out to be the caller's own prefix: keep them until it has looked.
  bool deeper_tail = false;
  for (std::size_t i = result.boundaries.size(); i-- > result.best + 1;) {
    const Boundary& b = result.boundaries[i];
    if (b.tail && lease.pinned.size() < 2 + kMaxTailPins && host_.CanPin(b.node)) {
      host_.Pin(b.node);
      lease.pinned.push_back(b.node);
      deeper_tail = true;
    }
  }
  if (best.tier != TierKind::kSsd || best.tail) {
    return;
  }
  // Promotion starts now, while the answer travels. The checkpoint waits if a deeper boundary may
  // be taken instead; the KV before it serves both. Failures show at Fetch.
  if (!CollectObjects(lease, best.node, 0)) {
    return;
  }
  for (const ObjectId id : lease.objects) {
    const Object& object = index_.object(id);
    const bool wanted = object.kind == ObjectKind::kKv || !deeper_tail;
    if (wanted && !object.Has(Object::kHost) && !Promote(id, nullptr)) {
      break;
    }
  }
  lease.objects.clear();
}

Result<Cache::Lease*> Cache::FindLease(SessionId session, LeaseId id) {
  const auto it = leases_.find(id);
  if (it == leases_.end() || it->second.session != session || it->second.is_pin ||
      it->second.expires <= config_.clock->Now()) {
    return Fail(ErrorCode::kExpired, "the lease is over; treat it as a miss");
  }
  return &it->second;
}

NodeId Cache::BoundaryOnPath(const Lease& lease, std::uint32_t position,
                             const PrefixKey* tail_key) const {
  if (tail_key != nullptr) {
    const NodeId id = index_.Find(*tail_key);
    const bool leased =
        std::find(lease.pinned.begin(), lease.pinned.end(), id) != lease.pinned.end();
    // A tail that was shown but not pinned is as good: its key says that the prefix is the
    // caller's.
    const bool shown = id != kNoId && index_.node(id).Has(Node::kTail) &&
                       index_.node(id).position == position &&
                       index_.node(id).name_space == index_.node(lease.deepest).name_space;
    return leased || shown ? id : kNoId;
  }
  NodeId id = lease.deepest;
  while (id != kNoId && index_.node(id).position > position) {
    id = index_.node(id).parent;
  }
  return id != kNoId && index_.node(id).position == position ? id : kNoId;
}

Status Cache::CollectObjects(Lease& lease, NodeId node, std::uint32_t from_position) {
  const Node& n = index_.node(node);
  const NamespaceSpec& spec = namespaces_[n.name_space].spec;
  const auto gone = [] { return Fail(ErrorCode::kNotFound, "evicted since the match"); };
  lease.objects.clear();
  const auto add = [&](ObjectId id) CAIRN_REQUIRES(mu_) {
    if (id == kNoId || !index_.object(id).Readable()) {
      return false;
    }
    lease.objects.push_back(id);
    return true;
  };
  if (spec.checkpoint_bytes != 0 && !add(n.checkpoint)) {
    return gone();
  }
  for (NodeId id = node; spec.kv_bytes_per_token != 0 && id != kNoId; id = index_.node(id).parent) {
    const Node& at = index_.node(id);
    if (at.Has(Node::kRoot) || at.position <= from_position) {
      break;
    }
    if (!add(at.kv)) {
      return gone();
    }
  }
  std::reverse(lease.objects.begin(), lease.objects.end());
  return {};
}

Result<std::shared_ptr<Completion>> Cache::StartFetch(SessionId session, LeaseId lease_id,
                                                      std::uint32_t position,
                                                      const PrefixKey* tail_key,
                                                      std::uint32_t from_position) {
  const MutexLock lock(mu_);
  const auto lease = FindLease(session, lease_id);
  if (!lease) {
    return Fail(lease.error());
  }
  CountUndecided(sessions_.at(session));
  const NodeId node = position == 0 ? kNoId : BoundaryOnPath(**lease, position, tail_key);
  if (node == kNoId) {
    return Fail(ErrorCode::kNotFound,
                "no boundary at position " + std::to_string(position) + " on the leased prefix");
  }
  if (const Status collected = CollectObjects(**lease, node, from_position); !collected) {
    return Fail(collected.error());
  }
  auto& pinned = (*lease)->pinned;
  if (std::find(pinned.begin(), pinned.end(), node) == pinned.end()) {
    if (!host_.CanPin(node)) {
      return Fail(ErrorCode::kOverloaded, "too many requests hold this very prefix");
    }
    host_.Pin(node);
    pinned.push_back(node);
  }
  auto done = std::make_shared<Completion>(0);
  (*lease)->served.clear();
  (*lease)->fetched = node;
  (*lease)->fetched_from = from_position;
  // What the match found on SSD counts as served from there, even if it has arrived since.
  const bool from_ssd = node == (*lease)->best && (*lease)->tier == TierKind::kSsd;
  (*lease)->fetched_tier = from_ssd ? TierKind::kSsd : TierKind::kHost;
  for (const ObjectId id : (*lease)->objects) {
    if (index_.object(id).Has(Object::kHost)) {
      continue;
    }
    (*lease)->fetched_tier = TierKind::kSsd;
    done->Add(1);
    if (const Status started = Promote(id, done); !started) {
      done->Done(started.error().code);
      return Fail(started.error());
    }
  }
  return done;
}

ObjectView Cache::ViewOf(ObjectId id) const {
  const Object& object = index_.object(id);
  const Node& n = index_.node(object.node);
  const SlotHeader& header = arena_->Header(object.arena_offset());
  ObjectView view;
  view.kind = object.kind;
  view.position = n.position;
  view.tokens = object.kind == ObjectKind::kKv && n.parent != kNoId
                    ? n.position - index_.node(n.parent).position
                    : 0;
  view.bytes = object.bytes;
  view.digest = {.low = header.digest_low, .high = header.digest_high};
  view.arena_offset = object.arena_offset();
  view.generation = header.generation;
  return view;
}

Result<std::vector<ObjectView>> Cache::FinishFetch(SessionId session, LeaseId lease_id) {
  const MutexLock lock(mu_);
  const auto found = FindLease(session, lease_id);
  if (!found) {
    return Fail(found.error());
  }
  Lease& lease = **found;
  if (lease.fetched == kNoId) {
    return Fail(ErrorCode::kInvalidArgument, "nothing was fetched under this lease");
  }
  if (const Status again = CollectObjects(lease, lease.fetched, lease.fetched_from); !again) {
    return Fail(again.error());
  }
  auto views = Serve(lease);
  if (views) {
    CountServed(lease);
  }
  return views;
}

Result<std::vector<ObjectView>> Cache::Serve(Lease& lease) {
  std::vector<ObjectView> views;
  views.reserve(lease.objects.size());
  lease.served.clear();
  ReleaseOnGpu(lease);
  for (const ObjectId id : lease.objects) {
    if (!index_.object(id).Has(Object::kHost)) {
      return Fail(ErrorCode::kNotFound, "an object of the boundary could not be read");
    }
    views.push_back(ViewOf(id));
    lease.served.push_back({.id = id, .generation = views.back().generation});
  }
  HoldOnGpu(lease, views);
  return views;
}

bool Cache::IsStill(const ServedObject& served) const {
  const Object& object = index_.object(served.id);
  return object.Has(Object::kHost) &&
         arena_->Header(object.arena_offset()).generation == served.generation;
}

void Cache::CountServed(const Lease& lease) {
  for (const ServedObject& served : lease.served) {
    if (IsStill(served)) {
      index_.object(served.id).Set(Object::kHit);
    }
  }
  host_.Touch(lease.fetched);
  OfferToGpu(lease);
  index_.TouchTail(lease.fetched);
  stats_.fetches += 1;
  stats_.hit_tokens[static_cast<std::size_t>(lease.fetched_tier)] +=
      index_.node(lease.fetched).position;
}

void Cache::AddReadyObjects(Lease& lease, std::uint32_t want, MatchResult& result) {
  const Boundary& best = result.boundaries[result.best];
  const NamespaceSpec& spec = namespaces_[index_.node(best.node).name_space].spec;
  const std::uint32_t objects =
      (spec.kv_bytes_per_token != 0 ? best.position / spec.block_tokens : 0) +
      (spec.checkpoint_bytes != 0 ? 1 : 0);
  const bool few = objects <= want;
  if (best.tier == TierKind::kSsd || best.tail || !few || !CollectObjects(lease, best.node, 0)) {
    return;
  }
  lease.fetched_tier = TierKind::kHost;
  auto views = Serve(lease);
  if (views) {
    lease.fetched = best.node;
    lease.fetched_from = 0;
    result.objects = std::move(*views);
  }
}

Result<Cache::Reading> Cache::BeginRead(SessionId session, LeaseId lease_id, std::uint32_t index) {
  const MutexLock lock(mu_);
  const auto lease = FindLease(session, lease_id);
  if (!lease) {
    return Fail(lease.error());
  }
  const auto none = [&] {
    return Fail(ErrorCode::kNotFound, "no object " + std::to_string(index) + " under this lease");
  };
  if (index >= (*lease)->served.size()) {
    return none();
  }
  const ServedObject& served = (*lease)->served[index];
  if (!IsStill(served) || !index_.object(served.id).Readable()) {
    return none();
  }
  Object& object = index_.object(served.id);
  if (object.io_pins == UINT16_MAX) {
    return Fail(ErrorCode::kOverloaded, "too many read this object");
  }
  object.io_pins += 1;
  return Reading(this, served.id, ViewOf(served.id),
                 arena_->Payload(object.arena_offset()).first(object.bytes));
}

void Cache::UnpinIo(ObjectId id) {
  Object& object = index_.object(id);
  CAIRN_CHECK(object.io_pins > 0);
  object.io_pins -= 1;
  if (object.Has(Object::kDoomed)) {
    host_.Drop(id, EvictReason::kCorrupt);  // Refuses while others are at it.
  }
}

void Cache::EndRead(ObjectId id) {
  const MutexLock lock(mu_);
  UnpinIo(id);
}

Cache::Reading::Reading(Reading&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)),
      id_(other.id_),
      view_(other.view_),
      bytes_(other.bytes_) {}

Cache::Reading::~Reading() {
  if (cache_ != nullptr) {
    cache_->EndRead(id_);
  }
}

Status Cache::Release(SessionId session, LeaseId lease_id, bool used) {
  const MutexLock lock(mu_);
  const auto it = leases_.find(lease_id);
  if (it == leases_.end() || it->second.session != session || it->second.is_pin) {
    return Fail(ErrorCode::kExpired, "the lease was over already");
  }
  if (used && it->second.fetched != kNoId) {
    CountServed(it->second);
    CountUndecided(sessions_.at(session));
  }
  EndLease(lease_id);
  return {};
}

Status Cache::Observe(NamespaceId name_space, const Observation& observation) {
  const MutexLock lock(mu_);
  if (name_space >= namespaces_.size()) {
    return Fail(ErrorCode::kInvalidArgument, "namespace_id: not opened on this connection");
  }
  stats_.gap_tokens += observation.gap_tokens;
  stats_.failed_restores += observation.failed ? 1 : 0;
  if (observation.gap_tokens != 0 && observation.recompute_us != 0) {
    double& average = namespaces_[name_space].recompute_us_per_token;
    const double now = static_cast<double>(observation.recompute_us) / observation.gap_tokens;
    average = average == 0 ? now : average + kAverageWeight * (now - average);
    if (trie_ != nullptr) {
      trie_->SetRecomputeCost(name_space, average);
    }
  }
  return {};
}

}  // namespace cairn
