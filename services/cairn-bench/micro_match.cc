#include <thread>

#include "libcache/base/bytes.h"
#include "libcache/connector/client.h"
#include "services/cairn-bench/daemon_process.h"
#include "services/cairn-bench/latency.h"
#include "services/cairn-bench/micro.h"
#include "services/cairn-bench/micro_report.h"
#include "services/cairn-bench/report.h"
#include "services/terminal/progress.h"

namespace cairn::bench {
namespace {

constexpr std::uint64_t kDaemonMemory = 256 * kMiB;
constexpr std::uint32_t kBlockTokens = 512;
constexpr std::uint32_t kLongPrompt = 131'072;
constexpr std::uint32_t kShortPrompt = 8'192;
constexpr int kShortClients = 8;
/// Matches between two looks at the daemon's CPU time; their leases are released afterwards, so
/// that releasing is not counted. A session may hold 1,024.
constexpr int kBatch = 500;
constexpr std::chrono::seconds kCallLimit{30};

/// A client with a prompt that is in the cache: KV of all its blocks, and checkpoints at a quarter,
/// at half and before its end.
class Matcher {
 public:
  static Result<std::unique_ptr<Matcher>> Open(const std::string& endpoint, std::uint32_t tokens,
                                               std::uint32_t number) {
    auto matcher = std::make_unique<Matcher>(endpoint, tokens, number);
    const Status ready = matcher->Prepare();
    return ready ? Result<std::unique_ptr<Matcher>>(std::move(matcher)) : Fail(ready.error());
  }
  Matcher(const std::string& endpoint, std::uint32_t tokens, std::uint32_t number)
      : client_({.endpoint = endpoint, .cache = nullptr}), tokens_(tokens) {
    for (std::uint32_t i = 0; i < tokens; ++i) {
      tokens_[i] = number + i;
    }
  }

  Status Match() {
    const TimePoint begin = SteadyClock::Instance().Now();
    auto hit = client_.Match(prompt_, In(kCallLimit));
    us_.push_back(
        std::chrono::duration<double, std::micro>(SteadyClock::Instance().Now() - begin).count());
    if (!hit) {
      return Fail(hit.error());
    }
    if (hit->resume_at == 0) {
      return Fail(ErrorCode::kNotFound, "the prompt is not in the cache");
    }
    hits_.push_back(std::move(*hit));
    return {};
  }
  Status ReleaseAll() {
    for (const Client::Hit& hit : hits_) {
      if (const Status released = client_.Release(hit, In(kCallLimit)); !released) {
        return released;
      }
    }
    hits_.clear();
    return {};
  }
  [[nodiscard]] const std::vector<double>& us() const { return us_; }

 private:
  Status Prepare() {
    NamespaceSpec spec;
    spec.model = "match";
    spec.layout = "cairn-bench";
    spec.block_tokens = kBlockTokens;
    spec.kv_bytes_per_token = 1;
    spec.checkpoint_bytes = kKiB;
    const auto handle = client_.OpenNamespace(spec, In(kCallLimit));
    if (!handle) {
      return Fail(handle.error());
    }
    auto prompt = client_.MakePrompt(*handle, 1, tokens_);
    if (!prompt) {
      return Fail(prompt.error());
    }
    prompt_ = std::move(*prompt);
    if (const auto known = client_.Match(prompt_, In(kCallLimit)); !known) {
      return Fail(known.error());
    }
    const std::vector<std::byte> bytes(kKiB);
    const auto length = static_cast<std::uint32_t>(tokens_.size());
    std::vector<Client::StoreItem> items;
    for (std::uint32_t at = kBlockTokens; at < length; at += kBlockTokens) {
      items.push_back(
          {.kind = ObjectKind::kKv, .position = at, .bytes = std::span(bytes).first(kBlockTokens)});
      if (at % (length / 4) == 0 || at + kBlockTokens >= length) {
        items.push_back({.kind = ObjectKind::kCheckpoint, .position = at, .bytes = bytes});
      }
    }
    const auto stored = client_.Store(prompt_, items, false, In(kCallLimit));
    return stored ? Status() : Status(Fail(stored.error()));
  }

