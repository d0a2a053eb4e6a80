// One function per request of a control connection.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "services/cairnd/session.h"

namespace cairn::server {
namespace {

// Copies and hashes below this are done in place: handing them over costs more.
constexpr std::uint64_t kInPlaceBytes = 64 * 1024;
// They are worked on under the cache's lock.
constexpr int kMaxItems = 16'384;
// For callers that send none.
constexpr std::uint32_t kDefaultDeadlineMs = 30'000;

tl::unexpected<Error> TooMany() {
  return Fail(ErrorCode::kInvalidArgument,
              "items: at most " + std::to_string(kMaxItems) + " in one request");
}

tl::unexpected<Error> BadKey(const char* field) {
  return Fail(ErrorCode::kInvalidArgument, std::string(field) + ": a key has 32 bytes");
}

TimePoint DeadlineOf(const v1::Request& request) {
  const std::uint32_t ms = request.deadline_ms() == 0 ? kDefaultDeadlineMs : request.deadline_ms();
  return SteadyClock::Instance().Now() + std::chrono::milliseconds(ms);
}

/// Names come from engines; a log line is one line, and steers no terminal.
std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7E;
      },
      '?');
  return text;
}

v1::Kind ToProto(ObjectKind kind) {
  return kind == ObjectKind::kKv ? v1::KIND_KV : v1::KIND_CHECKPOINT;
}

// One that this daemon does not know is served as any match.
MatchPurpose PurposeOf(v1::MatchPurpose purpose) {
  switch (purpose) {
    case v1::MATCH_PURPOSE_COMPARE: return MatchPurpose::kCompare;
    case v1::MATCH_PURPOSE_OVERHEAR: return MatchPurpose::kOverhear;
    default: return MatchPurpose::kServe;
  }
}

void AddRefs(std::span<const ObjectView> views,
             google::protobuf::RepeatedPtrField<v1::ObjectRef>& refs) {
  refs.Reserve(static_cast<int>(views.size()));
  std::uint32_t index = 0;
  for (const ObjectView& from : views) {
    v1::ObjectRef& to = *refs.Add();
    to.set_kind(ToProto(from.kind));
    to.set_position(from.position);
    to.set_tokens(from.tokens);
    to.set_bytes(from.bytes);
    to.set_digest_low(from.digest.low);
    to.set_digest_high(from.digest.high);
    to.set_arena_offset(from.arena_offset);
    to.set_generation(from.generation);
    to.set_index(index++);
    if (from.device.extent != 0) {
      to.set_device_extent(from.device.extent);
      to.set_device_slot(from.device.slot);
      to.set_device_offset(from.device.offset);
      to.set_device_generation(from.device.generation);
    }
  }
}

}  // namespace

asio::awaitable<Status> Session::Answer(const v1::Request& request, v1::Response& response) {
  if (request.has_fetch()) {
    co_return co_await HandleFetch(request, response);
  }
  if (request.has_write()) {
    response.mutable_empty();
    co_return co_await HandleWrite(request.write());
  }
  if (request.has_attach_ucx() || request.has_ucx_get() || request.has_ucx_put()) {
    co_return co_await HandleUcx(request, response);
  }
  if (request.has_commit()) {
    co_return co_await HandleCommit(request, response);
  }
  if (request.has_admin()) {
    co_return co_await HandleAdmin(request, response);
  }
  if (request.has_open_namespace()) {
    co_return co_await HandleOpen(request.open_namespace(), response);
  }
  if (request.has_report_corrupt()) {
    response.mutable_empty();
    co_return co_await HandleReportCorrupt(request.report_corrupt());
  }
  co_return AnswerAtOnce(request, response);
}

Status Session::AnswerAtOnce(const v1::Request& request, v1::Response& response) {
  switch (request.body_case()) {
    case v1::Request::kMatch: return HandleMatch(request.match(), *response.mutable_match());
    case v1::Request::kRelease:
      response.mutable_empty();
      if (request.release().declined()) {
        context_.cache->Decline(session_, request.release().lease_id());
        return {};
      }
      return context_.cache->Release(session_, request.release().lease_id(),
                                     request.release().used());
    case v1::Request::kReserve:
      return HandleReserve(request.reserve(), *response.mutable_reserve());
    case v1::Request::kAbort: {
      response.mutable_empty();
      const std::vector<std::uint64_t> tokens(request.abort().tokens().begin(),
                                              request.abort().tokens().end());
      context_.cache->Abort(session_, tokens);
      return {};
    }
    case v1::Request::kObserve: response.mutable_empty(); return HandleObserve(request.observe());
    default:
      return Fail(ErrorCode::kUnsupported,
                  "this daemon does not know the request; it may be older than the client");
  }
}

