// Clusters on a network that breaks, by seeded schedules: whatever happens, engines get right bytes
// or none, in time, and a while after it is over all is as it was.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <thread>

#include "tests/chaos/call_clock.h"
#include "tests/chaos/network.h"
#include "tests/chaos/schedule.h"
#include "tests/integration/daemon_process.h"
#include "tests/integration/engine.h"
#include "tests/integration/latency.h"
#include "tests/integration/test_ca.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kDaemons = 3;
constexpr std::size_t kEngines = 2;
constexpr seconds kNormalAgainWithin{15};
constexpr milliseconds kGrace{10};
// Long for a call where nothing is wrong, also on a slow machine.
constexpr seconds kCalm{2};
constexpr std::uint64_t kFamilies = 16;
constexpr std::uint32_t kTurns = 3;
constexpr std::uint32_t kTurnTokens = 64;

/// Objects that take many packets, so that faults meet transfers that are under way.
NamespaceSpec ChaosModel() {
  NamespaceSpec spec = SmallModel();
  spec.model = "chaos";
  spec.kv_bytes_per_token = 1'024;
  spec.checkpoint_bytes = 128 * 1'024;
  return spec;
}

/// "1-10", "7", "3,5,8-9".
std::vector<std::uint64_t> Seeds() {
  const char* const given = std::getenv("CAIRN_CHAOS_SEEDS");
  std::stringstream list(given == nullptr ? "1-10" : given);
  std::vector<std::uint64_t> seeds;
  for (std::string part; std::getline(list, part, ',');) {
    char* rest = nullptr;
    const std::uint64_t first = std::strtoull(part.c_str(), &rest, 10);
    const std::uint64_t last = *rest == '-' ? std::strtoull(rest + 1, nullptr, 10) : first;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
      seeds.push_back(seed);
    }
  }
  return seeds;
}

enum class Phase { kFaults, kHealed };

/// An engine's thread: prompts by chance while faults last, then all of them until all is well.
class EngineLoop {
 public:
  EngineLoop(ClientOptions options, const Schedule& schedule, std::uint64_t number)
      : options_(std::move(options)), schedule_(schedule), state_(schedule.seed * 1000 + number) {}

  void Run(const std::atomic<Phase>& phase, const std::atomic<TimePoint>& healed) {
    clock_.emplace();
    while (phase == Phase::kFaults) {
      const std::uint64_t dice = Roll();
      dies_with_a_lease_ = dice % 64 == 0;
      Turn(dice / 64 % kFamilies, static_cast<std::uint32_t>(dice / 4096 % kTurns),
           schedule_.deadline);
      std::this_thread::sleep_for(milliseconds(1));
    }
    dies_with_a_lease_ = false;
    const TimePoint began = healed.load();
    do {
      if (Round() && AllConnected()) {
        normal_after_ = SteadyClock::Instance().Now() - began;
        break;
      }
    } while (SteadyClock::Instance().Now() < began + kNormalAgainWithin);
    engine_.reset();
  }

