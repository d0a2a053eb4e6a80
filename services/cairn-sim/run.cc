#include "services/cairn-sim/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/model/model_spec.h"
#include "libcache/trace/generator.h"
#include "libcache/trace/trace.h"
#include "services/cairn-sim/html_run.h"
#include "services/cairn-sim/json.h"
#include "services/cairn-sim/report.h"
#include "services/cairn-sim/run_text.h"
#include "services/cairn-sim/strategies.h"
#include "services/cairn-sim/tiers.h"

namespace cairn::sim {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kTellEvery = 64;  // Requests.

/// A trace that ends after the run's limit, tells how far it is, and is refused if its blocks
/// cannot be cut or joined to those of the run.
class WatchedReader final : public TraceReader {
 public:
  WatchedReader(std::unique_ptr<TraceReader> reader, const Run& run,
                const std::function<void(double)>& progress)
      : reader_(std::move(reader)),
        limit_(run.options.limit == 0 ? kUnlimited : run.options.limit),
        block_tokens_(run.sim.block_tokens),
        progress_(progress) {}

  Result<std::optional<TraceRequest>> Next() override {
    if (given_ == limit_) {
      return std::optional<TraceRequest>();
    }
    if (given_++ % kTellEvery == 0) {
      const auto [done, all] = Progress();
      progress_(all == 0 ? 0 : static_cast<double>(done) / static_cast<double>(all));
    }
    auto request = reader_->Next();
    if (request && *request && !Divisible(**request)) {
      return Fail(ErrorCode::kInvalidArgument, "--block-tokens: " + std::to_string(block_tokens_) +
                                                   " and the trace's blocks of " +
                                                   std::to_string((*request)->block_tokens) +
                                                   " tokens do not go into each other");
    }
    return request;
  }
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> Progress() const override {
    const auto whole = reader_->Progress();
    if (limit_ == kUnlimited) {
      return whole;
    }
    // Whichever ends first.
    const double by_count = static_cast<double>(given_) / static_cast<double>(limit_);
    const double by_size = static_cast<double>(whole.first) /
                           static_cast<double>(std::max<std::uint64_t>(whole.second, 1));
    return by_count > by_size ? std::pair(given_, limit_) : whole;
  }

 private:
  [[nodiscard]] bool Divisible(const TraceRequest& request) const {
    const std::uint32_t own = request.block_tokens;
    return request.exact || own == 0 || own % block_tokens_ == 0 || block_tokens_ % own == 0;
  }

