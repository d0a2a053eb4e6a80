#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "cairn/v1/cache.pb.h"
#include "libcache/base/mutex.h"
#include "libcache/base/result.h"
#include "libcache/base/unique_fd.h"

namespace cairn::server {

/// First argument of a cairnd that is a probe and nothing else; the second is its transports.
inline constexpr std::string_view kUcxProbeArgument = "ucx-probe";

/// The main program of a probe: reads one AttachUcx from standard input and reaches for that memory
/// as a daemon would. Returns the exit code: 0 if all went well, else with the reason on standard
/// output. What UCX cannot take ends the process; so does the time limit.
int RunUcxProbe(const std::string& transports);

/// Tries in child processes what peers gave for UCX, which ends the process over some addresses and
/// keys that are malformed (1.13.1) and follows them to memory that may not be there. Each child
/// tries one peer, so that nothing of a hostile one is left for the next; one is kept waiting,
/// since to start it takes longer than its work. Thread-safe; calls wait for one another.
class UcxProbes {
 public:
  explicit UcxProbes(std::string transports);
  ~UcxProbes();
  UcxProbes(const UcxProbes&) = delete;
  UcxProbes& operator=(const UcxProbes&) = delete;

  /// Has a child waiting, if there is none. Errors: kUnavailable (no process to be had).
  Status Prepare() CAIRN_EXCLUDES(mu_);
  /// Takes a second for a peer that does not move, and else a few milliseconds, if a child was
  /// waiting. Errors: kUnsupported (no way there, or UCX does not survive it), kDeadlineExceeded,
  /// kUnavailable (no process to be had).
  Status Try(const v1::AttachUcx& attach) CAIRN_EXCLUDES(mu_);
  /// Calls that wait, and those to come, fail at once.
  void Stop() { stopping_ = true; }

 private:
  class Child;
  Status StartIfNone() CAIRN_REQUIRES(mu_);

  const std::string transports_;
  std::atomic<bool> stopping_{false};
  Mutex mu_;
  std::unique_ptr<Child> waiting_ CAIRN_GUARDED_BY(mu_);
};

/// As UCX may read a peer's address or key: it learns the length from the bytes, so zeros follow.
std::string PaddedForUcx(const std::string& blob);

}  // namespace cairn::server
