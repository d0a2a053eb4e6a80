#include "services/cairn-bench/replay.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/model/model_spec.h"
#include "libcache/trace/trace.h"
#include "services/cairn-bench/replay_client.h"
#include "services/cairn-bench/replay_report.h"
#include "services/cairn-bench/replay_target.h"
#include "services/cairn-bench/report.h"
#include "services/cairn-bench/work_queue.h"
#include "services/terminal/progress.h"

namespace cairn::bench {
namespace {

constexpr std::chrono::milliseconds kWatchEvery{200};
constexpr std::chrono::milliseconds kEndEvery{10};
/// Traces up to this size are read ahead so far that the bytes read say little about how far the
/// replay is; counting their requests beforehand takes a moment.
constexpr std::uint64_t kCountedBytes = 4 * kMiB;
/// Requests read ahead per client.
constexpr std::size_t kReadAhead = 4;

std::uint64_t Scaled(std::uint64_t bytes, double scale) {
  if (bytes == 0) {
    return 0;
  }
  return static_cast<std::uint64_t>(std::max(1.0, std::ceil(static_cast<double>(bytes) * scale)));
}

NamespaceSpec SpecFor(const ReplayOptions& options, const ModelSpec& model,
                      const TraceRequest& first) {
  NamespaceSpec spec;
  spec.model = model.id;
  spec.dtype = model.DTypeText();
  spec.layout = "cairn-bench";
  spec.salt = options.salt;
  spec.block_tokens = options.block_tokens != 0 ? options.block_tokens : first.block_tokens;
  spec.grid_tokens = options.grid_tokens != 0 ? options.grid_tokens
                     : first.exact            ? 1
                                              : spec.block_tokens;
  spec.kv_bytes_per_token = Scaled(model.KvBytesPerToken(), options.bytes_scale);
  spec.checkpoint_bytes = Scaled(model.CheckpointBytes(), options.bytes_scale);
  return spec;
}

/// Requests to come, for the progress bar; 0 if that would take long to find out.
std::uint64_t CountRequests(const ReplayOptions& options, const TraceReader& opened) {
  if (options.quiet || options.limit != 0 || opened.Progress().second > kCountedBytes) {
    return options.limit;
  }
  const auto reader = TraceReader::Open(options.trace);
  std::uint64_t count = 0;
  if (reader) {
    for (auto next = (*reader)->Next(); next && *next; next = (*reader)->Next()) {
      count += 1;
    }
  }
  return count;
}

/// One run of the trace: a thread reads it and keeps time, one works per client, one watches.
class Replay {
 public:
  Replay(const ReplayOptions& options, ReplayTarget& target, TraceReader& reader)
      : options_(options),
        target_(target),
        reader_(reader),
        queue_(kReadAhead * static_cast<std::size_t>(options.clients)),
        expected_(CountRequests(options, reader)) {}

  /// Errors: those of opening the namespace, before anything is replayed.
  Status Open(const NamespaceSpec& spec);
  void Run(TraceRequest first);
  /// What ended the replay early, if anything did.
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  void Report(ReplayReport& report) const;

 private:
  void Feed(TraceRequest first);
  bool WaitForArrival(double arrival_s) const;
  void Drive(ReplayClient& client);
  void Watch();
  void FailWith(const Error& error) CAIRN_EXCLUDES(mu_);

