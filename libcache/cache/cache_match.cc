// Match: which boundaries a prompt has, which is best, and a lease of it.
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

Status Cache::CheckMatch(SessionId session, NamespaceId name_space, std::span<const PrefixKey> keys,
                         std::uint32_t prompt_tokens, MatchPurpose purpose) const {
  const auto owner = sessions_.find(session);
  if (name_space >= namespaces_.size() || owner == sessions_.end()) {
    return Fail(ErrorCode::kInvalidArgument, "namespace_id: not opened on this connection");
  }
  const std::uint32_t block = namespaces_[name_space].spec.block_tokens;
  if (keys.size() != prompt_tokens / block) {
    return Fail(ErrorCode::kInvalidArgument, "keys: " + std::to_string(keys.size()) +
                                                 " sent, but " + std::to_string(prompt_tokens) +
                                                 " prompt tokens make " +
                                                 std::to_string(prompt_tokens / block) +
                                                 " blocks of " + std::to_string(block) + " tokens");
  }
  if (purpose != MatchPurpose::kOverhear &&
      owner->second.leases >= config_.max_leases_per_session) {
    return Fail(
        ErrorCode::kOverloaded,
        "the session holds " + std::to_string(owner->second.leases) + " leases; release some");
  }
  return {};
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
  const Status may = CheckMatch(session, name_space, keys, prompt_tokens, wish.purpose);
  if (!may) {
    return Fail(may.error());
  }
  SessionState& owner = sessions_.at(session);
  NamespaceState& space = namespaces_[name_space];
  const bool overhears = wish.purpose == MatchPurpose::kOverhear;
  CountUndecided(owner);  // The one before, if there is one.
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
  owner.planned = learned ? trie_->last_spent() : LearnedPlacement::Spent();
  if (overhears) {
    return Overheard(result, owner);
  }
  const std::uint32_t deepest = result.boundaries.empty() ? 0 : result.boundaries.back().position;
  const std::uint32_t usable = std::min(path.kv_tokens, prompt_tokens - 1);
  CountMatch(owner, wish.purpose,
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

}  // namespace cairn
