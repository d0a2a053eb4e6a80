// What the learned placement costs per request, at its steady state with many places.
#include <benchmark/benchmark.h>

#include <chrono>
#include <limits>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "libcache/placement/learned_placement.h"

namespace {

using namespace cairn;  // NOLINT(google-build-using-namespace): a program of one file.

constexpr std::uint32_t kGrain = 512;
constexpr std::uint32_t kResident = 2000;

/// Sessions of some ten turns below a few system prompts; as many checkpoints as fit stay.
class Traffic {
 public:
  /// With `ages_apart` only Age brings ages up to date, as a daemon may have it.
  Traffic(std::uint32_t places, bool ages_apart)
      : placement_({.max_sites = places,
                    .capacity_bytes = 400'000'000'000,
                    .aged_per_call = ages_apart ? 0 : kAll}) {
    root_ = placement_.AddOwner({.tenant = 1,
                                 .checkpoint_bytes = 153'944'064,
                                 .kv_bytes_per_token = 65'536,
                                 .grain_tokens = kGrain,
                                 .cost = {.per_token_s = 180e-6, .per_pair_s = 0}},
                                0);
    int made = 0;
    while (placement_.tree().sites() < places) {
      Next();
      Plan();
      Store();
      if (++made % 1000 == 0) {
        Age();
      }
    }
  }
  void Next() {
    ++requests_;
    now_s_ += 0.3;
    Session& session = sessions_[random_() % sessions_.size()];
    if (!placement_.tree().Valid(session.end) || random_() % 10 == 0) {
      session = {};
    }
    request_ = {.now_s = now_s_, .root = root_, .edge = root_};
    if (placement_.tree().Valid(session.end)) {
      request_.edge = session.end;
      request_.overlap = placement_.tree().site(session.end.id).position;
      if (session.resume <= request_.overlap) {
        request_.resume = session.resume;
      }
    }
    request_.kv_resident = request_.resume;
    request_.end = request_.overlap + kGrain * static_cast<std::uint32_t>(1 + random_() % 20);
    session_ = &session;
  }
  void Plan() {
    places_ = placement_.Observe(request_);
    const auto victim = kept_ < kResident ? std::nullopt : placement_.Victim(now_s_);
    plan_ = placement_.Plan(request_, places_, victim ? placement_.LastValue(*victim) : 0);
  }
  void Store() {
    session_->end = places_.tip;
    for (const auto& planned : plan_) {
      placement_.Add(planned, 0, now_s_);
      session_->resume = planned.position;
      ++kept_;
    }
    for (; kept_ > kResident; --kept_) {
      placement_.Remove(*placement_.Victim(now_s_));
    }
  }
  /// Ages of places, and the values that depend on them.
  void Age() { placement_.CatchUp(now_s_, kAll); }
  /// Since the beginning.
  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  [[nodiscard]] std::uint64_t memory_bytes() const { return placement_.memory_bytes(); }

 private:
  static constexpr auto kAll = std::numeric_limits<std::size_t>::max();
  struct Session {
    SiteRef end;
    std::uint32_t resume = 0;
  };
  LearnedPlacement placement_;
  SiteRef root_;
  std::mt19937_64 random_{1};
  std::vector<Session> sessions_ = std::vector<Session>(300);
  Session* session_ = nullptr;
  LearnedPlacement::Request request_;
  LearnedPlacement::Places places_;
  std::vector<LearnedPlacement::Planned> plan_;
  std::uint64_t requests_ = 0;
  std::uint32_t kept_ = 0;
  double now_s_ = 0;
};

Traffic& TrafficOf(std::uint32_t places, bool ages_apart) {
  static std::unique_ptr<Traffic> traffic;
  static std::pair<std::uint32_t, bool> made;
  if (made != std::pair(places, ages_apart)) {
    made = {places, ages_apart};
    traffic = std::make_unique<Traffic>(places, ages_apart);
  }
  return *traffic;
}

/// What a Match waits for: learning from the request, the price, and the plan; ages too, where no
/// sweep has seen to them.
void PlanOfAMatch(benchmark::State& state) {
  const auto places = static_cast<std::uint32_t>(state.range(0));
  const bool ages_apart = state.range(1) != 0;
  Traffic& traffic = TrafficOf(places, ages_apart);
  int requests = 0;
  for (auto _ : state) {
    if (ages_apart && ++requests % 10 == 0) {
      traffic.Age();
    }
    traffic.Next();
    const auto start = std::chrono::steady_clock::now();
    traffic.Plan();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(took.count());
    traffic.Store();
  }
  state.counters["requests"] = static_cast<double>(traffic.requests());  // For instructions.
  state.counters["bytes_per_place"] =
      static_cast<double>(traffic.memory_bytes()) / static_cast<double>(places);
}

/// What 1,000 requests leave to be done when ages are not brought up to date within them.
void ReplanAfter1000(benchmark::State& state) {
  Traffic& traffic = TrafficOf(static_cast<std::uint32_t>(state.range(0)), true);
  for (auto _ : state) {
    state.PauseTiming();
    for (int i = 0; i < 1000; ++i) {
      traffic.Next();
      traffic.Plan();
      traffic.Store();
    }
    state.ResumeTiming();
    traffic.Age();
  }
}

BENCHMARK(PlanOfAMatch)
    ->Name("plan_of_a_match")
    ->UseManualTime()
    ->ArgNames({"places", "ages_apart"})
    ->ArgsProduct({{10'000, 100'000, 1'000'000}, {0, 1}});
BENCHMARK(ReplanAfter1000)
    ->Name("replan")
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Iterations(20)
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
