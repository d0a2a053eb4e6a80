#include "libcache/transport/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "libcache/base/busy_poll.h"
#include "libcache/base/completion.h"
#include "libcache/base/detached_thread.h"
#include "libcache/base/errno_text.h"
#include "libcache/base/timed_copy.h"

namespace cairn {
namespace {

// How long to look for an answer before sleeping. To wake a sleeper costs up to 35 us in a virtual
// machine whose core has gone idle, twice what the daemon takes to answer.
constexpr std::chrono::microseconds kBusyPoll{100};
// Of payload in a TLS record at most.
constexpr std::size_t kRecordBytes = 16 * 1024;

/// Waits until `fd` is ready for `events`; false when the deadline passed.
bool WaitReady(int fd, short events, TimePoint deadline) {
  for (;;) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= Duration::zero()) {
      return false;
    }
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    const timespec timeout{.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
    pollfd p{.fd = fd, .events = events, .revents = 0};
    const int ready = ppoll(&p, 1, &timeout, nullptr);
    if (ready > 0) {
      return true;
    }
    if (ready < 0 && errno != EINTR) {
      return true;  // The next call on the socket says what is wrong.
    }
  }
}

tl::unexpected<Error> Late() {
  return Fail(ErrorCode::kDeadlineExceeded, "the daemon did not answer in time");
}

tl::unexpected<Error> Gone(const char* what) {
  return Fail(ErrorCode::kUnavailable,
              std::string("connection lost while ") + what + ": " + ErrnoText());
}

/// After a step that did not get through: waits for what it wants. Errors: kDeadlineExceeded, and
/// kUnavailable where waiting is no use.
Status ReadyFor(int fd, TlsConnection::Step step, const TlsConnection& tls, TimePoint deadline) {
  switch (step) {
    case TlsConnection::Step::kFailed: return Fail(tls.error());
    case TlsConnection::Step::kClosed:
      return Fail(ErrorCode::kUnavailable, "the daemon closed the connection");
    default: break;
  }
  const short events = step == TlsConnection::Step::kWantWrite ? POLLOUT : POLLIN;
  return WaitReady(fd, events, deadline) ? Status() : Late();
}

/// What to do about it, where that can be told.
std::string ConnectAdvice(const sockaddr& address, int error) {
  if (error != ECONNREFUSED && error != ENOENT) {
    return "";
  }
  const bool local =
      address.sa_family == AF_UNIX ||
      (address.sa_family == AF_INET &&
       ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24U == 127) ||
      (address.sa_family == AF_INET6 &&
       IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr));
  return local ? "; start one with: cairnd --memory 4GiB"
               : "; does one run there, with --listen-tcp for this address?";
}

Result<UniqueFd> ConnectAddress(const sockaddr* address, socklen_t size, const std::string& where,
                                TimePoint deadline) {
  UniqueFd fd(socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return Fail(ErrorCode::kUnavailable, "no socket: " + ErrnoText());
  }
  int error = 0;
  while (connect(fd.get(), address, size) != 0) {
    error = errno;
    if (error == EINTR) {
      continue;
    }
    if (error == EAGAIN) {  // A Unix socket whose backlog is full: no event tells when it is not.
      if (deadline - std::chrono::steady_clock::now() <= std::chrono::milliseconds(1)) {
        return Late();
      }
      usleep(1000);
      continue;
    }
    if (error != EINPROGRESS) {
      break;
    }
    if (!WaitReady(fd.get(), POLLOUT, deadline)) {
      return Late();
    }
    socklen_t length = sizeof(error);
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    break;
  }
  if (error != 0 && error != EAGAIN && error != EINTR) {
    return Fail(ErrorCode::kUnavailable, "no daemon at " + where + " (" + ErrnoText(error) + ")" +
                                             ConnectAdvice(*address, error));
  }
  return fd;
}

/// A look-up of addresses. Owned by those who wait for it and by the thread that does it, whoever
/// is last: getaddrinfo takes no deadline and cannot be ended.
struct Lookup {
  Lookup(const Endpoint& endpoint, int flags)
      : host(endpoint.host), port(std::to_string(endpoint.port)) {
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | flags;
  }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  ~Lookup() {
    if (list != nullptr) {
      freeaddrinfo(list);
    }
  }
  void Run() { failed = getaddrinfo(host.c_str(), port.c_str(), &hints, &list); }