  std::unique_ptr<TraceReader> reader_;
  std::uint64_t limit_;
  std::uint32_t block_tokens_;
  std::uint64_t given_ = 0;
  const std::function<void(double)>& progress_;
};

Result<std::unique_ptr<TraceReader>> OpenTrace(const TraceChoice& trace) {
  if (trace.scenario.empty()) {
    return TraceReader::Open(trace.path);
  }
  const auto config = GeneratorScenario(trace.scenario, trace.seed, trace.requests);
  if (!config) {
    return Fail(config.error());
  }
  auto generator = TraceGenerator::Create(*config);
  if (!generator) {
    return Fail(generator.error());
  }
  return *std::move(generator);
}

tl::unexpected<Error> Wrong(std::string text) {
  return Fail(ErrorCode::kInvalidArgument, std::move(text));
}

Status SetTiers(Run& run) {
  const RunOptions& options = run.options;
  if (!options.capacity.empty() || options.capacity_checkpoints != 0) {
    return Wrong("--tiers says how large the cache is; leave --capacity out");
  }
  if (options.sim.strategy == "oracle") {
    return Wrong("--tiers: the oracle knows one place only; give --capacity");
  }
  auto tiers = ParseTiers(options.tiers);
  if (!tiers) {
    return Fail(tiers.error());
  }
  run.sim.tiers = *std::move(tiers);
  run.sim.capacity_bytes = 0;
  for (const TierOptions& tier : run.sim.tiers) {
    run.sim.capacity_bytes += tier.capacity_bytes;
  }
  return {};
}

Status SetCapacity(Run& run) {
  const RunOptions& options = run.options;
  if (!options.tiers.empty()) {
    return SetTiers(run);
  }
  if (options.capacity_checkpoints != 0) {
    const std::uint64_t state = run.sim.checkpoint_bytes;
    if (!options.capacity.empty()) {
      return Wrong("--capacity and --capacity-checkpoints exclude each other; give one of them");
    }
    if (state == 0) {
      return Wrong("--capacity-checkpoints: " + run.model_id +
                   " has no recurrent state to count; give --capacity");
    }
    if (options.capacity_checkpoints > kUnlimited / state) {
      return Wrong("--capacity-checkpoints: that many states are more bytes than can be counted");
    }
    run.sim.kv_bytes_per_token = 0;
    run.sim.capacity_bytes = options.capacity_checkpoints * state;
    return {};
  }
  if (options.capacity.empty()) {
    return Wrong(
        "give the cache a size: --capacity 500GB, --capacity unlimited, --tiers or "
        "--capacity-checkpoints");
  }
  run.sim.capacity_bytes = kUnlimited;
  if (options.capacity != "unlimited") {
    const auto bytes = ParseBytes(options.capacity);
    if (!bytes) {
      return Wrong("--capacity: " + bytes.error().message);
    }
    if (*bytes == 0) {
      return Wrong("--capacity: must be above 0; to simulate no cache take --strategy none");
    }
    run.sim.capacity_bytes = *bytes;
  }
  return {};
}

Status SetBandwidth(Run& run) {
  if (run.options.write_bandwidth.empty()) {
    return {};
  }
  const auto speed = ParseSpeed(run.options.write_bandwidth);
  if (!speed) {
    return Wrong("--write-bandwidth: " + speed.error().message);
  }
  run.sim.learned.write_bytes_per_s = *speed;
  return {};
}

Status CheckTrace(const TraceChoice& trace) {
  if (trace.path.empty() == trace.scenario.empty()) {
    return Wrong("give --trace FILE or --generate SCENARIO, one of them");
  }
  if (trace.scenario.empty()) {
    return {};
  }
  const auto known = GeneratorScenario(trace.scenario, trace.seed, trace.requests);
  return known ? Status() : Status(Wrong("--generate: " + known.error().message));
}

/// Gives all requests of a trace to a Simulator or a ClusterSimulator.
template <class S>
Status Feed(TraceReader& reader, S& simulator) {
  while (true) {
    const auto request = reader.Next();
    if (!request) {
      return Fail(request.error());
    }
    if (!*request) {
      return {};
    }
    simulator.Add(**request);
  }
}

Result<Report> Replay(TraceReader& reader, const Options& options) {
  if (options.strategy == "oracle") {
    return RunOracle(reader, options);
  }
  auto simulator = Simulator::Create(options);
  if (!simulator) {
    return Fail(simulator.error());
  }
  if (const Status fed = Feed(reader, **simulator); !fed) {
    return Fail(fed.error());
  }
  return (*simulator)->Finish();
}

Result<ClusterReport> ReplayCluster(TraceReader& reader, const Run& run) {
  auto simulator = ClusterSimulator::Create(run.sim, run.options.cluster);
  if (!simulator) {
    return Fail(simulator.error());
  }
  if (const Status fed = Feed(reader, **simulator); !fed) {
    return Fail(fed.error());
  }
  return (*simulator)->Finish();
}

Status CheckCluster(const RunOptions& options) {
  const ClusterOptions& cluster = options.cluster;
  if (cluster.daemons == 0) {
    return Wrong("--daemons: must be at least 1");
  }
  if (cluster.daemons > 1 && (options.sim.strategy == "oracle" || !options.tiers.empty())) {
    return Wrong("--daemons: the oracle and --tiers are simulated for one daemon only");
  }
  std::uint32_t before = cluster.rule.home_tokens;
  for (const std::uint32_t tokens : cluster.rule.spread_tokens) {
    if (tokens <= before) {
      return Wrong("--family-tokens: must ascend");
    }
    before = tokens;
  }
  return {};
}

}  // namespace

