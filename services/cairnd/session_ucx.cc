// The UCX plane's half of a session.
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "services/cairnd/session.h"

namespace cairn::server {
namespace {

// To hash so little at once costs less than to hand it over.
constexpr std::uint64_t kInPlaceBytes = 64 * 1024;

tl::unexpected<Error> NotAttached() {
  return Fail(ErrorCode::kInvalidArgument, "attach_ucx first");
}

}  // namespace

asio::awaitable<Status> Session::HandleUcx(const v1::Request& request, v1::Response& response) {
  if (request.has_attach_ucx()) {
    v1::AttachUcxReply& reply = *response.mutable_attach_ucx();
    auto attached = co_await AttachUcx(request.attach_ucx(), reply);
    co_return attached;
  }
  response.mutable_empty();
  if (ucx_ == nullptr) {
    co_return NotAttached();
  }
  Status moved;
  if (request.has_ucx_get()) {
    auto got = co_await HandleUcxGet(request.ucx_get());
    moved = std::move(got);
  } else {
    auto put = co_await HandleUcxPut(request.ucx_put());
    moved = std::move(put);
  }
  if (!moved && moved.error().code == ErrorCode::kUnavailable) {
    // The way to it is closed. With the connection go its leases and reservations; an engine that
    // was only slow makes a new one.
    ucx_.reset();
    connection_.Close();
  }
  co_return moved;
}

asio::awaitable<Status> Session::AttachUcx(const v1::AttachUcx& attach, v1::AttachUcxReply& reply) {
  if (context_.ucx == nullptr) {
    co_return Fail(ErrorCode::kUnsupported, "this daemon has no UCX; start it with --ucx on");
  }
  if (!MayUseUcx()) {
    co_return Fail(ErrorCode::kPermissionDenied,
                   "UCX is for engines that are known: connect by the Unix socket, as the daemon's "
                   "user or root, or by TLS with an identity that --tls-tenants names");
  }
  if (ucx_ != nullptr) {
    co_return Fail(ErrorCode::kInvalidArgument, "attach_ucx: once per connection");
  }
  const auto safe = co_await context_.ucx->Probe(attach);
  if (!safe) {
    co_return safe;
  }
  const auto executor = co_await asio::this_coro::executor;
  auto peer = context_.ucx->Attach(attach, executor);
  if (!peer) {
    co_return Fail(peer.error());
  }
  ucx_ = std::move(*peer);
  for (const std::string& lane : ucx_->lanes()) {
    reply.add_lanes(lane);
  }
  co_return Status{};
}

asio::awaitable<Status> Session::HandleUcxGet(const v1::UcxGet& get) {
  const Status fits = ucx_->CheckGet(get);
  if (!fits) {
    co_return fits;
  }
  auto begun = context_.cache->BeginRead(session_, get.lease_id(), get.index());
  if (!begun) {
    co_return Fail(begun.error());
  }
  // Straight from the arena. It stays there until UCX is done with it, whatever becomes of the
  // lease or of this session: what takes its place may be another tenant's.
  const auto reading = std::make_shared<Cache::Reading>(std::move(*begun));
  const std::span<const std::byte> object = reading->bytes();
  if (get.bytes() > object.size() || get.object_offset() > object.size() - get.bytes()) {
    co_return Fail(ErrorCode::kInvalidArgument,
                   "object_offset: the object has " + std::to_string(object.size()) + " bytes");
  }
  const auto source = object.subspan(get.object_offset(), get.bytes());
  const auto transfers = ucx_->Put(source, get, reading);
  for (const auto& transfer : transfers) {
    const auto moved = co_await ucx_->Finish(transfer, connection_);
    if (!moved) {
      co_return moved;
    }
  }
  co_return Status{};
}

asio::awaitable<Status> Session::HandleUcxPut(const v1::UcxPut& put) {
  const Status fits = ucx_->CheckStretch(put.staging_offset(), put.bytes());
  if (!fits) {
    co_return fits;
  }
  auto begun = context_.cache->BeginFill(session_, put.token(), put.object_offset(), put.bytes());
  if (!begun) {
    co_return Fail(begun.error());
  }
  // Shared with the transfer, which may outlive this session. Not done, it ends the reservation.
  const auto filling = std::make_shared<Cache::Filling>(std::move(*begun));
  const auto transfer = ucx_->Get(filling->target(), put, filling);
  const auto moved = co_await ucx_->Finish(transfer, connection_);
  if (!moved) {
    co_return moved;
  }
  if (put.bytes() <= kInPlaceBytes) {
    filling->Done();
    co_return Status{};
  }
  const std::function<void()> hash = [filling] { filling->Done(); };
  co_await RunOn(*context_.workers, hash);
  co_return Status{};
}

}  // namespace cairn::server