  [[nodiscard]] const CallClock& clock() const { return *clock_; }
  [[nodiscard]] std::uint64_t wrong() const { return wrong_; }
  [[nodiscard]] std::uint64_t objects() const { return objects_; }
  [[nodiscard]] std::optional<Duration> normal_after() const { return normal_after_; }
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  std::uint64_t Roll() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return state_ >> 20U;
  }
  template <class Function>
  auto Timed(const char* name, milliseconds limit, const Function& function) {
    const TimePoint deadline = In(limit);
    auto result = clock_->Time(name, deadline, [&] { return function(deadline); });
    if (!result) {
      trouble_ = std::string(name) + ": " + ToString(result.error());
    }
    return result;
  }

  /// Whether the whole of what can be known was there, or could be stored.
  enum class Outcome { kFailed, kStored, kHit };
  Outcome Turn(std::uint64_t family, std::uint32_t turn, milliseconds limit) {
    if (!engine_) {
      engine_.emplace(options_, ChaosModel());
      if (!Timed("open", limit, [&](TimePoint deadline) { return engine_->Open(deadline); })) {
        engine_.reset();
        return Outcome::kFailed;
      }
    }
    const std::uint32_t known = (turn + 1) * kTurnTokens;
    const auto tokens = Tokens(family, known + 5);
    const Client::Prompt prompt = engine_->Prompt(tokens);
    Client& client = engine_->client();
    const auto hit =
        Timed("match", limit, [&](TimePoint deadline) { return client.Match(prompt, deadline); });
    if (!hit) {
      return Outcome::kFailed;
    }
    if (dies_with_a_lease_) {
      engine_.reset();  // Another process takes its place.
      dies_with_a_lease_ = false;
      return Outcome::kFailed;
    }
    bool well = true;
    if (hit->lease != 0) {
      const auto read = Timed("load", limit, [&](TimePoint deadline) {
        return engine_->LoadHit(prompt, *hit, deadline);
      });
      well = read.has_value();
      wrong_ += read ? read->wrong : 0;
      objects_ += read ? read->objects : 0;
      const Status released = Timed(
          "release", limit, [&](TimePoint deadline) { return client.Release(*hit, deadline); });
      well = well && released.has_value();
    }
    if (well && hit->resume_at == known) {
      return Outcome::kHit;
    }
    std::vector<std::vector<std::byte>> payloads;
    const auto items = engine_->Items(prompt, std::vector<std::uint32_t>{known}, payloads);
    const auto stored = Timed("store", limit, [&](TimePoint deadline) {
      return client.Store(prompt, items, schedule_.ssd && family % 4 == 0, deadline);
    });
    return well && stored && stored->refused == 0 ? Outcome::kStored : Outcome::kFailed;
  }
  /// True if every prompt was served whole.
  bool Round() {
    bool all = true;
    for (std::uint64_t family = 0; family < kFamilies; ++family) {
      for (std::uint32_t turn = 0; turn < kTurns; ++turn) {
        const Outcome outcome = Turn(family, turn, kCalm);
        all = all && outcome == Outcome::kHit;
        if (outcome == Outcome::kFailed) {
          std::this_thread::sleep_for(milliseconds(10));
          return false;
        }
      }
    }
    return all;
  }
  bool AllConnected() {
    for (const MemberView& view : engine_->client().Members()) {
      if (view.state != MemberView::State::kConnected) {
        trouble_ = view.member.name + ": " + view.problem;
        return false;
      }
    }
    return true;
  }

  const ClientOptions options_;
  const Schedule& schedule_;
  std::uint64_t state_;
  std::optional<CallClock> clock_;  // Of the thread.
  std::optional<Engine> engine_;
  bool dies_with_a_lease_ = false;
  std::uint64_t wrong_ = 0;
  std::uint64_t objects_ = 0;
  std::optional<Duration> normal_after_;
  std::string trouble_;  // The latest.
};

class ClusterOnANetwork : public ::testing::Test {
 protected:
  void SetUp() override { SkipWithoutNetwork(); }

  void StartDaemons(const Schedule& schedule, const std::vector<std::string>& flags = {}) {
    std::vector<std::string> names = {"spiffe://c/daemon"};
    for (std::size_t i = 0; i < kDaemons; ++i) {
      names.push_back(Network::Address(i));
    }
    const TlsFiles files = ca_.Issue("daemon", names);
    for (std::size_t i = 0; i < kDaemons; ++i) {
      DaemonProcess::Options options;
      options.http = false;
      options.tcp_address = Network::Address(i) + ":7411";
      if (schedule.tls) {
        options.flags = {"--tls-tenants=spiffe://c/ns/acme/*=acme",
                         "--tls-cert=" + files.certificate, "--tls-key=" + files.key,
                         "--tls-ca=" + files.ca};
      } else {
        options.flags = {"--allow-insecure-tcp=true"};
      }
      if (schedule.ssd) {
        options.flags.push_back("--ssd-path=" + (dirs_[i] / "ssd"));
        options.flags.push_back("--ssd=128MiB");
      }
      options.flags.insert(options.flags.end(), flags.begin(), flags.end());
      daemons_[i].emplace(dirs_[i], options);
      StartDaemon(i);
    }
  }
  void StartDaemon(std::size_t i) {
    const Network::Visit there(*network_, i);
    ASSERT_TRUE(daemons_[i]->Start());
  }
  [[nodiscard]] ClientOptions OptionsFor(const Schedule& schedule) const {
    ClientOptions options;
    for (std::size_t i = 0; i < kDaemons; ++i) {
      options.endpoint += std::string(i == 0 ? "" : ",") + static_cast<char>('a' + i) + "=" +
                          Network::Address(i) + ":7411";
    }
    options.routing.home_tokens = kTurnTokens;
    options.routing.spread_tokens = {2 * kTurnTokens};
    if (schedule.tls) {
      options.tls = ca_.Client("acme", {"spiffe://c/ns/acme/sa/engine"});
    }
    return options;
  }

