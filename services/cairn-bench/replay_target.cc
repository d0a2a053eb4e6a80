#include "services/cairn-bench/replay_target.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "libcache/cache/open_cache.h"
#include "libcache/placement/planner.h"
#include "libcache/policy/eviction.h"
#include "services/cairn-bench/report.h"

namespace cairn::bench {
namespace {

constexpr std::chrono::seconds kConnectLimit{5};
// Longer than any trace.
constexpr std::chrono::hours kTraceLease{10'000};
constexpr std::chrono::seconds kStatusLimit{2};
constexpr std::uint64_t kLeastMemory = 2 * kMiB;

std::uint64_t CountOf(const v1::StatusReply& status, const std::string& name) {
  const auto it = status.counters().find(name);
  return it == status.counters().end() ? 0 : it->second;
}

void AddReply(const v1::StatusReply& reply, TargetStatus& status) {
  status.known = true;
  status.planner = reply.planner();
  status.eviction = reply.eviction();
  status.rss_bytes += reply.rss_bytes();
  status.index_bytes += reply.index_bytes();
  status.leases += reply.leases() + reply.reservations();
  status.checksum_failures += CountOf(reply, "checksum_failures");
  for (const auto& [name, count] : reply.counters()) {
    status.evicted_objects += name.rfind("evictions_", 0) == 0 ? count : 0;
  }
  status.ssd_written_bytes += CountOf(reply, "ssd_written_bytes");
  status.ssd_device_written_bytes += CountOf(reply, "ssd_device_written_bytes");
}

}  // namespace

Result<PlaneChoice> ParsePlane(const std::string& name) {
  if (name == "auto") {
    return PlaneChoice::kAuto;
  }
  if (name == "shm") {
    return PlaneChoice::kShm;
  }
  if (name == "stream") {
    return PlaneChoice::kStream;
  }
  if (name == "ucx") {
    return PlaneChoice::kUcx;
  }
  return Fail(ErrorCode::kInvalidArgument,
              "--plane: '" + name + "' is not auto, shm, ucx or stream");
}

std::uint64_t OwnPeakRssBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * kKiB;
}

ReplayTarget::~ReplayTarget() = default;

Result<std::unique_ptr<ReplayTarget>> ReplayTarget::Open(const ReplayOptions& options) {
  std::unique_ptr<ReplayTarget> target(new ReplayTarget());
  const auto plane = ParsePlane(options.plane);
  if (!plane) {
    return Fail(plane.error());
  }
  target->plane_ = *plane;
  target->tls_ = options.tls;
  if (options.connect.empty()) {
    target->name_ = "embedded";
    if (const Status opened = target->OpenCache(options); !opened) {
      return Fail(opened.error());
    }
    return target;
  }
  target->name_ = options.connect;
  const Status connected = target->MakeClient(0)->Connect(In(kConnectLimit));
  if (!connected) {
    return Fail(connected.error().code,
                "cannot use the daemon at " + options.connect + ": " + connected.error().message);
  }
  target->OpenAdmin(options);
  return target;
}

Status ReplayTarget::OpenCache(const ReplayOptions& options) {
  const auto bad = [](std::string message) {
    return Fail(ErrorCode::kInvalidArgument, std::move(message));
  };
  if (options.ssd_bytes != 0 && options.ssd_path.empty()) {
    return bad("--ssd-path: --ssd is given, but not the directory to use");
  }
  if (options.ssd_bytes == 0 && !options.ssd_path.empty()) {
    return bad("--ssd: how much of the disk under " + options.ssd_path + " may be used?");
  }
  if (options.memory_bytes < kLeastMemory) {
    return bad("--memory: " + FormatBytes(options.memory_bytes) + " is too little; give at least " +
               FormatBytes(kLeastMemory));
  }
  if (const Status planner = CheckPlannerName(options.planner); !planner) {
    return bad("--policy: " + planner.error().message);
  }
  if (const auto eviction = MakeEvictionPolicy(options.eviction); !eviction) {
    return bad("--eviction: " + eviction.error().message);
  }
  Cache::Config config;
  config.host_bytes = options.memory_bytes;
  config.planner = options.planner;
  config.eviction = options.eviction;
  config.cold_queue_bytes = options.memory_bytes / 4;
  trace_clock_ = options.trace_clock;
  if (trace_clock_) {
    config.clock = &clock_;
    config.lease_time = kTraceLease;  // The trace's time may jump while a request is under way.
  }
  auto opened = OpenCacheWithSsd(config, options.ssd_path, options.ssd_bytes);
  if (!opened) {
    return Fail(opened.error());
  }
  if (!opened->notice.empty()) {
    Complain(opened->notice);
  }
  cache_ = std::move(opened->cache);
  cap_bytes_ = options.memory_bytes;
  return {};
}

void ReplayTarget::AdvanceTo(double trace_s) {
  if (trace_clock_ && trace_s > trace_s_) {
    clock_.Advance(
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>(trace_s - trace_s_)));
    trace_s_ = trace_s;
  }
}

