#include "tests/chaos/schedule.h"

#include <algorithm>
#include <string_view>

namespace cairn::test {
namespace {

using std::chrono::milliseconds;

constexpr std::array<milliseconds, 4> kDeadlines{milliseconds(30), milliseconds(100),
                                                 milliseconds(250), milliseconds(600)};
constexpr milliseconds kLastStart{4'000};
constexpr milliseconds kShortest{200};
constexpr milliseconds kLongest{2'500};

/// SplitMix64 (Steele, Lea, Flood 2014): unlike the standard library's distributions, the same
/// numbers with every library.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  /// From 0 to below `sides`.
  std::uint64_t Roll(std::uint64_t sides) {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ z >> 30U) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27U) * 0x94D049BB133111EBU;
    return (z ^ z >> 31U) % sides;
  }
  milliseconds Between(milliseconds low, milliseconds high) {
    return low + milliseconds(Roll(static_cast<std::uint64_t>((high - low).count()) + 1));
  }

 private:
  std::uint64_t state_;
};

std::string_view Name(Fault::Kind kind) {
  switch (kind) {
    case Fault::Kind::kKill: return "kill";
    case Fault::Kind::kFreeze: return "freeze";
    case Fault::Kind::kToDaemon: return "drop to daemon";
    case Fault::Kind::kFromDaemon: return "drop from daemon";
    case Fault::Kind::kPartition: return "partition";
    case Fault::Kind::kIsolate: return "isolate";
    case Fault::Kind::kRate: return "rate limit";
    case Fault::Kind::kDelay: return "delay";
  }
  return "?";
}

/// Whether both would handle the same thing at the same time: a process, a wire, a rule.
bool Collide(const Fault& a, const Fault& b) {
  const auto thing = [](const Fault& fault) {
    switch (fault.kind) {
      case Fault::Kind::kKill:
      case Fault::Kind::kFreeze: return 0;
      case Fault::Kind::kRate:
      case Fault::Kind::kDelay: return 1;
      default: return 2;
    }
  };
  return thing(a) == thing(b) && a.daemon == b.daemon && a.at < b.at + b.lasts &&
         b.at < a.at + a.lasts;
}

Fault Draw(Dice& dice, Fault::Kind kind, std::size_t daemons, std::size_t engines) {
  Fault fault;
  fault.kind = kind;
  fault.daemon = dice.Roll(daemons);
  fault.engine = dice.Roll(engines);
  fault.at = dice.Between(milliseconds(0), kLastStart);
  fault.lasts = dice.Between(kShortest, kLongest);
  fault.bytes_per_second = std::uint64_t{10'000} << dice.Roll(10);
  fault.delay = milliseconds(std::uint64_t{1} << dice.Roll(9));
  return fault;
}

}  // namespace

Schedule Schedule::Of(std::uint64_t seed, std::size_t daemons, std::size_t engines) {
  Dice dice(seed);
  Schedule schedule;
  schedule.seed = seed;
  schedule.tls = dice.Roll(2) == 0;
  schedule.ssd = dice.Roll(3) == 0;
  schedule.deadline = kDeadlines[dice.Roll(kDeadlines.size())];
  schedule.faults.push_back(
      Draw(dice, static_cast<Fault::Kind>(seed % Fault::kKinds), daemons, engines));
  const std::uint64_t more = 4 + dice.Roll(8);
  for (std::uint64_t i = 0; i < more; ++i) {
    const Fault fault =
        Draw(dice, static_cast<Fault::Kind>(dice.Roll(Fault::kKinds)), daemons, engines);
    if (std::none_of(schedule.faults.begin(), schedule.faults.end(),
                     [&](const Fault& other) { return Collide(fault, other); })) {
      schedule.faults.push_back(fault);
    }
  }
  std::stable_sort(schedule.faults.begin(), schedule.faults.end(),
                   [](const Fault& a, const Fault& b) { return a.at < b.at; });
  return schedule;
}

milliseconds Schedule::Healed() const {
  milliseconds healed{0};
  for (const Fault& fault : faults) {
    healed = std::max(healed, fault.at + fault.lasts);
  }
  return healed;
}

std::string Schedule::Text() const {
  std::string text = "seed " + std::to_string(seed) + (tls ? ", TLS" : ", plain TCP") +
                     (ssd ? ", SSD" : "") + ", deadline " + std::to_string(deadline.count()) +
                     " ms\n";
  for (const Fault& fault : faults) {
    text += "  " + std::to_string(fault.at.count()) + " to " +
            std::to_string((fault.at + fault.lasts).count()) +
            " ms: " + std::string(Name(fault.kind)) + ", daemon " + std::to_string(fault.daemon);
    switch (fault.kind) {
      case Fault::Kind::kToDaemon:
      case Fault::Kind::kFromDaemon:
      case Fault::Kind::kPartition: text += ", engine " + std::to_string(fault.engine); break;
      case Fault::Kind::kRate:
        text += ", " + std::to_string(fault.bytes_per_second / 1000) + " kB/s";
        break;
      case Fault::Kind::kDelay:
        text += ", " + std::to_string(fault.delay.count()) + " ms each way";
        break;
      default: break;
    }
    text += "\n";
  }
  return text;
}

}  // namespace cairn::test
