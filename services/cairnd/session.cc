#include "services/cairnd/session.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "libcache/model/secure_random.h"
#include "libcache/transport/frame.h"

namespace cairn::server {
namespace {

constexpr std::span<const std::byte> kNoPayload;
constexpr std::chrono::seconds kHelloLimit{5};
constexpr std::chrono::seconds kForEver{0};
// There are few places that are kept for administration.
constexpr std::chrono::seconds kReservedIdleLimit{30};

void SetError(v1::Response& response, const Error& error) {
  response.clear_body();
  response.set_code(static_cast<std::uint32_t>(error.code));
  response.set_message(error.message);
}

}  // namespace

std::string TokenRegistry::Issue(SessionId session, const std::string& identity) {
  std::string token(16, '\0');
  // Whoever shows a token reads under that session's leases, so it must not be guessable.
  FillRandom(std::as_writable_bytes(std::span(token)));
  const MutexLock lock(mu_);
  sessions_.emplace(token, Owner{.session = session, .identity = identity});
  return token;
}

void TokenRegistry::Revoke(const std::string& token) {
  const MutexLock lock(mu_);
  sessions_.erase(token);
}

std::optional<SessionId> TokenRegistry::Find(const std::string& token,
                                             const std::string& identity) const {
  const MutexLock lock(mu_);
  const auto it = sessions_.find(token);
  return it == sessions_.end() || it->second.identity != identity
             ? std::nullopt
             : std::optional(it->second.session);
}

bool Session::MayAdminister(unsigned uid) { return uid == 0 || uid == geteuid(); }

Session::Session(SessionContext& context, StreamSocket socket, const Origin& origin)
    : context_(context),
      connection_(std::move(socket)),
      local_(origin.local),
      reserved_(origin.reserved),
      admin_allowed_(origin.local && MayAdminister(origin.peer_uid)) {}

void Session::Arrive() {
  const auto executor = connection_.socket().get_executor();
  newcomer_ = context_.newcomers.Enter([weak = weak_from_this(), executor] {
    asio::post(executor, [weak] {
      if (const auto session = weak.lock(); session != nullptr && !session->greeted_) {
        session->Close();
      }
    });
  });
}

asio::awaitable<void> Session::Run() {
  const auto self = shared_from_this();  // Alive until the last co_await below has returned.
  if (context_.tls != nullptr && !local_) {
    const auto secured = co_await Secure();
    if (!secured) {
      connection_.Close();
      co_return;
    }
  }
  const auto greeted = co_await Greet();
  if (!greeted) {
    connection_.Close();
    co_return;
  }
  greeted_ = true;
  newcomer_ = Crowd::Slot();
  if (data_) {
    context_.stream_connections += 1;
    co_await ServeData();
    context_.stream_connections -= 1;
  } else {
    co_await ServeControl();
    context_.shm_connections -= staging_ != nullptr ? 1 : 0;
    ucx_.reset();
    context_.tokens->Revoke(token_);
    context_.cache->EndSession(session_);
  }
  context_.awaiting_end -= awaits_end_ ? 1 : 0;
  connection_.Close();
}

asio::awaitable<Status> Session::Refuse(const v1::Request& request, const Error& error) {
  v1::Response response;
  response.set_id(request.id());
  SetError(response, error);
  co_return co_await connection_.Write(response, kNoPayload);
}

asio::awaitable<bool> Session::Greet() {
  v1::Request request;
  const auto read = co_await connection_.ReadRequest(request, kMaxHelloBytes, kHelloLimit);
  Error error;
  if (!read) {
    context_.refused_frames += 1;
    spdlog::debug("connection refused: {}", ToString(read.error()));
    if (read.error().code == ErrorCode::kUnavailable) {
      co_return false;
    }
    request.set_id(1);
    error = read.error();
  } else if (const Status admitted = Admit(request); !admitted) {
    error = admitted.error();
  }
  if (error.code != ErrorCode::kInternal) {
    const auto refused = co_await Refuse(request, error);
    static_cast<void>(refused);
    co_return false;
  }
  v1::Response response;
  response.set_id(request.id());
  v1::HelloReply& reply = *response.mutable_hello();
  reply.set_protocol_version(kProtocolVersion);
  reply.set_server_version(CAIRN_VERSION);
  reply.set_max_frame_bytes(kMaxFrameBytes);
  reply.set_lease_ms(context_.lease_ms);
  if (local_) {
    reply.add_planes(v1::PLANE_SHARED_MEMORY);
    if (context_.has_device) {
      reply.add_planes(v1::PLANE_DEVICE);
      *reply.mutable_device() = context_.device;
    }
  }
  if (MayUseUcx()) {
    reply.add_planes(v1::PLANE_UCX);
    reply.set_ucx_transports(context_.ucx->transports());
  }
  reply.add_planes(v1::PLANE_STREAM);
  if (!data_) {
    session_ = context_.cache->BeginSession();
    token_ = context_.tokens->Issue(session_, peer_ ? peer_->identity : "");
    reply.set_session_id(session_);
    reply.set_session_token(token_);
  }
  const auto sent = co_await connection_.Write(response, kNoPayload);
  if (!sent && !data_) {
    context_.tokens->Revoke(token_);
    context_.cache->EndSession(session_);
  }
  co_return sent.has_value();
}

Status Session::Admit(const v1::Request& request) {
  if (stranger_) {
    return Fail(*stranger_);
  }
  if (!request.has_hello()) {
    return Fail(ErrorCode::kInvalidArgument, "the first message must be Hello");
  }
  const v1::Hello& hello = request.hello();
  if (hello.protocol_version() != kProtocolVersion) {
    return Fail(ErrorCode::kUnsupported,
                "protocol version " + std::to_string(hello.protocol_version()) +
                    "; this daemon speaks " + std::to_string(kProtocolVersion));
  }
  admin_only_ = hello.role() == v1::ROLE_ADMIN;
  if (reserved_ && !admin_only_) {
    return Fail(ErrorCode::kUnavailable,
                "the daemon has as many connections as --max-connections allows");
  }
  if (hello.role() == v1::ROLE_DATA) {
    const auto owner = context_.tokens->Find(hello.session_token(), peer_ ? peer_->identity : "");
    data_ = owner.has_value();
    session_ = owner.value_or(0);
    return data_ ? Status() : Fail(ErrorCode::kPermissionDenied, "no such session token");
  }
  if (context_.cache->draining()) {
    return Fail(ErrorCode::kUnavailable, "the daemon is draining");
  }
  return {};
}

asio::awaitable<void> Session::ServeControl() {
  v1::Request request;
  v1::Response response;
  for (;;) {
    const std::chrono::seconds idle_limit = reserved_ ? kReservedIdleLimit : kForEver;
    const auto read = co_await connection_.ReadRequest(request, kMaxFrameBytes, idle_limit);
    if (!read) {
      if (read.error().code != ErrorCode::kUnavailable) {
        // Say why before closing: the stream cannot be trusted any more.
        context_.refused_frames += 1;
        const auto refused = co_await Refuse(request, read.error());
        static_cast<void>(refused);
      }
      spdlog::debug("session {} closed: {}", session_, ToString(read.error()));
      co_return;
    }
    response.Clear();
    response.set_id(request.id());
    if (admin_only_ && !request.has_admin()) {
      const Error wrong{ErrorCode::kPermissionDenied,
                        "the connection said that it is for administration"};
      const auto refused = co_await Refuse(request, wrong);
      static_cast<void>(refused);
      co_return;
    }
    if (request.has_attach_shared_memory()) {
      const auto attached = co_await Attach(request, response);
      if (!attached) {
        co_return;
      }
      continue;
    }
    if (request.has_attach_device()) {
      const auto attached = co_await AttachDevice(request, response);
      if (!attached) {
        co_return;
      }
      continue;
    }
    const auto answered = co_await Answer(request, response);
    if (!answered) {
      SetError(response, answered.error());
    }
    const auto sent = co_await connection_.Write(response, kNoPayload);
    if (!sent) {
      co_return;
    }
    if (ucx_ != nullptr) {
      ucx_->StayAwake();
    }
  }
}

asio::awaitable<void> Session::ServeData() {
  v1::Request request;
  for (;;) {
    const auto read = co_await connection_.ReadRequest(request, kMaxHelloBytes, kForEver);
    if (!read) {
      co_return;
    }
    Status served;
    if (request.has_stream_get()) {
      auto out = co_await StreamOut(request);
      served = std::move(out);
    } else if (request.has_stream_put()) {
      auto in = co_await StreamIn(request);
      served = std::move(in);
    } else {
      const Error wrong{ErrorCode::kInvalidArgument, "a data connection carries payload only"};
      auto refused = co_await Refuse(request, wrong);
      served = std::move(refused);
    }
    if (!served) {
      co_return;
    }
  }
}

asio::awaitable<Status> Session::Attach(const v1::Request& request, v1::Response& response) {
  Error error;
  if (!local_) {
    error = {ErrorCode::kUnsupported, "shared memory needs the Unix socket"};
  } else if (staging_ == nullptr) {
    auto staging = context_.staging->Take();
    if (staging) {
      staging_ = std::move(*staging);
      context_.shm_connections += 1;
    } else {
      error = staging.error();
    }
  }
  if (staging_ == nullptr) {
    co_return co_await Refuse(request, error);
  }
  v1::AttachSharedMemoryReply& reply = *response.mutable_attach_shared_memory();
  reply.set_arena_bytes(context_.cache->arena().capacity_bytes());
  reply.set_staging_bytes(staging_->memory().size());
  const std::array<int, 2> fds = {context_.cache->arena().fd(), staging_->fd()};
  co_return co_await connection_.WriteWithFds(response, fds);
}

asio::awaitable<Status> Session::AttachDevice(const v1::Request& request, v1::Response& response) {
  if (!local_) {
    const Error remote{ErrorCode::kUnsupported, "device memory needs the Unix socket"};
    co_return co_await Refuse(request, remote);
  }
  const auto grant = context_.cache->AttachDevice(session_, request.attach_device().lease_id(),
                                                  request.attach_device().extent());
  if (!grant) {
    co_return co_await Refuse(request, grant.error());
  }
  v1::AttachDeviceReply& reply = *response.mutable_attach_device();
  reply.set_kind(grant->kind);
  reply.set_extent_bytes(grant->bytes);
  reply.set_ledger_words(grant->ledger_words);
  const std::array<int, 2> fds = {grant->region.get(), grant->ledger.get()};
  co_return co_await connection_.WriteWithFds(response, fds);
}

asio::awaitable<Status> Session::StreamOut(const v1::Request& request) {
  auto begun = context_.cache->BeginRead(session_, request.stream_get().lease_id(),
                                         request.stream_get().index());
  if (!begun) {
    co_return co_await Refuse(request, begun.error());
  }
  // Straight from the arena. It stays there until the last byte is sent, whatever becomes of the
  // lease: what takes its place may be another tenant's.
  const Cache::Reading reading = std::move(*begun);
  v1::Response response;
  response.set_id(request.id());
  response.mutable_stream_get()->set_bytes(reading.view().bytes);
  const auto payload = reading.bytes();
  co_return co_await connection_.Write(response, payload);
}

asio::awaitable<Status> Session::StreamIn(const v1::Request& request) {
  const v1::StreamPut& put = request.stream_put();
  auto begun = context_.cache->BeginFill(session_, put.token(), put.object_offset(), put.bytes());
  if (!begun) {
    // The payload is on its way already and has no frame: the connection cannot be used further.
    const auto refused = co_await Refuse(request, begun.error());
    static_cast<void>(refused);
    co_return Fail(begun.error());
  }
  // Shared, since the hashing below may outlive this coroutine at shutdown.
  const auto filling = std::make_shared<Cache::Filling>(std::move(*begun));
  const auto received = co_await connection_.ReadRaw(filling->target());
  if (!received) {
    co_return received;
  }
  const std::function<void()> hash = [filling] { filling->Done(); };
  co_await RunOn(*context_.workers, hash);
  v1::Response response;
  response.set_id(request.id());
  response.mutable_empty();
  co_return co_await connection_.Write(response, kNoPayload);
}

}  // namespace cairn::server