  /// Lets it begin (true) or end.
  void Apply(const Fault& fault, bool begins) {
    DaemonProcess& daemon = *daemons_[fault.daemon];
    const std::size_t engine = kDaemons + fault.engine;
    switch (fault.kind) {
      case Fault::Kind::kKill: begins ? daemon.Kill() : StartDaemon(fault.daemon); break;
      case Fault::Kind::kFreeze: begins ? daemon.Freeze() : daemon.Thaw(); break;
      case Fault::Kind::kToDaemon: network_->Block(engine, fault.daemon, begins); break;
      case Fault::Kind::kFromDaemon: network_->Block(fault.daemon, engine, begins); break;
      case Fault::Kind::kPartition:
        network_->Block(engine, fault.daemon, begins);
        network_->Block(fault.daemon, engine, begins);
        break;
      case Fault::Kind::kIsolate:
        for (std::size_t i = 0; i < kEngines; ++i) {
          network_->Block(kDaemons + i, fault.daemon, begins);
          network_->Block(fault.daemon, kDaemons + i, begins);
        }
        break;
      case Fault::Kind::kRate:
      case Fault::Kind::kDelay: {
        LinkSpeed speed;
        if (begins && fault.kind == Fault::Kind::kRate) {
          speed.bytes_per_second = fault.bytes_per_second;
        }
        if (begins && fault.kind == Fault::Kind::kDelay) {
          speed.delay = fault.delay;
        }
        network_->SetSpeed(fault.daemon, speed);
        break;
      }
    }
  }
  void Play(const Schedule& schedule) {
    std::multimap<milliseconds, std::pair<const Fault*, bool>> steps;
    for (const Fault& fault : schedule.faults) {
      steps.emplace(fault.at, std::pair(&fault, true));
      steps.emplace(fault.at + fault.lasts, std::pair(&fault, false));
    }
    const TimePoint began = SteadyClock::Instance().Now();
    for (const auto& [at, step] : steps) {
      std::this_thread::sleep_until(began + at);
      Apply(*step.first, step.second);
    }
  }

  void ExpectNothingHeld(TimePoint until) {
    for (std::size_t i = 0; i < kDaemons; ++i) {
      SCOPED_TRACE("daemon " + std::to_string(i));
      daemons_[i]->ExpectNothingHeld(until);
    }
  }
  static double Ms(Duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
  }
  /// The longest that a call took beyond its deadline: by the clock, and without what the machine
  /// is to blame for.
  struct Lateness {
    Duration by_clock{0};
    Duration own{0};
  };
  static void Judge(const EngineLoop& engine, const MachineWatch& machine, Lateness& worst) {
    for (const CallClock::Call& call : engine.clock().late()) {
      const Duration excused =
          std::max(call.waited_for_core, machine.Worst(call.deadline, call.ended));
      const Duration by_clock = call.ended - call.deadline;
      const Duration own = std::max<Duration>(by_clock - excused, Duration{0});
      EXPECT_LE(own, kGrace) << call.name << " ended " << Ms(by_clock)
                             << " ms after its deadline, of which the machine lost " << Ms(excused);
      worst.by_clock = std::max(worst.by_clock, by_clock);
      worst.own = std::max(worst.own, own);
    }
  }

  TempDir dir_;
  TestCa ca_{dir_};
  std::array<TempDir, kDaemons> dirs_;
  std::optional<Network> network_;
  std::array<std::optional<DaemonProcess>, kDaemons> daemons_;
};