asio::awaitable<Status> Session::HandleOpen(const v1::OpenNamespace& open, v1::Response& response) {
  const auto fidelity = FidelityOf(open.fidelity());
  if (!fidelity) {
    co_return Fail(fidelity.error().code, "fidelity: " + fidelity.error().message);
  }
  const auto tenant = TenantFor(open.tenant());
  if (!tenant) {
    co_return Fail(tenant.error());
  }
  const NamespaceSpec spec{.tenant = *tenant,
                           .model = open.model(),
                           .revision = open.revision(),
                           .dtype = open.dtype(),
                           .layout = open.layout(),
                           .kernel = open.kernel(),
                           .adapter = open.adapter(),
                           .tp_rank = open.tp_rank(),
                           .tp_size = open.tp_size(),
                           .salt = open.salt(),
                           .block_tokens = open.block_tokens(),
                           .kv_bytes_per_token = open.kv_bytes_per_token(),
                           .checkpoint_bytes = open.checkpoint_bytes(),
                           .grid_tokens = open.grid_tokens(),
                           .fidelity = *fidelity,
                           .checkpoint_shape = open.checkpoint_shape(),
                           .kv_shape = open.kv_shape()};
  // A new one is written to the SSD: not on the I/O thread.
  const auto opened = std::make_shared<Result<Cache::OpenedNamespace>>(Cache::OpenedNamespace());
  Cache* const cache = context_.cache;
  const std::function<void()> work = [opened, cache, spec] {
    *opened = cache->OpenNamespace(spec);
  };
  co_await RunOn(*context_.workers, work);
  if (!*opened) {
    co_return Fail(opened->error());
  }
  namespaces_[(*opened)->id] = (*opened)->grid_tokens;
  v1::OpenNamespaceReply& reply = *response.mutable_open_namespace();
  reply.set_namespace_id((*opened)->id);
  reply.set_seed((*opened)->seed.bytes.data(), (*opened)->seed.bytes.size());
  reply.set_grid_tokens((*opened)->grid_tokens);
  reply.set_planner(std::string(context_.cache->planner_name()));
  reply.set_fidelity(open.fidelity());
  if (!(*opened)->notice.empty()) {
    spdlog::warn("ssd_codec_refused reason=\"{}\" effect=\"stored without loss\"",
                 Printable((*opened)->notice));
  }
  co_return Status{};
}

asio::awaitable<Status> Session::HandleReportCorrupt(const v1::ReportCorrupt& report) {
  // The SSD is told as well.
  const auto done = std::make_shared<Status>();
  Cache* const cache = context_.cache;
  const SessionId session = session_;
  const std::uint64_t lease = report.lease_id();
  const std::uint32_t index = report.index();
  const bool on_device = report.on_device();
  const std::function<void()> work = [done, cache, session, lease, index, on_device] {
    *done = on_device ? cache->ReportCorruptOnDevice(session, lease, index)
                      : cache->ReportCorrupt(session, lease, index);
  };
  co_await RunOn(*context_.workers, work);
  co_return *done;
}

