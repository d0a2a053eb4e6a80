// The half of Connection that speaks TLS.
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "services/cairnd/connection.h"

namespace cairn::server {
namespace {

// As without TLS: no byte moves for so long.
constexpr std::chrono::milliseconds kStallLimit{30'000};
// Of payload in a record at most.
constexpr std::size_t kRecordBytes = 16 * 1024;
// Encrypted or decrypted in one go, in 0.5 ms or so; then others on this thread have their turn.
constexpr std::size_t kBurstBytes = 1024 * 1024;
// What every TLS connection begins with.
constexpr unsigned char kHandshakeRecord = 22;

tl::unexpected<Error> Gone() { return Fail(ErrorCode::kUnavailable, "the connection is closed"); }

}  // namespace

asio::awaitable<TlsOutcome> Connection::Secure(const TlsCredentials& credentials,
                                               std::chrono::milliseconds limit) {
  boost::system::error_code ignored;
  socket_.native_non_blocking(true, ignored);
  Arm(limit);
  const auto readable = co_await socket_.async_wait(StreamSocket::wait_read, kAwait);
  static_cast<void>(readable);
  if (!socket_.is_open()) {
    co_return late_ ? TlsOutcome::kTimeout : TlsOutcome::kClosed;
  }
  unsigned char first = 0;
  const ssize_t got = recv(socket_.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got != 1 || first != kHandshakeRecord) {
    Arm(std::chrono::milliseconds::zero());
    co_return got == 1 ? TlsOutcome::kNoTls : TlsOutcome::kClosed;
  }
  tls_ = TlsConnection::Server(credentials, socket_.native_handle());
  const auto outcome = co_await Handshake();
  Arm(std::chrono::milliseconds::zero());
  co_return outcome;
}

asio::awaitable<TlsOutcome> Connection::Handshake() {
  for (;;) {
    if (!socket_.is_open()) {
      co_return late_ ? TlsOutcome::kTimeout : TlsOutcome::kProtocol;
    }
    const TlsConnection::Step step = tls_->Handshake();
    if (step == TlsConnection::Step::kDone) {
      co_return TlsOutcome::kOk;
    }
    const auto ready = co_await WaitFor(step);
    if (!ready && socket_.is_open()) {
      co_return tls_->refusal() == TlsConnection::Refusal::kCertificate ? TlsOutcome::kCertificate
                                                                        : TlsOutcome::kProtocol;
    }
  }
}

asio::awaitable<Status> Connection::WaitFor(TlsConnection::Step step) {
  if (step == TlsConnection::Step::kFailed) {
    co_return Fail(tls_->error());
  }
  if (step == TlsConnection::Step::kClosed) {
    co_return Gone();
  }
  const auto what =
      step == TlsConnection::Step::kWantWrite ? StreamSocket::wait_write : StreamSocket::wait_read;
  const auto waited = co_await socket_.async_wait(what, kAwait);
  const auto& [error] = waited;
  if (error) {
    co_return Fail(ErrorCode::kUnavailable, error.message());
  }
  co_return Status{};
}

asio::awaitable<Result<std::size_t>> Connection::ReadTls(std::span<std::byte> target,
                                                         bool stall_counts) {
  for (;;) {
    if (!socket_.is_open()) {  // Its descriptor may be another's by now.
      co_return Gone();
    }
    const TlsConnection::Moved moved = tls_->Read(target);
    if (moved.step == TlsConnection::Step::kDone) {
      co_return Result<std::size_t>(moved.bytes);
    }
    if (stall_counts) {
      Arm(kStallLimit);  // Anew for each piece.
    }
    const auto ready = co_await WaitFor(moved.step);
    if (!ready) {
      co_return Fail(ready.error());
    }
  }
}

asio::awaitable<Status> Connection::ReadRawTls(std::span<std::byte> target) {
  const auto executor = socket_.get_executor();
  Status status;
  std::size_t burst = 0;
  while (!target.empty() && status) {
    const auto got = co_await ReadTls(target, true);
    if (!got) {
      status = Fail(got.error());
      break;
    }
    target = target.subspan(*got);
    burst += *got;
    if (burst >= kBurstBytes) {
      burst = 0;
      const auto yielded = co_await asio::post(executor, kAwait);
      static_cast<void>(yielded);
    }
  }
  Arm(std::chrono::milliseconds::zero());
  co_return status;
}

asio::awaitable<Status> Connection::WriteAllTls(std::span<const std::byte> bytes) {
  const auto executor = socket_.get_executor();
  std::size_t burst = 0;
  while (!bytes.empty()) {
    if (!socket_.is_open()) {
      co_return Gone();
    }
    const TlsConnection::Moved moved = tls_->Write(bytes);
    bytes = bytes.subspan(moved.bytes);
    burst += moved.bytes;
    if (moved.step != TlsConnection::Step::kDone) {
      Arm(kStallLimit);
      const auto ready = co_await WaitFor(moved.step);
      if (!ready) {
        co_return ready;
      }
    } else if (burst >= kBurstBytes) {
      burst = 0;
      const auto yielded = co_await asio::post(executor, kAwait);
      static_cast<void>(yielded);
    }
  }
  co_return Status{};
}

asio::awaitable<Status> Connection::WriteTls(std::span<const std::byte> payload) {
  // One record, and one packet, for the frame with the beginning of its payload.
  const std::size_t joined =
      std::min(payload.size(), kRecordBytes - std::min(kRecordBytes, out_.size()));
  out_.append(reinterpret_cast<const char*>(payload.data()), joined);
  const auto head = std::as_bytes(std::span(out_));
  const auto rest = payload.subspan(joined);
  const auto first = co_await WriteAllTls(head);
  Status status = first;
  if (status && !rest.empty()) {
    const auto second = co_await WriteAllTls(rest);
    status = second;
  }
  Arm(std::chrono::milliseconds::zero());
  if (out_.capacity() > kRecordBytes * 8) {
    out_ = std::string();
  }
  co_return status;
}

}  // namespace cairn::server