void ReplayTarget::OpenAdmin(const ReplayOptions& options) {
  const std::string text = options.admin.empty() ? options.connect : options.admin;
  std::vector<Member> members;
  Status opened;
  if (IsOneEndpoint(text)) {
    members.push_back({.name = text, .endpoint = text});
  } else if (auto parsed = ParseMembers(text); parsed) {
    members = std::move(*parsed);
  } else {
    opened = Fail(parsed.error());
  }
  for (std::size_t i = 0; opened && i < members.size(); ++i) {
    opened = OpenAdminAt(members[i].endpoint, options.tls);
  }
  if (!opened) {
    status_problem_ = opened.error().message;
    admins_.clear();
    cap_bytes_ = 0;
  }
}

Status ReplayTarget::OpenAdminAt(const std::string& endpoint, const TlsClientOptions& tls) {
  auto admin = AdminClient::Connect(endpoint, In(kConnectLimit), tls);
  if (!admin) {
    return Fail(admin.error());
  }
  const auto config = admin->Config(In(kStatusLimit));
  if (!config) {
    return Fail(config.error());
  }
  if (const auto memory = config->find("memory"); memory != config->end()) {
    cap_bytes_ += ParseBytes(memory->second).value_or(0);
  }
  admins_.push_back(std::move(*admin));
  return {};
}

std::unique_ptr<Client> ReplayTarget::MakeClient(int number) const {
  ClientOptions options;
  options.endpoint = name_;
  options.cache = cache_;
  options.plane = plane_;
  options.tls = tls_;
  options.name = "cairn-bench/" + std::to_string(number);
  options.breaker_failures = 0;  // Every request is to be tried; ReplayClient knows when to end.
  return std::make_unique<Client>(std::move(options));
}

TargetStatus ReplayTarget::OfCache() const {
  const CacheStats stats = cache_->Stats();
  TargetStatus status;
  status.known = true;
  status.planner = cache_->planner_name();
  status.eviction = cache_->config().eviction;
  status.index_bytes = stats.index_bytes;
  status.leases = stats.leases + stats.reservations + stats.pins;
  status.checksum_failures = stats.checksum_failures + stats.cold_store.checksum_failures;
  for (const std::uint64_t count : stats.evictions) {
    status.evicted_objects += count;
  }
  status.ssd_written_bytes = stats.cold_store.written_bytes;
  status.ssd_device_written_bytes = stats.cold_store.device_written_bytes;
  return status;
}

TargetStatus ReplayTarget::Watch() {
  if (cache_ != nullptr) {
    cache_->SweepExpired();
    TargetStatus status = OfCache();
    status.rss_bytes = OwnPeakRssBytes();
    peak_rss_bytes_ = status.rss_bytes;
    return status;
  }
  TargetStatus status;
  std::uint64_t peaks = 0;
  for (AdminClient& admin : admins_) {
    const auto reply = admin.Status(In(kStatusLimit));
    if (!reply) {
      status_problem_ = reply.error().message;
      admins_.clear();  // Out of step, or gone with the daemon.
      return {};
    }
    AddReply(*reply, status);
    peaks += std::max(reply->rss_bytes(), reply->peak_rss_bytes());
  }
  // An older daemon does not tell its peak: then it is the largest of these looks.
  peak_rss_bytes_ = std::max(peak_rss_bytes_, peaks);
  return status;
}

std::uint64_t ReplayTarget::PeakRssBytes() const { return peak_rss_bytes_; }

}  // namespace cairn::bench