Status Session::HandleMatch(const v1::Match& match, v1::MatchReply& reply) {
  const auto opened = namespaces_.find(match.namespace_id());
  if (opened == namespaces_.end()) {
    return Fail(ErrorCode::kInvalidArgument, "namespace_id: not opened on this connection");
  }
  if (match.keys().size() % PrefixKey::kBytes != 0) {
    return BadKey("keys");
  }
  keys_.resize(match.keys().size() / PrefixKey::kBytes);
  match.keys().copy(reinterpret_cast<char*>(keys_.data()), match.keys().size());  // May be none.
  const auto result = context_.cache->Match(session_, match.request_id(), match.namespace_id(),
                                            keys_, match.prompt_tokens(),
                                            {.grid_tokens = opened->second,
                                             .want_objects = match.want_objects(),
                                             .want_device = local_ && match.want_device(),
                                             .purpose = PurposeOf(match.purpose())});
  if (!result) {
    return Fail(result.error());
  }
  reply.set_state(static_cast<v1::MatchState>(result->state));
  reply.set_lease_id(result->lease);
  reply.set_best(result->best);
  reply.set_overlap_tokens(result->overlap_tokens);
  reply.set_kv_tokens(result->kv_tokens);
  reply.set_load_permille(result->load_permille);
  reply.mutable_plan()->Assign(result->plan.begin(), result->plan.end());
  reply.mutable_boundaries()->Reserve(static_cast<int>(result->boundaries.size()));
  for (const Boundary& from : result->boundaries) {
    v1::Boundary& to = *reply.add_boundaries();
    to.set_position(from.position);
    to.set_tier(static_cast<v1::Tier>(from.tier));
    to.set_bytes(from.bytes);
    to.set_estimated_load_us(from.estimated_load_us);
    if (from.tail) {
      to.set_tail_key(from.tail_key.bytes.data(), from.tail_key.bytes.size());
    }
  }
  AddRefs(result->objects, *reply.mutable_objects());
  return {};
}

Status Session::HandleReserve(const v1::Reserve& reserve, v1::ReserveReply& reply) {
  if (!namespaces_.contains(reserve.namespace_id())) {
    return Fail(ErrorCode::kInvalidArgument, "namespace_id: not opened on this connection");
  }
  if (reserve.items_size() > kMaxItems) {
    return TooMany();
  }
  std::vector<ReserveItem> items;
  items.reserve(static_cast<std::size_t>(reserve.items_size()));
  for (const v1::ReserveItem& from : reserve.items()) {
    ReserveItem& to = items.emplace_back();
    to.kind = from.kind() == v1::KIND_KV ? ObjectKind::kKv : ObjectKind::kCheckpoint;
    to.position = from.position();
    to.bytes = from.bytes();
    if (!to.key.Assign(from.key()) || !to.parent.Assign(from.parent_key())) {
      return BadKey("items.key");
    }
  }
  const auto outcomes =
      context_.cache->Reserve(session_, reserve.request_id(), reserve.namespace_id(), items);
  if (!outcomes) {
    return Fail(outcomes.error());
  }
  for (const ReserveOutcome& from : *outcomes) {
    v1::ReserveOutcome& to = *reply.add_outcomes();
    to.set_code(static_cast<std::uint32_t>(from.code));
    to.set_token(from.token);
  }
  return {};
}

Status Session::HandleObserve(const v1::Observe& observe) {
  if (!namespaces_.contains(observe.namespace_id())) {
    return Fail(ErrorCode::kInvalidArgument, "namespace_id: not opened on this connection");
  }
  return context_.cache->Observe(observe.namespace_id(),
                                 {.prompt_tokens = observe.prompt_tokens(),
                                  .overlap_tokens = observe.overlap_tokens(),
                                  .resumed_at = observe.resumed_at(),
                                  .gap_tokens = observe.gap_tokens(),
                                  .load_us = observe.load_us(),
                                  .recompute_us = observe.recompute_us(),
                                  .tier = static_cast<TierKind>(observe.tier()),
                                  .failed = observe.failed()});
}

asio::awaitable<Status> Session::HandleFetch(const v1::Request& request, v1::Response& response) {
  const v1::Fetch& fetch = request.fetch();
  PrefixKey tail;
  const bool has_tail = !fetch.tail_key().empty();
  if (has_tail && !tail.Assign(fetch.tail_key())) {
    co_return BadKey("tail_key");
  }
  const auto pending =
      context_.cache->StartFetch(session_, fetch.lease_id(), fetch.position(),
                                 has_tail ? &tail : nullptr, fetch.from_position());
  if (!pending) {
    co_return Fail(pending.error());
  }
  if (!(*pending)->IsDone()) {
    const TimePoint deadline = DeadlineOf(request);
    const auto in_time = co_await WaitDone(*pending, deadline);
    if (!in_time) {
      co_return Fail(ErrorCode::kDeadlineExceeded, "the SSD did not deliver in time");
    }
  }
  if (const ErrorCode failed = (*pending)->error(); failed != ErrorCode::kOk) {
    co_return Fail(failed, "the boundary could not be brought to memory");
  }
  const auto views = context_.cache->FinishFetch(session_, fetch.lease_id());
  if (!views) {
    co_return Fail(views.error());
  }
  AddRefs(*views, *response.mutable_fetch()->mutable_objects());
  co_return Status{};
}