  Client client_;
  std::vector<std::uint32_t> tokens_;
  Client::Prompt prompt_;
  std::vector<Client::Hit> hits_;
  std::vector<double> us_;
};

struct Figures {
  std::uint64_t matches = 0;
  double seconds = 0;  ///< While matching.
  double cpu_seconds = 0;
  std::vector<double> us;
};

/// All matchers at once, batch after batch, until the time is over.
Result<Figures> Measure(const MicroOptions& options, const DaemonProcess& daemon,
                        std::uint32_t tokens, int clients) {
  std::vector<std::unique_ptr<Matcher>> matchers;
  for (int i = 0; i < clients; ++i) {
    auto matcher =
        Matcher::Open(daemon.endpoint(), tokens, static_cast<std::uint32_t>(i) * 1'000'000);
    if (!matcher) {
      return Fail(matcher.error());
    }
    matchers.push_back(std::move(*matcher));
  }
  Figures figures;
  std::vector<Status> results(matchers.size());
  for (bool warm = false; figures.seconds < options.seconds;) {
    const double cpu = daemon.CpuSeconds();
    const TimePoint begin = SteadyClock::Instance().Now();
    std::vector<std::thread> threads;
    threads.reserve(matchers.size());
    for (std::size_t i = 0; i < matchers.size(); ++i) {
      threads.emplace_back([&, i] {
        for (int n = 0; n < kBatch && results[i]; ++n) {
          results[i] = matchers[i]->Match();
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    const std::chrono::duration<double> spent = SteadyClock::Instance().Now() - begin;
    const double used = daemon.CpuSeconds() - cpu;
    for (std::size_t i = 0; i < matchers.size(); ++i) {
      if (results[i]) {
        results[i] = matchers[i]->ReleaseAll();
      }
      if (!results[i]) {
        return Fail(results[i].error());
      }
    }
    if (warm) {
      figures.seconds += spent.count();
      figures.cpu_seconds += used;
      figures.matches += matchers.size() * kBatch;
    }
    warm = true;
  }
  for (const auto& matcher : matchers) {
    figures.us.insert(figures.us.end(), matcher->us().begin(), matcher->us().end());
  }
  return figures;
}

}  // namespace

int RunMatch(const MicroOptions& options) {
  using enum MicroReport::Unit;
  const auto daemon = DaemonProcess::Start({.memory_bytes = kDaemonMemory, .below = ""});
  if (!daemon) {
    return MicroFailed("match", daemon.error());
  }
  MicroReport report("match", "matching prompts that are in the cache, blocks of 512, Unix socket",
                     {{"prompt_tokens", "prompt", kCount},
                      {"clients", "clients", kCount},
                      {"daemon_cpu_us", "daemon CPU/match", kMicroseconds},
                      {"matches_per_cpu_second", "matches/s/core", kCount},
                      {"matches_per_second", "matches/s", kCount},
                      {"match_us", "match, median", kMicroseconds},
                      {"matches", "matches", kCount}});
  terminal::Progress progress(terminal::Progress::Unless(options.quiet));
  int step = 0;
  for (const auto& [tokens, clients] :
       {std::pair{kLongPrompt, 1}, {kShortPrompt, 1}, {kShortPrompt, kShortClients}}) {
    progress.Update(step++ / 3.0, Grouped(tokens) + " tokens");
    auto figures = Measure(options, **daemon, tokens, clients);
    if (!figures) {
      return MicroFailed("match", figures.error());
    }
    const auto matches = static_cast<double>(figures->matches);
    const double cpu = figures->cpu_seconds;
    report.Add({static_cast<double>(tokens), static_cast<double>(clients), cpu / matches * 1e6,
                cpu > 0 ? matches / cpu : -1, matches / figures->seconds,
                Median(std::move(figures->us)), matches});
  }
  progress.Clear();
  report.Note(
      "matches/s/core is matches per second of the daemon's CPU time, system calls "
      "included; the clients and the daemon share this machine's cores.");
  return report.Finish(options);
}

}  // namespace cairn::bench
