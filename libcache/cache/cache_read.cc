// Fetch, reading and Release; cache_promote.cc brings what they need to memory.
#include <algorithm>
#include <utility>

#include "libcache/cache/cache.h"

namespace cairn {

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
