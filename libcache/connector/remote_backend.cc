#include <algorithm>
#include <iterator>
#include <unordered_set>

#include "libcache/connector/backend.h"
#include "libcache/connector/device_port.h"
#include "libcache/transport/channel.h"
#include "libcache/transport/data_plane.h"

namespace cairn {
namespace {

void SetKey(std::string* field, const PrefixKey& key) {
  field->assign(reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size());
}

v1::Kind ToProto(ObjectKind kind) {
  return kind == ObjectKind::kKv ? v1::KIND_KV : v1::KIND_CHECKPOINT;
}

tl::unexpected<Error> Malformed(const char* what) {
  return Fail(ErrorCode::kCorrupt, std::string("the daemon's answer to ") + what + " is malformed");
}

ObjectView ToView(const v1::ObjectRef& from) {
  return {.kind = from.kind() == v1::KIND_KV ? ObjectKind::kKv : ObjectKind::kCheckpoint,
          .position = from.position(),
          .tokens = from.tokens(),
          .bytes = from.bytes(),
          .digest = {.low = from.digest_low(), .high = from.digest_high()},
          .arena_offset = from.arena_offset(),
          .generation = from.generation(),
          .device = {.extent = from.device_extent(),
                     .slot = from.device_slot(),
                     .offset = from.device_offset(),
                     .generation = from.device_generation()}};
}

std::vector<ObjectView> ToViews(const google::protobuf::RepeatedPtrField<v1::ObjectRef>& refs) {
  std::vector<ObjectView> views;
  views.reserve(static_cast<std::size_t>(refs.size()));
  std::transform(refs.begin(), refs.end(), std::back_inserter(views), ToView);
  return views;
}

// A boundary in memory with more objects than this is fetched with a call of its own: the list is
// then long, and its bytes take much longer than the round trip.
constexpr std::uint32_t kObjectsWithMatch = 16;

/// So that something else may be tried in the other half.
TimePoint Halfway(TimePoint deadline) {
  const TimePoint now = SteadyClock::Instance().Now();
  return now + (deadline - now) / 2;
}

class Remote final : public Backend {
 public:
  explicit Remote(Channel channel) : channel_(std::move(channel)) {}

  /// Device memory comes beside the other plane, where both sides can.
  void AttachDevice(const std::shared_ptr<DevicePort>& port) override {
    device_.reset();
    port_ = port;
    if (port_ == nullptr) {
      return;
    }
    auto opened = DevicePlane::Open(channel_, *port_);
    if (opened) {
      device_ = std::move(*opened);
    } else {
      no_device_ = opened.error();
    }
  }

  [[nodiscard]] Status DeviceState() const override {
    if (port_ == nullptr) {
      return Fail(ErrorCode::kUnsupported, "no device is attached; attach one first");
    }
    return device_ != nullptr ? port_->Health() : Fail(no_device_);
  }

  Status OpenPlane(PlaneChoice choice, bool without_ucx, TimePoint deadline) {
    if (choice == PlaneChoice::kAuto || choice == PlaneChoice::kShm) {
      auto shm = OpenShmPlane(channel_, deadline);
      if (shm) {
        plane_ = std::move(*shm);
        return {};
      }
      if (choice == PlaneChoice::kShm || channel_.broken()) {
        return Fail(shm.error());
      }
    }
    if (choice == PlaneChoice::kUcx ||
        (choice == PlaneChoice::kAuto && !without_ucx && OffersUcx())) {
      auto ucx = OpenUcxPlane(channel_, choice == PlaneChoice::kUcx ? deadline : Halfway(deadline));
      if (ucx) {
        plane_ = std::move(*ucx);
        return {};
      }
      // UCX that is still looking for its devices may do the next time.
      no_ucx_ = channel_.broken() || ucx.error().code != ErrorCode::kDeadlineExceeded;
      if (choice == PlaneChoice::kUcx || channel_.broken()) {
        return Fail(ucx.error());
      }
    }
    auto stream = OpenStreamPlane(channel_, deadline);
    if (!stream) {
      return Fail(stream.error());
    }
    plane_ = std::move(*stream);
    return {};
  }

