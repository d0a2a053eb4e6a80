#include "services/cairnd/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <cstring>
#include <tuple>
#include <utility>

#include "libcache/base/check.h"
#include "libcache/base/errno_text.h"
#include "libcache/transport/frame.h"

namespace cairn::server {
namespace {

// A peer may take this long over the rest of a request, and this long without giving or taking a
// single byte of a payload or an answer: those may be large and the peer slow, as long as it moves.
constexpr std::chrono::milliseconds kStallLimit{30'000};
// What is kept between frames; larger frames borrow.
constexpr std::size_t kBufferBytes = 32 * 1024;

tl::unexpected<Error> Closed(const boost::system::error_code& error) {
  return Fail(ErrorCode::kUnavailable, error.message());
}

/// Frames `response`, or an error in its place if it is longer than a frame: its peer waits for an
/// answer, and the stream is still in step. True for `response` itself.
bool FrameAnswer(const v1::Response& response, std::string& out) {
  if (AppendFrame(response, out)) {
    return true;
  }
  v1::Response refusal;
  refusal.set_id(response.id());
  refusal.set_code(static_cast<std::uint32_t>(ErrorCode::kOverloaded));
  refusal.set_message("the answer is longer than a frame; ask for less");
  CAIRN_CHECK(AppendFrame(refusal, out).has_value());
  return false;
}

}  // namespace

Connection::Connection(StreamSocket socket)
    : socket_(std::move(socket)),
      watchdog_(socket_.get_executor()),
      in_(1024),
      alive_(std::make_shared<bool>(true)) {}

void Connection::Arm(std::chrono::milliseconds limit) {
  const bool off = limit == std::chrono::milliseconds::zero();
  if (off && !watching_) {
    return;
  }
  watching_ = !off;
  const std::uint64_t arming = ++armed_;
  if (off) {
    watchdog_.cancel();
    return;
  }
  watchdog_.expires_after(limit);
  // A weak look at the connection: the timer may fire after it is gone.
  watchdog_.async_wait(
      [this, arming, weak = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
        if (!error && !weak.expired() && arming == armed_) {
          late_ = true;
          Close();
        }
      });
}

bool Connection::PeerGone() {
  pollfd peer{.fd = socket_.native_handle(), .events = POLLRDHUP, .revents = 0};
  return poll(&peer, 1, 0) > 0;
}

void Connection::Close() {
  if (tls_ != nullptr && socket_.is_open()) {
    tls_->Shutdown();
  }
  boost::system::error_code ignored;
  socket_.shutdown(StreamSocket::shutdown_both, ignored);
  socket_.close(ignored);
}

asio::awaitable<Status> Connection::Fill(std::size_t bytes) {
  while (have_ < bytes) {
    // Grows with what has come, not with what a header promises.
    if (have_ == in_.size()) {
      in_.resize(std::min(std::max(bytes, kBufferBytes), in_.size() * 2));
    }
    if (tls_ != nullptr) {
      const auto free = std::span(in_).subspan(have_);
      const auto got = co_await ReadTls(free, false);
      if (!got) {
        co_return Fail(got.error());
      }
      have_ += *got;
      continue;
    }
    const auto target = asio::buffer(in_.data() + have_, in_.size() - have_);
    const auto result = co_await socket_.async_read_some(target, kAwait);
    const auto& [error, got] = result;
    if (error) {
      co_return Closed(error);
    }
    have_ += got;
  }
  co_return Status{};
}

asio::awaitable<Status> Connection::ReadRequest(v1::Request& request, std::uint32_t max_bytes,
                                                std::chrono::seconds idle_limit) {
  if (large_) {
    // A message keeps the memory of the largest it ever held, which may be 40 times its frame.
    v1::Request().Swap(&request);
    large_ = false;
  }
  if (have_ == 0 && idle_limit != std::chrono::seconds::zero()) {
    Arm(idle_limit);
  }
  const auto first = co_await Fill(1);
  if (!first) {
    co_return first;
  }
  // A peer that is given a limit to begin with has no more for the whole frame.
  const bool stall_counts = idle_limit == std::chrono::seconds::zero();
  if (stall_counts && have_ < FrameHeader::kBytes) {
    Arm(kStallLimit);
  }
  const auto head = co_await Fill(FrameHeader::kBytes);
  if (!head) {
    co_return head;
  }
  const auto header = ParseFrameHeader(std::span(in_).first(FrameHeader::kBytes), max_bytes);
  if (!header) {
    co_return Fail(header.error());
  }
  const std::size_t frame_bytes = FrameHeader::kBytes + header->payload_bytes;
  if (stall_counts && have_ < frame_bytes) {
    Arm(kStallLimit);
  }
  const auto body = co_await Fill(frame_bytes);
  if (!body) {
    co_return body;
  }
  Arm(std::chrono::milliseconds::zero());
  Status parsed =
      ParsePayload(std::span(in_).subspan(FrameHeader::kBytes, header->payload_bytes), request);
  large_ = frame_bytes > kBufferBytes;
  std::memmove(in_.data(), in_.data() + frame_bytes, have_ - frame_bytes);
  have_ -= frame_bytes;
  if (in_.size() > kBufferBytes && have_ < kBufferBytes) {
    in_.resize(kBufferBytes);
    in_.shrink_to_fit();
  }
  co_return parsed;
}

asio::awaitable<Status> Connection::ReadRaw(std::span<std::byte> target) {
  const std::size_t buffered = std::min(have_, target.size());
  std::memcpy(target.data(), in_.data(), buffered);
  std::memmove(in_.data(), in_.data() + buffered, have_ - buffered);
  have_ -= buffered;
  target = target.subspan(buffered);
  if (tls_ != nullptr) {
    co_return co_await ReadRawTls(target);
  }
  boost::system::error_code error;
  while (!target.empty() && !error) {
    Arm(kStallLimit);  // Anew for each piece.
    const auto buffer = asio::buffer(target.data(), target.size());
    const auto result = co_await socket_.async_read_some(buffer, kAwait);
    error = std::get<0>(result);
    target = target.subspan(std::get<1>(result));
  }
  Arm(std::chrono::milliseconds::zero());
  if (error) {
    co_return Closed(error);
  }
  co_return Status{};
}

asio::awaitable<Status> Connection::Write(const v1::Response& response,
                                          std::span<const std::byte> payload) {
  out_.clear();
  if (!FrameAnswer(response, out_)) {
    payload = {};
  }
  if (tls_ != nullptr) {
    co_return co_await WriteTls(payload);
  }
  // The usual answer fits the socket's buffer: try at once, without timer or suspension.
  const iovec pieces[2] = {{out_.data(), out_.size()},
                           {const_cast<std::byte*>(payload.data()), payload.size()}};
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = payload.empty() ? 1 : 2;
  const ssize_t now = sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  std::size_t done = now > 0 ? static_cast<std::size_t>(now) : 0;
  boost::system::error_code error;
  while (done < out_.size() + payload.size() && !error) {
    const std::size_t from_head = std::min(done, out_.size());
    const std::size_t from_payload = done - from_head;
    const std::array<asio::const_buffer, 2> buffers = {
        asio::buffer(out_.data() + from_head, out_.size() - from_head),
        asio::buffer(payload.data() + from_payload, payload.size() - from_payload)};
    Arm(kStallLimit);  // Anew for each piece.
    const auto result = co_await socket_.async_write_some(buffers, kAwait);
    error = std::get<0>(result);
    done += std::get<1>(result);
  }
  Arm(std::chrono::milliseconds::zero());
  if (error) {
    co_return Closed(error);
  }
  if (out_.capacity() > kBufferBytes * 4) {
    out_ = std::string();
  }
  co_return Status{};
}

asio::awaitable<Status> Connection::WriteWithFds(const v1::Response& response,
                                                 std::span<const int> fds) {
  out_.clear();
  Status framed = AppendFrame(response, out_);
  if (!framed) {
    co_return framed;
  }
  alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
  iovec piece{out_.data(), out_.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
  cmsghdr* const head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(head), fds.data(), fds.size() * sizeof(int));
  // One small message on a connection that has nothing else in flight fits the socket's buffer.
  const ssize_t sent = sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(out_.size())) {
    co_return Fail(ErrorCode::kUnavailable, ErrnoText());
  }
  co_return Status{};
}

}  // namespace cairn::server