  const std::string host;
  const std::string port;
  addrinfo hints{};
  Completion done{1};
  // To be read after `done` only.
  int failed = 0;
  addrinfo* list = nullptr;
};

Result<std::shared_ptr<Lookup>> Resolve(const Endpoint& endpoint, TimePoint deadline) {
  // Numbers need no name server, so they take no time.
  auto lookup = std::make_shared<Lookup>(endpoint, AI_NUMERICHOST);
  lookup->Run();
  if (lookup->failed == 0) {
    return lookup;
  }
  lookup = std::make_shared<Lookup>(endpoint, AI_ADDRCONFIG);
  const Status started = RunDetached([lookup] {
    lookup->Run();
    lookup->done.Done(ErrorCode::kOk);
  });
  if (!started) {
    return Fail(started.error());
  }
  if (!lookup->done.Wait(deadline)) {
    return Late();
  }
  if (lookup->failed != 0) {
    return Fail(ErrorCode::kUnavailable,
                "'" + endpoint.host + "' has no address: " + gai_strerror(lookup->failed));
  }
  return lookup;
}

}  // namespace

Result<Socket> Socket::Connect(const Endpoint& endpoint, TimePoint deadline) {
  if (endpoint.kind == Endpoint::Kind::kUnix) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, endpoint.path.data(), endpoint.path.size());
    auto fd = ConnectAddress(reinterpret_cast<const sockaddr*>(&address), sizeof(address),
                             endpoint.Text(), deadline);
    if (!fd) {
      return Fail(fd.error());
    }
    return Socket(std::move(*fd));
  }
  const auto lookup = Resolve(endpoint, deadline);
  if (!lookup) {
    return Fail(lookup.error());
  }
  Result<UniqueFd> fd = Fail(ErrorCode::kUnavailable, "no address");
  for (const addrinfo* a = (*lookup)->list; a != nullptr; a = a->ai_next) {
    fd = ConnectAddress(a->ai_addr, a->ai_addrlen, endpoint.Text(), deadline);
    if (fd) {
      break;
    }
  }
  if (!fd) {
    return Fail(fd.error());
  }
  const int on = 1;
  setsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return Socket(std::move(*fd));
}

Status Socket::Secure(const TlsCredentials& credentials, const std::string& expected_peer,
                      TimePoint deadline) {
  auto tls = TlsConnection::Client(credentials, fd_.get(), expected_peer);
  for (;;) {
    const TlsConnection::Step step = tls->Handshake();
    if (step == TlsConnection::Step::kDone) {
      tls_ = std::move(tls);
      return {};
    }
    if (Status ready = ReadyFor(fd_.get(), step, *tls, deadline); !ready) {
      return ready;
    }
  }
}

Status Socket::SendTls(std::span<const std::byte>& bytes, TimePoint deadline) {
  while (!bytes.empty()) {
    const TlsConnection::Moved moved = tls_->Write(bytes);
    bytes = bytes.subspan(moved.bytes);
    if (moved.step != TlsConnection::Step::kDone) {
      if (Status ready = ReadyFor(fd_.get(), moved.step, *tls_, deadline); !ready) {
        return ready;
      }
    } else if (!bytes.empty() && IsLate(deadline)) {
      return Late();
    }
  }
  return {};
}

Status Socket::ReceiveTls(std::span<std::byte> target, TimePoint deadline) {
  BusyPoll busy_poll(kBusyPoll);
  while (!target.empty()) {
    const TlsConnection::Moved moved = tls_->Read(target);
    target = target.subspan(moved.bytes);
    if (moved.step == TlsConnection::Step::kDone) {
      if (!target.empty() && IsLate(deadline)) {
        return Late();
      }
      continue;
    }
    if (moved.step == TlsConnection::Step::kWantRead && busy_poll.Again()) {
      continue;
    }
    if (Status ready = ReadyFor(fd_.get(), moved.step, *tls_, deadline); !ready) {
      return ready;
    }
  }
  return {};
}