  [[nodiscard]] std::string_view PlaneName() const override { return plane_->Name(); }
  [[nodiscard]] bool Alive() const override { return !channel_.broken() && !plane_lost_; }
  [[nodiscard]] bool UcxFailed() const override {
    return no_ucx_ || (plane_ != nullptr && !Alive() && !plane_->Proven());
  }
  /// A connection before this one was lost over UCX.
  void NoteUcxFailed() { no_ucx_ = true; }

  Result<Namespace> OpenNamespace(const NamespaceSpec& spec, TimePoint deadline) override {
    v1::Request request;
    v1::OpenNamespace& open = *request.mutable_open_namespace();
    open.set_tenant(spec.tenant);
    open.set_model(spec.model);
    open.set_revision(spec.revision);
    open.set_dtype(spec.dtype);
    open.set_layout(spec.layout);
    open.set_kernel(spec.kernel);
    open.set_adapter(spec.adapter);
    open.set_tp_rank(spec.tp_rank);
    open.set_tp_size(spec.tp_size);
    open.set_salt(spec.salt);
    open.set_block_tokens(spec.block_tokens);
    open.set_kv_bytes_per_token(spec.kv_bytes_per_token);
    open.set_checkpoint_bytes(spec.checkpoint_bytes);
    open.set_grid_tokens(spec.grid_tokens);
    open.set_fidelity(static_cast<v1::Fidelity>(spec.fidelity));
    open.set_checkpoint_shape(spec.checkpoint_shape);
    open.set_kv_shape(spec.kv_shape);
    const auto response = channel_.Call(request, deadline);
    if (!response) {
      return Fail(response.error());
    }
    if (response->open_namespace().fidelity() != open.fidelity()) {
      return Fail(ErrorCode::kUnsupported,
                  "fidelity: the daemon is too old for a namespace that is not exact; update it");
    }
    Namespace opened;
    opened.id = response->open_namespace().namespace_id();
    opened.grid_tokens = response->open_namespace().grid_tokens();
    if (!opened.seed.Assign(response->open_namespace().seed())) {
      return Malformed("OpenNamespace");
    }
    return opened;
  }

  Result<MatchResult> Match(std::uint32_t name_space, std::uint64_t request_id,
                            std::span<const PrefixKey> keys, std::uint32_t prompt_tokens,
                            TimePoint deadline) override {
    v1::Request request = MatchFor(name_space, request_id, keys, prompt_tokens);
    match_sent_ = SteadyClock::Instance().Now();
    const Status sent = channel_.Send(request, {}, deadline);
    return sent ? AwaitMatch(deadline) : Fail(sent.error());
  }

  Status SendMatch(std::uint32_t name_space, std::uint64_t request_id,
                   std::span<const PrefixKey> keys, std::uint32_t prompt_tokens,
                   TimePoint deadline) override {
    v1::Request request = MatchFor(name_space, request_id, keys, prompt_tokens);
    request.mutable_match()->set_purpose(v1::MATCH_PURPOSE_COMPARE);
    match_sent_ = SteadyClock::Instance().Now();
    return channel_.Send(request, {}, deadline);
  }

  Status TellMatch(std::uint32_t name_space, std::uint64_t request_id,
                   std::span<const PrefixKey> keys, std::uint32_t prompt_tokens,
                   TimePoint deadline) override {
    v1::Request request = MatchFor(name_space, request_id, keys, prompt_tokens);
    request.mutable_match()->set_purpose(v1::MATCH_PURPOSE_OVERHEAR);
    return channel_.Post(request, TellBy(deadline));
  }

  Result<MatchResult> AwaitMatch(TimePoint deadline) override {
    const auto response = channel_.Receive(deadline);
    if (!response) {
      return Fail(response.error());
    }
    const v1::MatchReply& reply = response->match();
    MatchResult result;
    result.state = static_cast<MatchState>(reply.state());
    result.lease = reply.lease_id();
    result.best = reply.best();
    result.plan.assign(reply.plan().begin(), reply.plan().end());
    result.overlap_tokens = reply.overlap_tokens();
    result.kv_tokens = reply.kv_tokens();
    result.load_permille = reply.load_permille();
    result.boundaries.reserve(static_cast<std::size_t>(reply.boundaries_size()));
    for (const v1::Boundary& from : reply.boundaries()) {
      Boundary& to = result.boundaries.emplace_back();
      to.position = from.position();
      to.tier = static_cast<TierKind>(from.tier());
      to.bytes = from.bytes();
      to.estimated_load_us = from.estimated_load_us();
      to.tail = !from.tail_key().empty();
      if (to.tail && !to.tail_key.Assign(from.tail_key())) {
        return Malformed("Match");
      }
    }
    if (result.lease != 0 && result.best >= result.boundaries.size()) {
      return Malformed("Match");
    }
    ready_ = {};
    if (result.lease != 0 && !reply.objects().empty()) {
      ready_ = {.lease = result.lease,
                .until = match_sent_ + std::chrono::milliseconds(channel_.hello().lease_ms()),
                .position = result.boundaries[result.best].position,
                .objects = ToViews(reply.objects())};
    }
    return result;
  }