asio::awaitable<Status> Session::HandleWrite(const v1::Write& write) {
  const std::uint64_t size = staging_ == nullptr ? 0 : staging_->memory().size();
  if (write.bytes() > size || write.staging_offset() > size - write.bytes()) {
    co_return Fail(ErrorCode::kInvalidArgument,
                   "staging_offset: outside of the staging memory of " + FormatBytes(size));
  }
  auto begun =
      context_.cache->BeginFill(session_, write.token(), write.object_offset(), write.bytes());
  if (!begun) {
    co_return Fail(begun.error());
  }
  const auto source = staging_->memory().subspan(write.staging_offset(), write.bytes());
  if (write.bytes() <= kInPlaceBytes) {
    begun->CopyFrom(source);
    co_return Status{};
  }
  // The session, and with it the staging memory, stays alive until the copy is over.
  const auto filling = std::make_shared<Cache::Filling>(std::move(*begun));
  const auto self = shared_from_this();
  const std::function<void()> copy = [filling, source, self] { filling->CopyFrom(source); };
  co_await RunOn(*context_.workers, copy);
  co_return Status{};
}

asio::awaitable<Status> Session::HandleCommit(const v1::Request& request, v1::Response& response) {
  if (request.commit().items_size() > kMaxItems) {
    co_return TooMany();
  }
  std::vector<CommitItem> items;
  items.reserve(static_cast<std::size_t>(request.commit().items_size()));
  for (const v1::CommitItem& from : request.commit().items()) {
    items.push_back(
        {.token = from.token(), .digest = {.low = from.digest_low(), .high = from.digest_high()}});
  }
  const bool durable = request.commit().durable();
  const auto result = context_.cache->Commit(session_, items, durable);
  if (result.durable != nullptr) {
    const TimePoint deadline = DeadlineOf(request);
    const auto in_time = co_await WaitDone(result.durable, deadline);
    if (!in_time) {
      co_return Fail(ErrorCode::kDeadlineExceeded, "the objects are readable, but not yet durable");
    }
    if (const ErrorCode failed = result.durable->error(); failed != ErrorCode::kOk) {
      co_return Fail(failed, "the objects are readable, but could not be made durable");
    }
    const auto whole = context_.cache->CheckDurable(result);
    if (!whole) {
      co_return Fail(whole.error().code,
                     "the objects are readable, but not durable: " + whole.error().message);
    }
  }
  for (const ErrorCode code : result.codes) {
    response.mutable_commit()->add_codes(static_cast<std::uint32_t>(code));
  }
  response.mutable_commit();
  co_return Status{};
}

asio::awaitable<Status> Session::HandleAdmin(const v1::Request& request, v1::Response& response) {
  if (!admin_allowed_) {
    co_return Fail(ErrorCode::kPermissionDenied,
                   "administration needs the Unix socket and the daemon's user or root, or TLS and "
                   "a certificate of --tls-admins");
  }
  if (request.admin().has_drain() && !awaits_end_) {
    awaits_end_ = true;
    context_.awaiting_end += 1;
  }
  // Trees and lists can be long: not on the I/O thread.
  const auto reply = std::make_shared<Result<v1::AdminReply>>(v1::AdminReply());
  const auto admin_request = std::make_shared<v1::AdminRequest>(request.admin());
  const auto handler = context_.admin;
  const std::function<void()> work = [reply, admin_request, handler] {
    *reply = handler(*admin_request);
  };
  co_await RunOn(*context_.workers, work);
  if (!*reply) {
    co_return Fail(reply->error());
  }
  *response.mutable_admin() = std::move(**reply);
  co_return Status{};
}

}  // namespace cairn::server