Status Socket::SendPlain(std::span<const std::byte>& head, std::span<const std::byte>& body,
                         TimePoint deadline) {
  while (!head.empty() || !body.empty()) {
    std::array<iovec, 2> pieces{{{const_cast<std::byte*>(head.data()), head.size()},
                                 {const_cast<std::byte*>(body.data()), body.size()}}};
    msghdr message{};
    message.msg_iov = head.empty() ? &pieces[1] : pieces.data();
    message.msg_iovlen = head.empty() ? 1 : 2;
    const ssize_t sent = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (!WaitReady(fd_.get(), POLLOUT, deadline)) {
          return Late();
        }
      } else if (errno != EINTR) {
        return Gone("sending");
      }
      continue;
    }
    auto done = static_cast<std::size_t>(sent);
    const std::size_t from_head = std::min(done, head.size());
    head = head.subspan(from_head);
    body = body.subspan(done - from_head);
    if (!(head.empty() && body.empty()) && IsLate(deadline)) {
      return Late();  // A peer that keeps taking a little never makes a sender wait.
    }
  }
  return {};
}

Status Socket::Send(std::span<const std::byte> head, std::span<const std::byte> body,
                    TimePoint deadline) {
  if (tls_ == nullptr) {
    return SendPlain(head, body, deadline);
  }
  // One record, and one packet, for a frame with the beginning of its payload.
  const std::size_t joined =
      std::min(body.size(), kRecordBytes - std::min(kRecordBytes, head.size()));
  if (joined != 0) {
    first_.assign(head.begin(), head.end());
    first_.insert(first_.end(), body.begin(), body.begin() + static_cast<std::ptrdiff_t>(joined));
    head = first_;
    body = body.subspan(joined);
  }
  Status sent = SendTls(head, deadline);
  return sent ? SendTls(body, deadline) : sent;
}

Result<std::size_t> Socket::SendSome(std::span<const std::byte> bytes, TimePoint deadline) {
  std::span<const std::byte> rest = bytes;
  std::span<const std::byte> none;
  const Status sent = tls_ != nullptr ? SendTls(rest, deadline) : SendPlain(rest, none, deadline);
  if (!sent && sent.error().code != ErrorCode::kDeadlineExceeded) {
    return Fail(sent.error());
  }
  return bytes.size() - rest.size();
}

bool Socket::Readable(TimePoint deadline) const {
  pollfd now{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  return Buffered() || poll(&now, 1, 0) > 0 || WaitReady(fd_.get(), POLLIN, deadline);
}

Status Socket::Receive(std::span<std::byte> target, TimePoint deadline) {
  if (tls_ != nullptr) {
    return ReceiveTls(target, deadline);
  }
  BusyPoll busy_poll(kBusyPoll);
  while (!target.empty()) {
    const ssize_t got = recv(fd_.get(), target.data(), target.size(), 0);
    if (got > 0) {
      target = target.subspan(static_cast<std::size_t>(got));
      if (!target.empty() && IsLate(deadline)) {
        return Late();
      }
    } else if (got == 0) {
      return Fail(ErrorCode::kUnavailable, "the daemon closed the connection");
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!busy_poll.Again() && !WaitReady(fd_.get(), POLLIN, deadline)) {
        return Late();
      }
    } else if (errno != EINTR) {
      return Gone("receiving");
    }
  }
  return {};
}

Status Socket::ReceiveWithFds(std::span<std::byte> target, std::vector<UniqueFd>& fds,
                              TimePoint deadline) {
  if (tls_ != nullptr) {
    return ReceiveTls(target, deadline);  // Descriptors come by Unix sockets only.
  }
  while (!target.empty()) {
    iovec piece{target.data(), target.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    if (got == 0) {
      return Fail(ErrorCode::kUnavailable, "the daemon closed the connection");
    }
    if (got < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (!WaitReady(fd_.get(), POLLIN, deadline)) {
          return Late();
        }
      } else if (errno != EINTR) {
        return Gone("receiving");
      }
      continue;
    }
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
          int fd = -1;
          std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
          fds.emplace_back(fd);
        }
      }
    }
    target = target.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

}  // namespace cairn
