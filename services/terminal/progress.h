#pragma once

#include <chrono>
#include <string>

#include "libcache/base/clock.h"

namespace cairn::terminal {

/// Says on stderr how far a job is: a bar that redraws itself on a terminal, a plain line every
/// five seconds elsewhere if always wanted, nothing in CI or in the first two seconds. Not
/// thread-safe.
class Progress {
 public:
  enum class Show { kNever, kOnTerminal, kAlways };

  explicit Progress(Show show);
  /// For programs that show it unless told not to.
  static Show Unless(bool quiet) { return quiet ? Show::kNever : Show::kAlways; }
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `share` of the whole job that is done, within [0, 1], and what to say about it. Cheap to call
  /// more often than anything is shown.
  void Update(double share, const std::string& text);
  /// Takes the bar off the terminal, so that other lines can be written.
  void Clear();

 private:
  enum class Mode { kOff, kBar, kLines };
  Mode mode_;
  TimePoint started_;
  TimePoint shown_;
  bool drawn_ = false;
};

}  // namespace cairn::terminal
