#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/clock.h"
#include "libcache/base/result.h"
#include "services/cairn-bench/micro.h"

namespace cairn::bench {

/// Rows of figures with the same columns, printed as a table or as JSON. Figures are kept as
/// numbers; `unit` says how a person reads them.
class MicroReport {
 public:
  enum class Unit { kCount, kBytes, kBytesPerSecond, kMicroseconds, kRatio };
  struct Column {
    std::string name;   ///< In JSON.
    std::string title;  ///< In the table.
    Unit unit = Unit::kCount;
  };
  /// `what` says in one sentence what is compared with what.
  MicroReport(std::string name, std::string what, std::vector<Column> columns);

  /// One figure per column. Negative: not measured; JSON has null then.
  void Add(std::vector<double> row);
  /// A condition or a remark, below the table.
  void Note(std::string text);
  /// Prints it all as the options say; returns the exit code.
  [[nodiscard]] int Finish(const MicroOptions& options) const;

 private:
  [[nodiscard]] std::string Json() const;
  [[nodiscard]] std::string Text() const;
  std::string name_;
  std::string what_;
  std::vector<Column> columns_;
  std::vector<std::vector<double>> rows_;
  std::vector<std::string> notes_;
};

/// Microseconds that `work` takes.
template <class Work>
double TimeUs(const Work& work) {
  const TimePoint begin = SteadyClock::Instance().Now();
  work();
  return std::chrono::duration<double, std::micro>(SteadyClock::Instance().Now() - begin).count();
}

/// Prints what went wrong; the exit code.
int MicroFailed(std::string_view benchmark, const Error& error);

}  // namespace cairn::bench
