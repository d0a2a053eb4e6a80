#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace cairn::test {

/// One thing that goes wrong, and comes right again `lasts` later.
struct Fault {
  enum class Kind : std::uint8_t {
    kKill,        ///< kill -9 of the daemon; started again.
    kFreeze,      ///< SIGSTOP of the daemon.
    kToDaemon,    ///< What the engine sends to the daemon is dropped.
    kFromDaemon,  ///< What the daemon sends to the engine is dropped.
    kPartition,   ///< Both.
    kIsolate,     ///< The daemon is cut off from all engines.
    kRate,        ///< The daemon's wire is slow,
    kDelay,       ///< or long.
  };
  static constexpr std::size_t kKinds = 8;

  Kind kind = Kind::kKill;
  std::size_t daemon = 0;
  std::size_t engine = 0;           ///< Of kToDaemon, kFromDaemon, kPartition.
  std::chrono::milliseconds at{0};  ///< From the start.
  std::chrono::milliseconds lasts{0};
  std::uint64_t bytes_per_second = 0;  ///< Of kRate.
  std::chrono::milliseconds delay{0};  ///< Of kDelay; each way.
};

/// What happens to a cluster in one run. The same seed gives the same schedule, everywhere.
struct Schedule {
  std::uint64_t seed = 0;
  bool tls = false;
  bool ssd = false;                       ///< What was stored may be there after a kill.
  std::chrono::milliseconds deadline{0};  ///< Of the engines' calls.
  std::vector<Fault> faults;              ///< By the time when they begin.

  /// Any Fault::kKinds successive seeds begin with one fault of each kind.
  static Schedule Of(std::uint64_t seed, std::size_t daemons, std::size_t engines);
  /// From the start until all is well again.
  [[nodiscard]] std::chrono::milliseconds Healed() const;
  /// A line for the whole and one for each fault.
  [[nodiscard]] std::string Text() const;
};

}  // namespace cairn::test
