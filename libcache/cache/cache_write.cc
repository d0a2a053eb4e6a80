// Reserve, Fill, Commit and the way to the cold tier.
#include <cstring>
#include <utility>

#include "libcache/cache/cache.h"

namespace cairn {
namespace {

constexpr std::size_t Index(ObjectKind kind) { return static_cast<std::size_t>(kind); }

// Objects remembered for a later try; 16 bytes each.
constexpr std::size_t kMaxDeferred = 65'536;

}  // namespace

void Cache::Settle(NodeId id, NodeId parent, std::uint32_t position) {
  const Node& n = index_.node(id);
  const NamespaceState& space = namespaces_[n.name_space];
  const bool loose = n.parent == space.root && n.position > space.spec.block_tokens;
  if (loose && n.position == position && parent != space.root &&
      index_.node(parent).name_space == n.name_space) {
    host_.Reparent(id, parent);
  }
}

Result<NodeId> Cache::NodeForWrite(const NamespaceState& name_space, const ReserveItem& item) {
  const auto bad = [](std::string message) {
    return Fail(ErrorCode::kInvalidArgument, std::move(message));
  };
  const NamespaceSpec& spec = name_space.spec;
  const NodeId parent = index_.Find(item.parent);
  if (parent == kNoId) {
    return Fail(ErrorCode::kNotFound, "parent_key: unknown prefix; match it first");
  }
  const Node& above = index_.node(parent);
  if (above.name_space != index_.node(name_space.root).name_space) {
    return bad("parent_key: of another namespace");
  }
  if (above.Has(Node::kTail) || item.position <= above.position ||
      item.position - above.position > spec.block_tokens) {
    return bad("position: " + std::to_string(item.position) + " is not inside the block of " +
               std::to_string(spec.block_tokens) + " tokens that follows its parent at " +
               std::to_string(above.position));
  }
  const std::uint32_t tokens = item.position - above.position;
  const bool tail = tokens != spec.block_tokens;
  const std::uint64_t right_bytes =
      item.kind == ObjectKind::kKv ? tokens * spec.kv_bytes_per_token : spec.checkpoint_bytes;
  if (item.bytes != right_bytes || right_bytes == 0) {
    return bad("bytes: " + std::to_string(item.bytes) + " given, but " +
               (item.kind == ObjectKind::kKv ? "KV of " + std::to_string(tokens) + " tokens"
                                             : std::string("a checkpoint")) +
               " of this namespace has " + std::to_string(right_bytes));
  }
  NodeId node = index_.Find(item.key);
  if (node == kNoId) {
    node = InsertNode(parent, item.key, item.position, tail);
    if (node == kNoId) {
      return Fail(ErrorCode::kOverloaded, "the index is full; raise index_bytes");
    }
  }
  Settle(node, parent, item.position);
  const Node& n = index_.node(node);
  if (n.parent != parent || n.position != item.position) {
    return bad("key: belongs to another position");
  }
  return node;
}

ReserveOutcome Cache::ReserveOne(SessionId session, std::uint64_t request,
                                 const NamespaceState& name_space, const ReserveItem& item) {
  SessionState& owner = sessions_.at(session);
  if (owner.reservations >= config_.max_reservations_per_session) {
    return {.code = ErrorCode::kOverloaded, .token = 0};
  }
  const Result<NodeId> node = NodeForWrite(name_space, item);
  if (!node) {
    return {.code = node.error().code, .token = 0};
  }
  const Node& n = index_.node(*node);
  const ObjectId present = item.kind == ObjectKind::kKv ? n.kv : n.checkpoint;
  if (present != kNoId) {
    const bool writing = index_.object(present).Has(Object::kWriting);
    return {.code = writing ? ErrorCode::kInProgress : ErrorCode::kExists, .token = 0};
  }
  if (!host_.CanPin(*node)) {
    return {.code = ErrorCode::kOverloaded, .token = 0};
  }
  // The pin keeps the path while this object is written, and its node while room is made.
  host_.Pin(*node);
  const ObjectId id = index_.AddObject(*node, item.kind, static_cast<std::uint32_t>(item.bytes));
  if (const Status room = host_.Allocate(id, Object::kWriting); !room) {
    index_.RemoveObject(id);
    host_.Unpin(*node);
    return {.code = room.error().code, .token = 0};
  }
  const std::uint64_t token = next_id_++;
  Reservation& reservation = reservations_[token];
  reservation.session = session;
  reservation.request = request;
  reservation.expires = config_.clock->Now() + config_.lease_time;
  reservation.object = id;
  owner.reservations += 1;
  return {.code = ErrorCode::kOk, .token = token};
}

Result<std::vector<ReserveOutcome>> Cache::Reserve(SessionId session, std::uint64_t request,
                                                   NamespaceId name_space,
                                                   std::span<const ReserveItem> items) {
  if (draining_) {
    return Fail(ErrorCode::kUnavailable, "the daemon is draining");
  }
  const MutexLock lock(mu_);
  const auto owner = sessions_.find(session);
  if (name_space >= namespaces_.size() || owner == sessions_.end()) {
    return Fail(ErrorCode::kInvalidArgument, "namespace_id: not opened on this connection");
  }
  CountUndecided(owner->second);
  // A caller that is wrong in one item is wrong in all: say what, instead of a code per item.
  for (const ReserveItem& item : items) {
    const NodeId parent = index_.Find(item.parent);
    if (parent == kNoId) {
      continue;  // May be made by an item before it.
    }
    if (const auto node = NodeForWrite(namespaces_[name_space], item);
        !node && node.error().code == ErrorCode::kInvalidArgument) {
      return Fail(node.error());
    }
  }
  std::vector<ReserveOutcome> outcomes;
  outcomes.reserve(items.size());
  for (const ReserveItem& item : items) {
    outcomes.push_back(ReserveOne(session, request, namespaces_[name_space], item));
    stats_.reserve_refused += outcomes.back().code == ErrorCode::kOk ? 0 : 1;
  }
  return outcomes;
}

Result<Cache::Filling> Cache::BeginFill(SessionId session, std::uint64_t token,
                                        std::uint64_t offset, std::uint64_t bytes) {
  const MutexLock lock(mu_);
  const auto it = reservations_.find(token);
  if (it == reservations_.end() || it->second.session != session || it->second.aborted) {
    return Fail(ErrorCode::kExpired, "the reservation is over");
  }
  Reservation& reservation = it->second;
  if (reservation.filling) {
    return Fail(ErrorCode::kInProgress, "another stretch of this object is being filled");
  }
  Object& object = index_.object(reservation.object);
  if (offset != reservation.filled || bytes == 0 || bytes > object.bytes - offset) {
    return Fail(ErrorCode::kInvalidArgument,
                "object_offset: " + std::to_string(offset) + " with " + std::to_string(bytes) +
                    " bytes, but the object has " + std::to_string(object.bytes) + " and " +
                    std::to_string(reservation.filled) + " are filled; fill it in order");
  }
  reservation.filling = true;
  reservation.expires = config_.clock->Now() + config_.lease_time;
  object.io_pins += 1;
  return Filling(this, token, arena_->Payload(object.arena_offset()).subspan(offset, bytes),
                 reservation.digester);
}

Status Cache::Fill(SessionId session, std::uint64_t token, std::uint64_t offset,
                   std::span<const std::byte> bytes) {
  auto filling = BeginFill(session, token, offset, bytes.size());
  if (!filling) {
    return Fail(filling.error());
  }
  filling->CopyFrom(bytes);
  return {};
}

void Cache::EndFill(std::uint64_t token, std::uint64_t bytes, const Digester& digester) {
  const MutexLock lock(mu_);
  const auto it = reservations_.find(token);
  CAIRN_CHECK(it != reservations_.end());  // It is kept while it is being filled.
  Reservation& reservation = it->second;
  reservation.filling = false;
  index_.object(reservation.object).io_pins -= 1;
  reservation.filled += bytes;
  reservation.expires =
      config_.clock->Now() + config_.lease_time;  // A slow stretch is no idle one.
  reservation.digester = digester;
  if (reservation.aborted || bytes == 0) {
    EndReservation(token);
  }
}

Cache::CommitResult Cache::Commit(SessionId session, std::span<const CommitItem> items,
                                  bool durable) {
  CommitResult result;
  result.codes.reserve(items.size());
  if (durable) {
    // One piece is held here so that it cannot be done before all items have been looked at.
    result.durable = std::make_shared<Completion>(1);
  }
  {
    const MutexLock lock(mu_);
    std::vector<NodeId> nodes(items.size(), kNoId);
    for (std::size_t i = 0; i < items.size(); ++i) {
      result.codes.push_back(CommitOne(session, items[i], result.durable, nodes[i]));
    }
    // What was there before may have been stored in haste. Deepest first: one walk does for all.
    std::unordered_set<NodeId> seen;
    bool whole = true;
    for (std::size_t i = items.size(); durable && i-- > 0;) {
      if (result.codes[i] == ErrorCode::kOk) {
        const bool fresh = !seen.contains(nodes[i]);
        whole = QueuePath(nodes[i], seen, result.durable) && whole;
        if (whole && fresh) {
          result.paths.push_back(index_.node(nodes[i]).key);
        }
        result.codes[i] = whole ? ErrorCode::kOk : ErrorCode::kOverloaded;
      }
    }
  }
  if (result.durable != nullptr) {
    result.durable->Done(ErrorCode::kOk);
  }
  return result;
}

bool Cache::QueuePath(NodeId node, std::unordered_set<NodeId>& seen,
                      const std::shared_ptr<Completion>& durable) {
  for (bool first = true; node != kNoId && !index_.node(node).Has(Node::kRoot); first = false) {
    if (!seen.insert(node).second) {
      return true;
    }
    const Node& n = index_.node(node);
    if (!first && n.kv == kNoId && namespaces_[n.name_space].spec.kv_bytes_per_token != 0) {
      return false;
    }
    for (const ObjectId id : {n.kv, first ? n.checkpoint : kNoId}) {
      if (id == kNoId || index_.object(id).Has(Object::kCold | Object::kQueued)) {
        continue;
      }
      if (!index_.object(id).Has(Object::kHost) || !QueueForCold(id, durable)) {
        return false;
      }
    }
    node = n.parent;
  }
  return true;
}

Status Cache::CheckDurable(const CommitResult& committed) const {
  const MutexLock lock(mu_);
  std::unordered_set<NodeId> seen;
  for (const PrefixKey& key : committed.paths) {
    for (NodeId at = index_.Find(key); at != kNoId && seen.insert(at).second;
         at = index_.node(at).parent) {
      const Node& n = index_.node(at);
      const bool wants_kv =
          !n.Has(Node::kRoot) && namespaces_[n.name_space].spec.kv_bytes_per_token != 0;
      if (wants_kv && (n.kv == kNoId || !index_.object(n.kv).Has(Object::kCold))) {
        return Fail(ErrorCode::kIo, "a block before them could not be written to the SSD");
      }
    }
  }
  return {};
}

ErrorCode Cache::CommitOne(SessionId session, const CommitItem& item,
                           const std::shared_ptr<Completion>& durable, NodeId& node) {
  const auto it = reservations_.find(item.token);
  if (it == reservations_.end() || it->second.session != session || it->second.aborted) {
    return ErrorCode::kExpired;
  }
  Reservation& reservation = it->second;
  const ObjectId id = reservation.object;
  Object& object = index_.object(id);
  if (reservation.filling || reservation.filled != object.bytes) {
    EndReservation(item.token);
    return ErrorCode::kInvalidArgument;
  }
  const Digest digest = reservation.digester.Finish();
  if (!(digest == item.digest)) {
    stats_.checksum_failures += 1;
    EndReservation(item.token);
    return ErrorCode::kCorrupt;
  }
  node = object.node;
  sessions_.at(session).reservations -= 1;
  reservations_.erase(it);
  host_.Publish(id, Object::kWriting, digest);
  if (index_.node(node).Has(Node::kTail)) {
    index_.TouchTail(node);
  }
  host_.Unpin(node);
  stats_.commits += 1;
  committed_bytes_ += object.bytes;
  const bool queued = QueueForCold(id, durable);
  if (durable != nullptr) {
    if (!queued) {
      return ErrorCode::kOverloaded;  // Readable now, but not promised to survive.
    }
    stats_.durable_commits += 1;
  }
  return ErrorCode::kOk;
}

void Cache::Abort(SessionId session, std::span<const std::uint64_t> tokens) {
  const MutexLock lock(mu_);
  for (const std::uint64_t token : tokens) {
    const auto it = reservations_.find(token);
    if (it != reservations_.end() && it->second.session == session) {
      stats_.aborted += 1;
      EndReservation(token);
    }
  }
}

void Cache::EndReservation(std::uint64_t token) {
  const auto it = reservations_.find(token);
  CAIRN_CHECK(it != reservations_.end());
  if (it->second.filling) {
    it->second.aborted = true;  // The memory is being written; EndFill comes back here.
    return;
  }
  const auto owner = sessions_.find(it->second.session);
  if (owner != sessions_.end()) {
    owner->second.reservations -= 1;
  }
  const ObjectId id = it->second.object;
  reservations_.erase(it);
  FreeReserved(id);
}

void Cache::FreeReserved(ObjectId id) {
  const NodeId node = index_.object(id).node;
  host_.Abandon(id, Object::kWriting);
  index_.RemoveObject(id);
  host_.Unpin(node);
}

ObjectRecord Cache::RecordOf(ObjectId id) const {
  const Object& object = index_.object(id);
  const Node& n = index_.node(object.node);
  return {.key = n.key,
          .parent = index_.node(n.parent).key,
          .seed = namespaces_[n.name_space].seed,
          .position = n.position,
          .kind = object.kind,
          .bytes = object.bytes,
          .digest = {}};
}

bool Cache::QueueForCold(ObjectId id, const std::shared_ptr<Completion>& durable) {
  if (writer_ == nullptr) {
    return false;
  }
  Object& object = index_.object(id);
  if (object.Has(Object::kDoomed)) {
    return false;
  }
  CAIRN_CHECK(object.Has(Object::kHost) && !object.Has(Object::kQueued));
  const SlotHeader& header = arena_->Header(object.arena_offset());
  ColdWriter::Entry entry;
  entry.cookie = id;
  entry.record = RecordOf(id);
  entry.record.digest = {.low = header.digest_low, .high = header.digest_high};
  entry.record.coded = object.Has(Object::kCoded);
  entry.bytes = arena_->Payload(object.arena_offset()).first(object.bytes);
  entry.durable = durable;
  if (durable != nullptr) {
    durable->Add(1);
  }
  if (!writer_->Push(std::move(entry))) {
    if (deferred_.size() < kMaxDeferred) {
      deferred_.emplace_back(id, header.generation);
    } else {
      stats_.cold_queue_dropped += 1;
    }
    if (durable != nullptr) {
      durable->Done(ErrorCode::kOk);  // The item's own code says that it was refused.
    }
    return false;
  }
  object.Set(Object::kQueued);
  object.Reset(Object::kHit);
  object.io_pins += 1;
  return true;
}

void Cache::QueueDeferred() {
  while (!deferred_.empty()) {
    const auto [id, generation] = deferred_.front();
    deferred_.pop_front();
    const Object& object = index_.object(id);
    const bool same = object.Has(Object::kHost) && !object.Has(Object::kDoomed) &&
                      arena_->Header(object.arena_offset()).generation == generation;
    if (!same) {
      stats_.cold_queue_dropped += 1;  // It left memory before the SSD had time for it.
    } else if (!object.Has(Object::kCold | Object::kQueued) && !QueueForCold(id, nullptr)) {
      return;  // Full again; it went to the back.
    }
  }
}

Status Cache::OnColdWritten(const ColdWriter::Entry& entry, const Result<ColdLocation>& location) {
  NamespaceId name_space = 0;
  bool doomed = false;
  {
    const MutexLock lock(mu_);
    Object& object = index_.object(entry.cookie);
    CAIRN_CHECK(object.Has(Object::kQueued));
    name_space = index_.node(object.node).name_space;
    doomed = object.Has(Object::kDoomed);
    object.Reset(Object::kQueued);
    if (location && !doomed && !object.Has(Object::kCold)) {
      object.cold = *location;
      object.Set(Object::kCold);
      stats_.cold.bytes[Index(object.kind)] += object.bytes;
      stats_.cold.objects[Index(object.kind)] += 1;
    }
    UnpinIo(entry.cookie);
    QueueDeferred();
  }
  if (location && doomed) {
    cold_->Drop(*location);
    return Fail(ErrorCode::kCorrupt, "found corrupt while it was written");
  }
  return location ? StoreNamespace(name_space) : Status();
}

void Cache::ForgetCold(ObjectId id) {
  Object& object = index_.object(id);
  CAIRN_CHECK(object.Has(Object::kCold));
  object.Reset(Object::kCold);
  stats_.cold.bytes[Index(object.kind)] -= object.bytes;
  stats_.cold.objects[Index(object.kind)] -= 1;
  if (!object.Has(Object::kHost) && object.io_pins == 0) {
    index_.RemoveObject(id);
  }
}

void Cache::OnColdGone(std::span<const ColdGone> gone) {
  const MutexLock lock(mu_);
  for (const auto& [id, location] : gone) {
    Object& object = index_.object(id);
    if (!object.Has(Object::kCold) || object.cold != location) {
      continue;  // Dropped meanwhile; the number may name another object by now.
    }
    stats_.evictions[static_cast<std::size_t>(EvictReason::kColdSegment)] += 1;
    const bool wanted = object.Has(Object::kHost) && object.Has(Object::kHit);
    ForgetCold(id);
    // Read since it was written and still in host memory: worth a place in a newer segment.
    if (wanted && !object.Has(Object::kQueued)) {
      QueueForCold(id, nullptr);
    }
  }
}

Cache::Filling::Filling(Filling&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)),
      token_(other.token_),
      target_(other.target_),
      digester_(other.digester_) {}

Cache::Filling::~Filling() {
  if (cache_ != nullptr) {
    cache_->EndFill(token_, 0, digester_);
  }
}

void Cache::Filling::Done() {
  digester_.Update(target_);
  std::exchange(cache_, nullptr)->EndFill(token_, target_.size(), digester_);
}

void Cache::Filling::CopyFrom(std::span<const std::byte> source) {
  CAIRN_CHECK(source.size() == target_.size());
  digester_.CopyAndUpdate(target_, source);
  std::exchange(cache_, nullptr)->EndFill(token_, target_.size(), digester_);
}

}  // namespace cairn
