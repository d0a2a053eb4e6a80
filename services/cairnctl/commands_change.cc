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

constexpr std::chrono::milliseconds kProgressEvery{50};

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

std::string WaitingFor(const v1::StatusReply& status) {
  return status.leases() + status.reservations() == 0
             ? "the process ends; with an SSD it writes what is queued first"
             : FormatCount(status.leases(), "lease") + " and " +
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

/// Follows a drain to its end. What the daemon said of it last: whether something was cut off;
/// nothing where it did not say that it was done. `process`: null over TCP.
/// Errors, over TCP: the daemon is silent, or was lost before it said that it was done.
Result<std::optional<bool>> FollowDrain(Daemon asked, const ProcessWatch* process, bool quiet) {
  Progress progress(quiet);
  std::optional<Daemon> daemon(std::move(asked));
  std::optional<bool> cut_off;
  for (;;) {
    if (process == nullptr && cut_off) {
      return cut_off;
    }
    if (process == nullptr) {
      std::this_thread::sleep_for(kProgressEvery);
    } else if (process->EndsWithin(kProgressEvery)) {
      return cut_off;
    }
    if (!daemon) {
      continue;
    }
    const auto status = daemon->Status();
    if (!status && process == nullptr) {
      return Fail(
          status.error().code,
          status.error().message + "; it had not said that everything is written: see its log");
    }
    if (!status) {
      daemon.reset();  // Its process tells when it has ended.
    } else if (status->state() == "drained") {
      cut_off = status->drain_cut_off();
      daemon.reset();  // It waits for us to go.
    } else {
      progress.Say(WaitingFor(*status));
    }
  }
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
    return invocation.json
               ? DrainJson(-1, false)
               : "draining: the daemon takes no new requests and connections and ends "
                 "when those under way are done; with --wait, cairnctl stays until then\n";
  }
  const auto cut_off =
      FollowDrain(*std::move(daemon), process ? &*process : nullptr, invocation.json);
  if (!cut_off) {
    return Fail(cut_off.error());
  }
  const std::chrono::duration<double> took = SteadyClock::Instance().Now() - began;
  if (!*cut_off) {
    return Fail(ErrorCode::kUnavailable, "the daemon's process has ended, after " +
                                             FormatSeconds(took.count()) +
                                             ", without saying that everything is written: see "
                                             "its log");
  }
  return invocation.json
             ? DrainJson(took.count(), **cut_off)
             : "the daemon has ended, after " + FormatSeconds(took.count()) +
                   (**cut_off ? "; something was cut off or not written: see its log\n" : "\n");
}

}  // namespace cairn::ctl