  Result<std::vector<ObjectView>> Fetch(LeaseId lease, const Fetched& what,
                                        TimePoint deadline) override {
    if (lease == ready_.lease && what.position == ready_.position && what.tail_key == nullptr &&
        what.from_position == 0 && SteadyClock::Instance().Now() < ready_.until) {
      used_.insert(lease);
      return ready_.objects;
    }
    if (lease == ready_.lease) {
      ready_.objects.clear();  // The daemon counts objects by the last fetch from now on.
      ready_.until = {};
    }
    v1::Request request;
    v1::Fetch& fetch = *request.mutable_fetch();
    fetch.set_lease_id(lease);
    fetch.set_position(what.position);
    fetch.set_from_position(what.from_position);
    if (what.tail_key != nullptr) {
      SetKey(fetch.mutable_tail_key(), *what.tail_key);
    }
    const auto response = channel_.Call(request, deadline);
    if (!response) {
      return Fail(response.error());
    }
    return ToViews(response->fetch().objects());
  }

  Status Read(LeaseId lease, std::uint32_t index, const ObjectView& object, Pieces target,
              TimePoint deadline) override {
    const Status got = plane_->Get(ToPlane(lease, index, object), target, deadline);
    return got ? got : Failed(lease, index, got.error(), deadline);
  }

  Status ReadAll(LeaseId lease, std::span<const ObjectView> objects, const TargetOf& target,
                 TimePoint deadline) override {
    std::vector<PlaneObject> wanted;
    wanted.reserve(objects.size());
    for (const ObjectView& object : objects) {
      wanted.push_back(ToPlane(lease, static_cast<std::uint32_t>(wanted.size()), object));
    }
    bool refused = false;
    const TargetOf target_of = [&](std::size_t i) {
      auto memory = target(i);
      refused = !memory;
      return memory;
    };
    std::size_t whole = 0;
    Status got = plane_->GetAll(wanted, target_of, whole, deadline);
    if (got || refused) {  // Which says nothing of the plane.
      return got;
    }
    return Failed(lease, static_cast<std::uint32_t>(whole), got.error(), deadline);
  }

  Status ReadOnDevice(LeaseId lease, std::uint32_t index, const ObjectView& object,
                      std::uint64_t target, TimePoint deadline) override {
    if (const Status reads = DeviceState(); !reads) {
      return reads;
    }
    if (object.device.extent == 0) {
      return Fail(ErrorCode::kUnsupported, "the object is not in device memory");
    }
    const DeviceObject wanted{.lease = lease,
                              .extent = object.device.extent,
                              .slot = object.device.slot,
                              .offset = object.device.offset,
                              .generation = object.device.generation,
                              .bytes = object.bytes};
    bool wrong = false;
    Status got = device_->Get(
        wanted,
        [&](std::uint64_t mapping) {
          Status copied = port_->Copy(mapping, object.device.offset, object, target, deadline);
          wrong = !copied && copied.error().code == ErrorCode::kCorrupt;
          return copied;
        },
        deadline);
    if (wrong) {
      v1::Request request;
      request.mutable_report_corrupt()->set_lease_id(lease);
      request.mutable_report_corrupt()->set_index(index);
      request.mutable_report_corrupt()->set_on_device(true);
      static_cast<void>(channel_.Post(request, deadline));
    }
    return got;
  }