class ChaosTest : public ClusterOnANetwork, public ::testing::WithParamInterface<std::uint64_t> {};

TEST_P(ChaosTest, EnginesGetRightBytesOrNoneInTimeAndAllHeals) {
  const Schedule schedule = Schedule::Of(GetParam(), kDaemons, kEngines);
  SCOPED_TRACE(schedule.Text() + "again: ./dev test --chaos --seeds " + std::to_string(GetParam()));
  network_.emplace(dir_, kDaemons + kEngines);
  StartDaemons(schedule);
  ASSERT_FALSE(HasFatalFailure());
  const MachineWatch machine;
  std::atomic<Phase> phase = Phase::kFaults;
  std::atomic<TimePoint> healed{};
  std::deque<EngineLoop> engines;
  for (std::size_t i = 0; i < kEngines; ++i) {
    engines.emplace_back(OptionsFor(schedule), schedule, i);
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kEngines; ++i) {
    threads.emplace_back([&, i] {
      const Network::Visit there(*network_, kDaemons + i);
      engines[i].Run(phase, healed);
    });
  }
  Play(schedule);
  const TimePoint well = SteadyClock::Instance().Now();
  healed = well;
  phase = Phase::kHealed;
  for (std::thread& thread : threads) {
    thread.join();
  }
  ExpectNothingHeld(well + kNormalAgainWithin);
  std::size_t calls = 0;
  std::size_t failed = 0;
  std::uint64_t objects = 0;
  Lateness worst;
  Duration normal{0};
  for (const EngineLoop& engine : engines) {
    EXPECT_EQ(engine.wrong(), 0U);
    EXPECT_TRUE(engine.normal_after().has_value()) << engine.trouble();
    calls += engine.clock().calls();
    failed += engine.clock().failed();
    objects += engine.objects();
    Judge(engine, machine, worst);
    normal = std::max(normal, engine.normal_after().value_or(kNormalAgainWithin));
  }
  EXPECT_GT(objects, 0U);
  for (std::size_t i = 0; i < kDaemons; ++i) {
    daemons_[i]->Stop();
    if (HasFailure()) {
      std::fprintf(stderr, "---- log of daemon %zu\n%s----\n", i, daemons_[i]->Log().c_str());
    }
  }
  char line[240];
  std::snprintf(line, sizeof(line),
                "seed %llu: %zu calls, %zu failed, %llu objects read; beyond a deadline at worst "
                "%.1f ms (%.1f without the machine's stalls); normal after %.1f s",
                static_cast<unsigned long long>(schedule.seed), calls, failed,
                static_cast<unsigned long long>(objects), Ms(worst.by_clock), Ms(worst.own),
                Ms(normal) / 1000);
  Report(line);
}

INSTANTIATE_TEST_SUITE_P(Schedules, ChaosTest, ::testing::ValuesIn(Seeds()),
                         ::testing::PrintToStringParamName());

// No FIN, no RST: without a word of the kernel's own, the daemon would keep its session for ever.
TEST_F(ClusterOnANetwork, AnEngineWhoseMachineIsGoneLeavesNothingBehind) {
  Schedule calm;
  calm.tls = true;
  network_.emplace(dir_, kDaemons + 1);
  StartDaemons(calm, {"--lease-ms=2000"});
  ASSERT_FALSE(HasFatalFailure());
  const Network::Visit there(*network_, kDaemons);
  Engine engine(OptionsFor(calm), ChaosModel());
  ASSERT_TRUE(engine.Open().has_value());
  const auto tokens = Tokens(1, kTurnTokens + 5);
  ASSERT_TRUE(engine.Store(tokens, {kTurnTokens}).has_value());
  const Client::Prompt prompt = engine.Prompt(tokens);
  const auto hit = engine.client().Match(prompt, Soon());
  ASSERT_TRUE(hit.has_value()) << Why(hit);
  ASSERT_NE(hit->lease, 0U);
  network_->Unplug(kDaemons);
  ExpectNothingHeld(In(seconds(45)));
  for (auto& daemon : daemons_) {
    daemon->Stop();
  }
}

}  // namespace
}  // namespace cairn::test
