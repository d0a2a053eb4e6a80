#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/result.h"
#include "libcache/cache/cache.h"
#include "libcache/connector/client.h"
#include "services/cairn-bench/admin_client.h"
#include "services/cairn-bench/replay.h"

namespace cairn::bench {

/// What the cache says about itself; of several daemons the sums.
struct TargetStatus {
  bool known = false;  ///< False where a daemon does not answer: then all below is zero.
  std::string planner;
  std::string eviction;
  std::uint64_t rss_bytes = 0;
  std::uint64_t index_bytes = 0;
  std::uint64_t leases = 0;
  std::uint64_t checksum_failures = 0;
  std::uint64_t evicted_objects = 0;
  std::uint64_t ssd_written_bytes = 0;         ///< Payload, since the cache started.
  std::uint64_t ssd_device_written_bytes = 0;  ///< As the store counts them.
};

/// The cache that a replay drives: a daemon, or one in this process. Watch is called by one thread
/// at a time; clients may be made and used meanwhile.
class ReplayTarget {
 public:
  /// Errors: those of Cache::Open and Client::Connect, kInvalidArgument.
  static Result<std::unique_ptr<ReplayTarget>> Open(const ReplayOptions& options);
  ~ReplayTarget();

  [[nodiscard]] std::unique_ptr<Client> MakeClient(int number) const;
  /// It is this late in the trace; for an embedded cache with the trace's clock, else nothing.
  void AdvanceTo(double trace_s);
  /// Status of now. Ends expired leases of an embedded cache, which nobody else does.
  TargetStatus Watch();
  /// The largest resident memory as of the last Watch: of the daemon since its start, or with an
  /// embedded cache of this process.
  [[nodiscard]] std::uint64_t PeakRssBytes() const;
  /// Memory the cache was allowed. The prefix index has a limit of its own.
  [[nodiscard]] std::uint64_t CapBytes() const { return cap_bytes_; }
  [[nodiscard]] bool embedded() const { return cache_ != nullptr; }
  /// "embedded", or the endpoint.
  [[nodiscard]] const std::string& name() const { return name_; }
  /// Why the status is not known, if it is not.
  [[nodiscard]] const std::string& status_problem() const { return status_problem_; }

 private:
  ReplayTarget() = default;
  Status OpenCache(const ReplayOptions& options);
  void OpenAdmin(const ReplayOptions& options);
  Status OpenAdminAt(const std::string& endpoint, const TlsClientOptions& tls);
  [[nodiscard]] TargetStatus OfCache() const;

  ManualClock clock_;  // Of the cache, where it follows the trace.
  bool trace_clock_ = false;
  double trace_s_ = 0;
  std::string name_;
  PlaneChoice plane_ = PlaneChoice::kAuto;
  TlsClientOptions tls_;
  std::shared_ptr<Cache> cache_;
  std::vector<AdminClient> admins_;  // One per daemon; none where one does not answer.
  std::string status_problem_;
  std::uint64_t cap_bytes_ = 0;
  std::uint64_t peak_rss_bytes_ = 0;
};

/// "auto", "shm" or "stream". Errors: kInvalidArgument.
Result<PlaneChoice> ParsePlane(const std::string& name);

/// Largest resident memory of this process so far.
std::uint64_t OwnPeakRssBytes();

}  // namespace cairn::bench
