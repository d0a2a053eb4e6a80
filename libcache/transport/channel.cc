#include "libcache/transport/channel.h"

#include <algorithm>
#include <chrono>

#include "libcache/transport/frame.h"

namespace cairn {
namespace {

// Responses nobody has read yet stay in the socket's buffer; it must not fill.
constexpr std::uint64_t kMostPosted = 32;

}  // namespace

template <class T>
T Channel::Broken(T result) {
  broken_ = true;
  return result;
}

Result<Channel> Channel::Open(const Endpoint& endpoint, const Greeting& greeting,
                              TimePoint deadline) {
  auto socket = Socket::Connect(endpoint, deadline);
  if (!socket) {
    return Fail(socket.error());
  }
  if (greeting.tls != nullptr && endpoint.kind == Endpoint::Kind::kTcp) {
    const auto credentials = greeting.tls->Credentials();
    if (!credentials) {
      return Fail(credentials.error());
    }
    const Status secured =
        socket->Secure(**credentials, greeting.tls->ServerAt(endpoint), deadline);
    if (!secured) {
      return Fail(secured.error());
    }
  }
  Channel channel(std::move(*socket), endpoint);
  channel.tls_ = greeting.tls;
  v1::Request request;
  v1::Hello& hello = *request.mutable_hello();
  hello.set_protocol_version(kProtocolVersion);
  hello.set_client(greeting.client);
  hello.set_role(greeting.role);
  hello.set_session_token(greeting.session_token);
  auto response = channel.Call(request, deadline);
  if (!response) {
    return Fail(response.error());
  }
  if (!response->has_hello()) {
    return Fail(ErrorCode::kCorrupt, "the daemon answered Hello with something else");
  }
  channel.hello_ = response->hello();
  return channel;
}

Status Channel::Frame(v1::Request& request, TimePoint deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  request.set_id(next_id_);
  request.set_deadline_ms(
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(left.count(), 1, 3'600'000)));
  out_.clear();
  const Status framed = AppendFrame(request, out_);
  next_id_ += framed ? 1 : 0;  // Of what is too long nothing is sent; the stream stays in step.
  return framed;
}

Status Channel::SendLeft(TimePoint deadline) {
  if (left_.empty()) {
    return {};
  }
  const auto taken = socket_.SendSome(std::as_bytes(std::span(left_)), deadline);
  if (!taken) {
    return Fail(Broken(taken.error()));
  }
  left_.erase(0, *taken);
  return {};
}

Status Channel::Send(v1::Request& request, std::span<const std::byte> payload, TimePoint deadline) {
  if (broken_) {
    return Fail(ErrorCode::kUnavailable, "the connection failed before");
  }
  if (Status sent = SendLeft(deadline); !sent) {
    return sent;
  }
  if (!left_.empty()) {
    return Broken(Status(Fail(ErrorCode::kDeadlineExceeded,
                              "the daemon did not take in time what was sent before")));
  }
  if (Status framed = Frame(request, deadline); !framed) {
    return framed;
  }
  Status sent = socket_.Send(std::as_bytes(std::span(out_)), payload, deadline);
  return sent ? sent : Broken(std::move(sent));
}

Status Channel::Post(v1::Request& request, TimePoint deadline) {
  if (broken_) {
    return Fail(ErrorCode::kUnavailable, "the connection failed before");
  }
  behind_ = true;
  if (Status sent = SendLeft(deadline); !sent) {
    return sent;
  }
  const auto busy = [] {
    return Fail(ErrorCode::kDeadlineExceeded,
                "the daemon has not taken in yet what it was told before");
  };
  if (!left_.empty()) {
    return busy();
  }
  while (next_reply_ + kMostPosted <= posted_until_) {
    if (!socket_.Readable(deadline)) {
      return busy();
    }
    if (Status skipped = SkipPosted(deadline); !skipped) {
      return skipped;
    }
  }
  if (Status framed = Frame(request, deadline); !framed) {
    return framed;
  }
  posted_until_ = next_id_;
  left_.swap(out_);
  Status sent = SendLeft(deadline);
  behind_ = !left_.empty();
  return sent;
}

Status Channel::SkipPosted(TimePoint deadline) {
  const auto skipped = ReceiveOne(nullptr, deadline);
  return skipped ? Status() : Fail(Broken(skipped.error()));
}

Result<v1::Response> Channel::ReceiveFrame(std::vector<UniqueFd>* fds, TimePoint deadline) {
  while (OwesPosted()) {
    if (const Status skipped = SkipPosted(deadline); !skipped) {
      return Fail(skipped.error());
    }
  }
  return ReceiveOne(fds, deadline);
}

Result<v1::Response> Channel::ReceiveOne(std::vector<UniqueFd>* fds, TimePoint deadline) {
  std::array<std::byte, FrameHeader::kBytes> head{};
  const Status got = fds != nullptr ? socket_.ReceiveWithFds(head, *fds, deadline)
                                    : socket_.Receive(head, deadline);
  if (!got) {
    return Fail(got.error());
  }
  const auto header = ParseFrameHeader(head, kMaxFrameBytes);
  if (!header) {
    return Fail(header.error());
  }
  in_.resize(header->payload_bytes);
  if (const Status body = socket_.Receive(in_, deadline); !body) {
    return Fail(body.error());
  }
  v1::Response response;
  if (const Status parsed = ParsePayload(in_, response); !parsed) {
    return Fail(parsed.error());
  }
  if (response.id() != next_reply_) {
    return Fail(ErrorCode::kCorrupt, "the daemon answered another request");
  }
  ++next_reply_;
  return response;
}

Result<v1::Response> Channel::Receive(TimePoint deadline) {
  if (broken_) {
    return Fail(ErrorCode::kUnavailable, "the connection failed before");
  }
  auto response = ReceiveFrame(nullptr, deadline);
  if (!response) {
    return Broken(std::move(response));
  }
  if (response->code() != 0) {
    return Fail(static_cast<ErrorCode>(response->code()), response->message());
  }
  return response;
}

Status Channel::ReceiveRaw(std::span<std::byte> target, TimePoint deadline) {
  Status got = socket_.Receive(target, deadline);
  return got ? got : Broken(std::move(got));
}

Result<v1::Response> Channel::Call(v1::Request& request, TimePoint deadline) {
  if (const Status sent = Send(request, {}, deadline); !sent) {
    return Fail(sent.error());
  }
  return Receive(deadline);
}

Result<v1::Response> Channel::CallWithFds(v1::Request& request, std::vector<UniqueFd>& fds,
                                          TimePoint deadline) {
  if (const Status sent = Send(request, {}, deadline); !sent) {
    return Fail(sent.error());
  }
  auto response = ReceiveFrame(&fds, deadline);
  if (!response) {
    return Broken(std::move(response));
  }
  if (response->code() != 0) {
    return Fail(static_cast<ErrorCode>(response->code()), response->message());
  }
  return response;
}

}  // namespace cairn