  const ReplayOptions& options_;
  ReplayTarget& target_;
  TraceReader& reader_;
  WorkQueue queue_;
  std::vector<std::unique_ptr<ReplayClient>> clients_;
  std::string plane_;
  TimePoint started_;
  double seconds_ = 0;
  TargetStatus before_;
  TargetStatus after_;
  const std::uint64_t expected_;  ///< Requests; 0: unknown.
  std::atomic<std::uint64_t> fed_{0};
  std::atomic<std::uint64_t> done_{0};
  std::atomic<double> share_fed_{0};
  std::atomic<bool> ended_{false};
  std::atomic<bool> stopped_{false};
  mutable Mutex mu_;
  std::optional<Error> failure_ CAIRN_GUARDED_BY(mu_);
};

Status Replay::Open(const NamespaceSpec& spec) {
  const ReplayClient::Config config{.name_space = spec,
                                    .deadline = std::chrono::milliseconds(options_.deadline_ms),
                                    .durable = options_.durable};
  for (int i = 0; i < options_.clients; ++i) {
    clients_.push_back(std::make_unique<ReplayClient>(config, target_.MakeClient(i)));
    if (const Status opened = clients_.back()->Open(); !opened) {
      return opened;
    }
  }
  plane_ = clients_.front()->PlaneName();
  before_ = target_.Watch();
  return {};
}

void Replay::FailWith(const Error& error) {
  {
    const MutexLock lock(mu_);
    if (!failure_) {
      failure_ = error;
    }
  }
  stopped_ = true;
  queue_.Stop();
}

bool Replay::WaitForArrival(double arrival_s) const {
  const auto due = started_ + std::chrono::duration_cast<Duration>(
                                  std::chrono::duration<double>(arrival_s * options_.time_scale));
  while (SteadyClock::Instance().Now() < due && !stopped_) {
    std::this_thread::sleep_until(std::min(due, SteadyClock::Instance().Now() + kWatchEvery));
  }
  return !stopped_;
}

void Replay::Feed(TraceRequest first) {
  std::optional<TraceRequest> next(std::move(first));
  for (std::uint64_t number = 0; next; ++number) {
    if (options_.time_scale > 0 && !WaitForArrival(next->arrival_s)) {
      break;
    }
    target_.AdvanceTo(next->arrival_s);
    auto work = std::make_unique<Work>();
    work->number = number;
    work->request = std::move(*next);
    if (!queue_.Put(std::move(work))) {
      break;
    }
    fed_ = number + 1;
    if (options_.limit != 0 && number + 1 >= options_.limit) {
      break;
    }
    const auto [read, all] = reader_.Progress();
    share_fed_ = all == 0 ? 0 : static_cast<double>(read) / static_cast<double>(all);
    auto result = reader_.Next();
    if (!result) {  // What was read before is still served.
      const MutexLock lock(mu_);
      failure_ = failure_ ? failure_ : result.error();
      break;
    }
    next = std::move(*result);
  }
  queue_.Finish();
}

void Replay::Drive(ReplayClient& client) {
  while (const auto work = queue_.Take()) {
    const Status served = client.Serve(*work);
    queue_.Done(*work);
    done_ += 1;
    if (!served) {
      FailWith(served.error());
      return;
    }
  }
}

void Replay::Watch() {
  terminal::Progress progress(terminal::Progress::Unless(options_.quiet));
  for (TimePoint next = started_ + kWatchEvery; !ended_;) {
    std::this_thread::sleep_for(kEndEvery);  // Not to be waited for at the end.
    if (SteadyClock::Instance().Now() < next) {
      continue;
    }
    next += kWatchEvery;
    target_.Watch();
    const auto fed = static_cast<double>(fed_);
    const std::uint64_t done = done_;
    const auto part = static_cast<double>(done);
    const double share = expected_ != 0 ? part / static_cast<double>(expected_)
                         : fed > 0      ? share_fed_ * part / fed
                                        : 0;
    const std::string of = expected_ != 0 ? " of " + Grouped(expected_) : "";
    const std::string text = Grouped(done) + of + " requests";
    progress.Update(share, text);
  }
}

void Replay::Run(TraceRequest first) {
  started_ = SteadyClock::Instance().Now();
  std::vector<std::thread> threads;
  threads.reserve(clients_.size());
  for (const auto& client : clients_) {
    threads.emplace_back([this, &client] { Drive(*client); });
  }
  std::thread watcher([this] { Watch(); });
  Feed(std::move(first));
  for (std::thread& thread : threads) {
    thread.join();
  }
  seconds_ = std::chrono::duration<double>(SteadyClock::Instance().Now() - started_).count();
  ended_ = true;
  watcher.join();
  after_ = target_.Watch();  // While the clients are still connected: none may hold a lease.
}

void Replay::Report(ReplayReport& report) const {
  report.target = target_.name();
  report.plane = plane_;
  for (const auto& client : clients_) {
    report.tally.Add(client->tally());
  }
  report.before = before_;
  report.after = after_;
  report.status_problem = target_.status_problem();
  report.peak_rss_bytes = target_.PeakRssBytes();
  if (target_.embedded()) {  // The engines' memory is not the cache's.
    std::uint64_t engines = 0;
    for (const auto& client : clients_) {
      engines += client->buffer_bytes();
    }
    report.peak_rss_bytes -= std::min(report.peak_rss_bytes, engines);
  }
  report.cap_bytes = target_.CapBytes();
  report.seconds = seconds_;
}

/// Says what went wrong; kExitOk if nothing did.
int Judge(const ReplayReport& report, const std::optional<Error>& failure) {
  int code = kExitOk;
  if (failure) {
    const bool trace = failure->code != ErrorCode::kUnavailable;
    Complain(trace ? failure->message
                   : "the daemon at " + report.target + " is gone: " + failure->message);
    code = kExitFailed;
  }
  if (report.tally.verification_failures != 0) {
    Complain("wrong bytes were read " + std::to_string(report.tally.verification_failures) +
             " times. First: " + report.tally.first_wrong +
             "\nThis is a bug of Cairn. Please report this message, the command line and the "
             "daemon's log.");
    code = kExitFailed;
  }
  if (report.after.known && report.LeasesLeft() != 0) {
    Complain(std::to_string(report.LeasesLeft()) +
             " leases or reservations are left that were not there before; harmless if other "
             "engines use the daemon, else a bug to report (cairnctl leases shows them)");
    code = report.target == "embedded" ? kExitFailed : code;
  }
  return code;
}

int FailStart(const Error& error) {
  Complain(error.message);
  return error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailed;
}

}  // namespace

int RunReplay(const ReplayOptions& options) {
  const auto model = LoadModelSpec(options.model);
  if (!model) {
    Complain("--model: " + model.error().message);
    return kExitUsage;
  }
  const auto reader = TraceReader::Open(options.trace);
  if (!reader) {
    Complain("--trace: " + reader.error().message);
    return kExitFailed;
  }
  auto next = (*reader)->Next();
  if (!next) {
    Complain(next.error().message);
    return kExitFailed;
  }
  std::optional<TraceRequest> first = std::move(*next);
  if (!first) {
    Complain("--trace: " + options.trace + " has no requests");
    return kExitFailed;
  }
  const auto target = ReplayTarget::Open(options);
  if (!target) {
    return FailStart(target.error());
  }
  ReplayReport report;
  report.options = &options;
  report.name_space = SpecFor(options, *model, *first);
  Replay replay(options, **target, **reader);
  if (const Status opened = replay.Open(report.name_space); !opened) {
    return FailStart(opened.error());
  }
  replay.Run(std::move(*first));
  replay.Report(report);
  const auto failure = replay.failure();
  const int code = Judge(report, failure);
  if (failure) {
    std::fprintf(stderr, "\nUntil then:\n%s", ReplayText(report).c_str());
    return code;
  }
  const int printed = Print(ReplayJson(report), ReplayText(report), options.json, options.save);
  return code != kExitOk ? code : printed;
}

}  // namespace cairn::bench
