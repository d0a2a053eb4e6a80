#include "services/cairnd/ucx_probe.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill and sets of signals are POSIX's.
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/errno_text.h"
#include "libcache/ucx/ucx.h"

extern char** environ;

namespace cairn::server {
namespace {

// For an address and a key of 4 KiB each.
constexpr std::size_t kMostInputBytes = 16 * 1024;
constexpr std::size_t kMostBlobBytes = 4096;
constexpr std::size_t kMostReasonBytes = 1024;
// For a peer to be reached, by the child's own clock; the daemon's starts while the child still
// may.
constexpr unsigned kAlarmSeconds = 1;
constexpr std::chrono::milliseconds kLimit{5000};
constexpr int kNapMs = 1;
constexpr int kExitRefused = 1;
constexpr int kExitCrashed = 2;
constexpr int kExitLate = 3;
constexpr std::array<int, 5> kCrashes = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

std::string ReadAll(int fd, std::size_t most_bytes) {
  std::string text(most_bytes, '\0');
  std::size_t have = 0;
  while (have < most_bytes) {
    const ssize_t got = read(fd, text.data() + have, most_bytes - have);
    if (got == 0 || (got < 0 && errno != EINTR)) {
      break;
    }
    have += got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  text.resize(have);
  return text;
}

Status Await(ucx::Worker& worker, const ucx::Transfer& transfer) {
  while (!transfer.done()) {  // Until the alarm, at the latest.
    if (!worker.Progress()) {
      poll(nullptr, 0, kNapMs);
    }
  }
  return transfer.status();
}

/// Reads the first and the last word of the peer's memory and writes them back.
Status Reach(const v1::AttachUcx& attach, ucx::Context& context, ucx::Worker& worker) {
  std::array<std::uint64_t, 2> words{};
  const std::span<std::byte> memory = std::as_writable_bytes(std::span(words));
  const auto region = context.Register(memory);
  if (!region) {
    return Fail(region.error());
  }
  const auto endpoint =
      worker.Connect(PaddedForUcx(attach.worker_address()), PaddedForUcx(attach.remote_key()));
  if (!endpoint) {
    return Fail(endpoint.error());
  }
  const std::uint64_t first = attach.address();
  const std::uint64_t last = first + (attach.bytes() / sizeof(words[0]) - 1) * sizeof(words[0]);
  const auto head = memory.first(sizeof(words[0]));
  const auto tail = memory.last(sizeof(words[0]));
  Status moved = Await(worker, *(*endpoint)->Get(head, **region, first));
  moved = moved ? Await(worker, *(*endpoint)->Get(tail, **region, last)) : moved;
  return moved ? Await(worker, *(*endpoint)->Put(head, **region, first, words[1], last)) : moved;
}

Status TryHere(const std::string& transports) {
  // While there is no peer yet that waits.
  const auto context = ucx::Context::Open(transports);
  if (!context) {
    return Fail(context.error());
  }
  const auto worker = (*context)->OpenWorker();
  if (!worker) {
    return Fail(worker.error());
  }
  for (const int crash : kCrashes) {  // Without a core file for each.
    signal(crash, [](int) { _exit(kExitCrashed); });
  }
  v1::AttachUcx attach;
  if (!attach.ParseFromString(ReadAll(STDIN_FILENO, kMostInputBytes)) || attach.bytes() == 0) {
    return Fail(ErrorCode::kInvalidArgument, "nothing to try");
  }
  signal(SIGALRM, [](int) { _exit(kExitLate); });
  alarm(kAlarmSeconds);
  return Reach(attach, **context, **worker);
}

}  // namespace

std::string PaddedForUcx(const std::string& blob) {
  return blob + std::string(kMostBlobBytes, '\0');
}

int RunUcxProbe(const std::string& transports) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet.
  setenv("UCX_HANDLE_ERRORS", "none", 1);  // No backtraces: they take a second.
  const Status tried = TryHere(transports);
  if (!tried) {
    std::fputs(tried.error().message.c_str(), stdout);
    return kExitRefused;
  }
  return 0;
}

/// A probe that waits for its peer. Ended and waited for at the end.
class UcxProbes::Child {
 public:
  static Result<std::unique_ptr<Child>> Start(const std::string& transports) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      return Fail(ErrorCode::kUnavailable, "a probe's socket: " + ErrnoText());
    }
    UniqueFd ours(ends[0]);
    const UniqueFd theirs(ends[1]);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, theirs.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, theirs.get(), STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::string name = "cairnd";
    std::string what(kUcxProbeArgument);
    std::string list = transports;
    const std::array<char*, 4> args = {name.data(), what.data(), list.data(), nullptr};
    pid_t pid = -1;
    const int failed =
        posix_spawn(&pid, "/proc/self/exe", &files, &attributes, args.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (failed != 0) {
      return Fail(ErrorCode::kUnavailable, "no process to try a peer in: " + ErrnoText(failed));
    }
    return std::unique_ptr<Child>(new Child(pid, std::move(ours)));
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      static_cast<void>(ExitCode());
    }
  }

  Status Try(const v1::AttachUcx& attach) {
    const std::string input = attach.SerializeAsString();
    // One that died while it waited shows in its exit code.
    const ssize_t sent = send(socket_.get(), input.data(), input.size(), MSG_NOSIGNAL);
    shutdown(socket_.get(), SHUT_WR);
    const TimePoint deadline = SteadyClock::Instance().Now() + kLimit;
    std::string reason(kMostReasonBytes, '\0');
    const ssize_t said = Read(reason, deadline);
    const int code = said < 0 ? kExitLate : ExitCode();
    if (code == kExitLate) {
      return Fail(ErrorCode::kDeadlineExceeded, "the engine's memory did not answer in time");
    }
    reason.resize(static_cast<std::size_t>(said));
    if (code == 0 && sent == static_cast<ssize_t>(input.size())) {
      return {};
    }
    return Fail(ErrorCode::kUnsupported,
                code == kExitRefused && !reason.empty()
                    ? "UCX does not reach the engine: " + reason
                    : "UCX does not survive the engine's worker_address and remote_key; they are "
                      "not what its UCX gave, or its memory is not where it says");
  }

 private:
  Child(pid_t pid, UniqueFd socket) : pid_(pid), socket_(std::move(socket)) {}

  /// What it says, at its end; -1 at the deadline.
  ssize_t Read(std::string& text, TimePoint deadline) {
    std::size_t have = 0;
    for (;;) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::Instance().Now());
      pollfd p{.fd = socket_.get(), .events = POLLIN, .revents = 0};
      if (left.count() <= 0 || poll(&p, 1, static_cast<int>(left.count())) == 0) {
        return -1;
      }
      const ssize_t got = read(socket_.get(), text.data() + have, text.size() - have);
      if (got == 0 || (got < 0 && errno != EINTR)) {
        return static_cast<ssize_t>(have);
      }
      have += got > 0 ? static_cast<std::size_t>(got) : 0;
    }
  }
  int ExitCode() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : kExitCrashed;
  }

  pid_t pid_;
  const UniqueFd socket_;
};

UcxProbes::UcxProbes(std::string transports) : transports_(std::move(transports)) {}
UcxProbes::~UcxProbes() = default;

Status UcxProbes::Prepare() {
  const MutexLock lock(mu_);
  return StartIfNone();
}

Status UcxProbes::StartIfNone() {
  if (stopping_) {
    return Fail(ErrorCode::kUnavailable, "the daemon stops");
  }
  if (waiting_ != nullptr) {
    return {};
  }
  auto child = Child::Start(transports_);
  if (!child) {
    return Fail(child.error());
  }
  waiting_ = std::move(*child);
  return {};
}

Status UcxProbes::Try(const v1::AttachUcx& attach) {
  const MutexLock lock(mu_);
  if (Status started = StartIfNone(); !started) {
    return started;
  }
  Status tried = waiting_->Try(attach);
  waiting_.reset();
  return tried;
}

}  // namespace cairn::server