  Status ReportCorrupt(LeaseId lease, std::uint32_t index, TimePoint deadline) override {
    v1::Request request;
    request.mutable_report_corrupt()->set_lease_id(lease);
    request.mutable_report_corrupt()->set_index(index);
    const auto response = channel_.Call(request, deadline);
    return response ? Status() : Fail(response.error());
  }

  Status Release(LeaseId lease, TimePoint deadline) override {
    v1::Request request;
    request.mutable_release()->set_lease_id(lease);
    request.mutable_release()->set_used(used_.erase(lease) != 0);
    if (lease == ready_.lease) {
      ready_ = {};
    }
    return channel_.Post(request, deadline);
  }

  Status Decline(LeaseId lease, TimePoint deadline) override {
    v1::Request request;
    request.mutable_release()->set_lease_id(lease);
    request.mutable_release()->set_declined(true);
    ready_ = {};
    return channel_.Post(request, TellBy(deadline));
  }

  Result<std::vector<ReserveOutcome>> Reserve(std::uint32_t name_space, std::uint64_t request_id,
                                              std::span<const ReserveItem> items,
                                              TimePoint deadline) override {
    v1::Request request;
    v1::Reserve& reserve = *request.mutable_reserve();
    reserve.set_namespace_id(name_space);
    reserve.set_request_id(request_id);
    for (const ReserveItem& from : items) {
      v1::ReserveItem& to = *reserve.add_items();
      to.set_kind(ToProto(from.kind));
      SetKey(to.mutable_key(), from.key);
      SetKey(to.mutable_parent_key(), from.parent);
      to.set_position(from.position);
      to.set_bytes(from.bytes);
    }
    const auto response = channel_.Call(request, deadline);
    if (!response) {
      return Fail(response.error());
    }
    std::vector<ReserveOutcome> outcomes;
    for (const v1::ReserveOutcome& from : response->reserve().outcomes()) {
      outcomes.push_back({.code = static_cast<ErrorCode>(from.code()), .token = from.token()});
    }
    if (outcomes.size() != items.size()) {
      return Malformed("Reserve");
    }
    return outcomes;
  }

  Result<Digest> Write(std::uint64_t token, std::span<const std::byte> bytes,
                       TimePoint deadline) override {
    auto digest = plane_->Put(token, bytes, deadline);
    if (!digest) {
      NotePlane(digest.error().code);
    }
    return digest;
  }

  Result<std::vector<ErrorCode>> Commit(std::span<const CommitItem> items, bool durable,
                                        TimePoint deadline) override {
    v1::Request request;
    request.mutable_commit()->set_durable(durable);
    for (const CommitItem& from : items) {
      v1::CommitItem& to = *request.mutable_commit()->add_items();
      to.set_token(from.token);
      to.set_digest_low(from.digest.low);
      to.set_digest_high(from.digest.high);
    }
    const auto response = channel_.Call(request, deadline);
    if (!response) {
      return Fail(response.error());
    }
    std::vector<ErrorCode> codes;
    for (const std::uint32_t code : response->commit().codes()) {
      codes.push_back(static_cast<ErrorCode>(code));
    }
    if (codes.size() != items.size()) {
      return Malformed("Commit");
    }
    return codes;
  }

  Status Abort(std::span<const std::uint64_t> tokens, TimePoint deadline) override {
    v1::Request request;
    for (const std::uint64_t token : tokens) {
      request.mutable_abort()->add_tokens(token);
    }
    return CallForStatus(request, deadline);
  }

  Status Observe(std::uint32_t name_space, std::uint64_t request_id, const Observation& observation,
                 TimePoint deadline) override {
    v1::Request request;
    v1::Observe& observe = *request.mutable_observe();
    observe.set_namespace_id(name_space);
    observe.set_request_id(request_id);
    observe.set_prompt_tokens(observation.prompt_tokens);
    observe.set_overlap_tokens(observation.overlap_tokens);
    observe.set_resumed_at(observation.resumed_at);
    observe.set_gap_tokens(observation.gap_tokens);
    observe.set_load_us(observation.load_us);
    observe.set_recompute_us(observation.recompute_us);
    observe.set_tier(static_cast<v1::Tier>(observation.tier));
    observe.set_failed(observation.failed);
    return CallForStatus(request, deadline);
  }

