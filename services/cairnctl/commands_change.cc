// Commands that change what the daemon holds, or end it.
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/base/clock.h"
#include "services/cairnctl/commands.h"
#include "services/cairnctl/daemon.h"
#include "services/cairnctl/format.h"
#include "services/cairnctl/json.h"
#include "services/cairnctl/process_watch.h"

namespace cairn::ctl {
namespace {

constexpr std::chrono::milliseconds kProgressEvery{250};

/// The prefix that the user named by its first digits, so that what is changed is what is shown.
Result<v1::LookupReply> Find(Daemon& daemon, const std::string& key) {
  v1::AdminRequest request;
  request.mutable_lookup()->set_key(key);
  auto reply = daemon.Call(request);
  if (!reply) {
    return Fail(reply.error());
  }
  return std::move(*reply->mutable_lookup());
}

std::string Named(const v1::LookupReply& found) {
  return ShortKey(found.node().key()) + " at position " + FormatCount(found.node().position());
}

Result<std::string> ChangePin(const Invocation& invocation, bool pinned) {
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  const auto found = Find(*daemon, invocation.argument);
  if (!found) {
    return Fail(found.error());
  }
  v1::AdminRequest request;
  if (pinned) {
    request.mutable_pin()->set_key(found->node().key());
  } else {
    request.mutable_unpin()->set_key(found->node().key());
  }
  const auto changed = daemon->Call(request);
  if (!changed) {
    return Fail(changed.error());
  }
  if (invocation.json) {
    return PinJson(*found, pinned);
  }
  return pinned ? "pinned " + Named(*found) + ": " + FormatBytes(found->restore_bytes()) +
                      " stay until cairnctl unpin, or until the daemon ends\n"
                : "unpinned " + Named(*found) + "\n";
}

std::string EvictedText(const v1::CountReply& count, const std::string& from, bool host_only) {
  if (count.objects() == 0) {
    return "nothing to drop" + from + "; what is pinned, in use or on its way to SSD stays\n";
  }
  return "dropped " + FormatCount(count.objects(), "object") + " (" + FormatBytes(count.bytes()) +
         ")" + from + (host_only ? ", from host memory only\n" : ", from all tiers\n");
}

/// What the daemon still waits for; empty if it cannot tell.
std::string WaitingFor(Daemon& daemon) {
  if (daemon.lost()) {
    return "";
  }
  v1::AdminRequest request;
  request.mutable_status();
  const auto reply = daemon.Call(request);
  if (!reply) {
    return "";
  }
  const v1::StatusReply& status = reply->status();
  return FormatCount(status.leases(), "lease") + " and " +
         FormatCount(status.reservations(), "reservation") + " under way";
}

/// Tells on standard error what takes so long, a line per change.
class Progress {
 public:
  explicit Progress(bool quiet) : quiet_(quiet) {}
  void Say(const std::string& what) {
    if (!quiet_ && what != said_) {
      std::fprintf(stderr, "waiting: %s\n", what.c_str());
      said_ = what;
    }
  }

 private:
  const bool quiet_;
  std::string said_;
};

bool HasEnded(const std::optional<ProcessWatch>& process, const Daemon& daemon) {
  if (process) {
    return process->EndsWithin(kProgressEvery);
  }
  // The next best sign: the connection, which the daemon closes when all is written.
  if (!daemon.lost()) {
    std::this_thread::sleep_for(kProgressEvery);
  }
  return daemon.lost();
}

/// After a connection was lost: a host that answers, be it by refusing, has lost no link to us.
/// Errors: kUnavailable where nobody answers at all.
Status ExpectGone(const Invocation& invocation) {
  const auto again =
      Socket::Connect(invocation.endpoint, SteadyClock::Instance().Now() + invocation.timeout);
  if (!again && again.error().code == ErrorCode::kDeadlineExceeded) {
    return Fail(ErrorCode::kUnavailable,
                "the connection was lost and " + invocation.endpoint.Text() +
                    " does not answer: whether the daemon has ended cannot be told from here");
  }
  return {};
}

}  // namespace

Result<std::string> RunPin(const Invocation& invocation) { return ChangePin(invocation, true); }

Result<std::string> RunUnpin(const Invocation& invocation) { return ChangePin(invocation, false); }

Result<std::string> RunEvict(const Invocation& invocation) {
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  const auto found = Find(*daemon, invocation.argument);
  if (!found) {
    return Fail(found.error());
  }
  const bool host_only = invocation.Has("--host-only");
  v1::AdminRequest request;
  request.mutable_evict()->set_key(found->node().key());
  request.mutable_evict()->set_host_only(host_only);
  const bool kv_only = invocation.Has("--kv-only");
  if (kv_only && invocation.Has("--checkpoints-only")) {
    return Fail(ErrorCode::kInvalidArgument,
                "--kv-only and --checkpoints-only leave nothing to drop; without both, both go");
  }
  if (kv_only || invocation.Has("--checkpoints-only")) {
    request.mutable_evict()->set_only(kv_only ? "kv" : "checkpoint");
  }
  const auto reply = daemon->Call(request);
  if (!reply) {
    return Fail(reply.error());
  }
  return invocation.json ? EvictedJson(reply->count(), found->node().key(), host_only)
                         : EvictedText(reply->count(), " at and below " + Named(*found), host_only);
}

Result<std::string> RunClear(const Invocation& invocation) {
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  v1::AdminRequest request;
  request.mutable_clear();
  const auto reply = daemon->Call(request);
  if (!reply) {
    return Fail(reply.error());
  }
  return invocation.json ? EvictedJson(reply->count(), "", false)
                         : EvictedText(reply->count(), "", false);
}

Result<std::string> RunDrain(const Invocation& invocation) {
  const TimePoint began = SteadyClock::Instance().Now();
  const bool wait = invocation.Has("--wait");
  auto daemon = Daemon::Open(invocation);
  if (!daemon) {
    return Fail(daemon.error());
  }
  // Before the drain: afterwards nobody listens any more.
  std::optional<ProcessWatch> process;
  if (wait) {
    process = ProcessWatch::OfListener(invocation.endpoint, began + invocation.timeout);
  }
  v1::AdminRequest request;
  request.mutable_drain();
  const auto reply = daemon->Call(request);
  // An idle daemon may be gone before its answer is out; that is what was asked for.
  const bool left = !reply && reply.error().code == ErrorCode::kUnavailable && daemon->lost();
  if (!reply && !left) {
    return Fail(reply.error());
  }
  if (!wait) {
    return invocation.json ? DrainJson(-1)
                           : "draining: the daemon takes no new requests and ends when those under "
                             "way are done; cairnctl drain --wait waits for that\n";
  }
  Progress progress(invocation.json);
  while (!HasEnded(process, *daemon)) {
    const std::string waiting = WaitingFor(*daemon);
    progress.Say(waiting.empty() ? "the process ends; with an SSD it writes what is queued first"
                                 : waiting);
  }
  if (!process) {
    if (Status ended = ExpectGone(invocation); !ended) {
      return Fail(ended.error());
    }
  }
  const std::chrono::duration<double> took = SteadyClock::Instance().Now() - began;
  return invocation.json ? DrainJson(took.count())
                         : "the daemon has ended, after " + FormatSeconds(took.count()) + "\n";
}

}  // namespace cairn::ctl