std::string TraceChoice::Name() const {
  return scenario.empty() ? path
                          : scenario + "(requests=" + std::to_string(requests) +
                                ",seed=" + std::to_string(seed) + ")";
}

Result<Run> Prepare(const RunOptions& options) {
  Run run{.options = options, .sim = options.sim, .model_id = ""};
  if (run.sim.eviction.empty()) {
    run.sim.eviction = OwnEviction(run.sim.strategy);
  }
  for (const Status& status : {CheckTrace(options.trace), CheckStrategy(options.sim.strategy),
                               CheckEviction(run.sim.eviction), CheckCluster(options)}) {
    if (!status) {
      return Fail(status.error());
    }
  }
  if (options.sim.block_tokens == 0 || options.sim.block_tokens > kMaxRequestTokens) {
    return Wrong("--block-tokens: must be from 1 to " + std::to_string(kMaxRequestTokens));
  }
  const double alpha = options.sim.marconi_alpha.value_or(0);
  if (!std::isfinite(alpha) || alpha < 0) {
    return Wrong("--marconi-alpha: must be a finite number, not below 0");
  }
  const auto model = LoadModelSpec(options.model);
  if (!model) {
    return Fail(model.error().code, "--model: " + model.error().message);
  }
  const auto cost = MakePrefillCost(*model, options.cost);
  if (!cost) {
    return Fail(cost.error());
  }
  run.model_id = model->id;
  run.sim.cost = *cost;
  run.sim.checkpoint_bytes = model->CheckpointBytes();
  run.sim.kv_bytes_per_token = model->KvBytesPerToken();
  run.sim.context_tokens = options.context_tokens.value_or(model->context_tokens);
  Status done = SetCapacity(run);
  done = done ? SetBandwidth(run) : done;
  if (!done) {
    return Fail(done.error());
  }
  return run;
}

Result<RunResult> Execute(const Run& run, const std::function<void(double)>& progress) {
  auto opened = OpenTrace(run.options.trace);
  if (!opened) {
    return Fail(opened.error());
  }
  WatchedReader reader(*std::move(opened), run, progress);
  const auto began = std::chrono::steady_clock::now();
  RunResult result{.run = run, .report = Report()};
  if (run.options.cluster.daemons > 1) {
    auto cluster = ReplayCluster(reader, run);
    if (!cluster) {
      return Fail(cluster.error());
    }
    for (std::size_t i = 0; i < cluster->daemons.size(); ++i) {
      result.daemons.push_back(
          {.report = std::move(cluster->daemons[i]), .used_bytes = cluster->used_bytes[i]});
    }
    result.report = std::move(cluster->sum);
    result.asked = cluster->asked;
  } else {
    auto report = Replay(reader, run.sim);
    if (!report) {
      return Fail(report.error());
    }
    result.report = *std::move(report);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  result.simulated_in_s = took.count();
  return result;
}

double RunResult::BytesSpread() const {
  double sum = 0;
  for (const DaemonShare& daemon : daemons) {
    sum += static_cast<double>(daemon.used_bytes);
  }
  const double mean = sum / static_cast<double>(std::max<std::size_t>(daemons.size(), 1));
  double most = 0;
  for (const DaemonShare& daemon : daemons) {
    most = std::max(most, std::abs(static_cast<double>(daemon.used_bytes) - mean));
  }
  return mean > 0 ? most / mean : 0;
}

int RunOne(const RunOptions& options, const HtmlTarget& html, bool json,
           terminal::Progress::Show show) {
  const auto run = Prepare(options);
  if (!run) {
    return WrongUsage(run.error(), json);
  }
  auto report = HtmlFile::Open(html);
  if (!report) {
    return Failed(report.error(), json);
  }
  terminal::Progress bar(show);
  const auto result = Execute(*run, [&](double share) { bar.Update(share, run->sim.strategy); });
  bar.Clear();
  if (!result) {
    return Failed(result.error(), json);
  }
  if (!html.path.empty()) {
    if (const Status written = report->Write(RunHtml(*result, html)); !written) {
      return Failed(written.error(), json);
    }
  }
  return Print(json ? RunJson(*result) : RunText(*result), json);
}

}  // namespace cairn::sim