 private:
  /// A daemon that has not taken in what it was told last is told no more than fits at once.
  [[nodiscard]] TimePoint TellBy(TimePoint limit) const {
    return channel_.Behind() ? TimePoint() : limit;
  }
  v1::Request MatchFor(std::uint32_t name_space, std::uint64_t request_id,
                       std::span<const PrefixKey> keys, std::uint32_t prompt_tokens) const {
    v1::Request request;
    v1::Match& match = *request.mutable_match();
    match.set_namespace_id(name_space);
    match.set_request_id(request_id);
    match.set_prompt_tokens(prompt_tokens);
    match.set_want_objects(kObjectsWithMatch);
    match.set_want_device(DeviceState().has_value());
    match.mutable_keys()->assign(reinterpret_cast<const char*>(keys.data()),
                                 keys.size() * sizeof(PrefixKey));
    return request;
  }

  [[nodiscard]] bool OffersUcx() const {
    const auto& planes = channel_.hello().planes();
    return std::find(planes.begin(), planes.end(), v1::PLANE_UCX) != planes.end();
  }

  Status CallForStatus(v1::Request& request, TimePoint deadline) {
    const auto response = channel_.Call(request, deadline);
    if (!response) {
      return Fail(response.error());
    }
    return {};
  }

  static PlaneObject ToPlane(LeaseId lease, std::uint32_t index, const ObjectView& object) {
    return {.lease = lease,
            .index = index,
            .bytes = object.bytes,
            .digest = object.digest,
            .arena_offset = object.arena_offset,
            .generation = object.generation};
  }

  /// What becomes of an object that did not come.
  tl::unexpected<Error> Failed(LeaseId lease, std::uint32_t index, const Error& error,
                               TimePoint deadline) {
    if (error.code == ErrorCode::kCorrupt) {
      static_cast<void>(ReportCorrupt(lease, index, deadline));
    }
    NotePlane(error.code);
    return Fail(error);
  }

  void NotePlane(ErrorCode code) {
    plane_lost_ =
        plane_lost_ || code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded;
  }

  // What came with the last match: its fetch, should it be of the best boundary from 0.
  struct Ready {
    LeaseId lease = 0;
    TimePoint until;  // The lease's end at the earliest; afterwards the daemon is asked.
    std::uint32_t position = 0;
    std::vector<ObjectView> objects;
  };

  Channel channel_;
  TimePoint match_sent_;
  Ready ready_;
  std::unordered_set<LeaseId> used_;  // Loaded with what came along; said with their release.
  std::unique_ptr<DataPlane> plane_;  // Uses channel_.
  std::shared_ptr<DevicePort> port_;
  std::unique_ptr<DevicePlane> device_;  // Uses channel_ and port_. Null: none, or not wanted.
  Error no_device_;                      // Why there is none although there is a port.
  bool plane_lost_ = false;
  bool no_ucx_ = false;  // It was tried, and the stream took its place.
};

Result<std::unique_ptr<Remote>> OpenRemote(const Endpoint& endpoint, const Connecting& connecting,
                                           TimePoint deadline) {
  Channel::Greeting greeting;
  greeting.client = connecting.client;
  greeting.tls = connecting.tls;
  auto channel = Channel::Open(endpoint, greeting, deadline);
  if (!channel) {
    return Fail(channel.error());
  }
  return std::make_unique<Remote>(std::move(*channel));
}

}  // namespace

Result<std::unique_ptr<Backend>> ConnectBackend(const Endpoint& endpoint,
                                                const Connecting& connecting, TimePoint deadline) {
  auto remote = OpenRemote(endpoint, connecting, deadline);
  if (!remote) {
    return Fail(remote.error());
  }
  Status opened = (*remote)->OpenPlane(connecting.plane, connecting.without_ucx, deadline);
  if (!opened && connecting.plane == PlaneChoice::kAuto && (*remote)->UcxFailed()) {
    // It took the connection along. By another one the stream may do.
    remote = OpenRemote(endpoint, connecting, deadline);
    if (!remote) {
      return Fail(remote.error());
    }
    (*remote)->NoteUcxFailed();
    opened = (*remote)->OpenPlane(PlaneChoice::kAuto, true, deadline);
  }
  if (!opened) {
    return Fail(opened.error());
  }
  (*remote)->AttachDevice(connecting.device);
  return remote;
}

}  // namespace cairn
