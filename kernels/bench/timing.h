#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cairn::kernels::bench {

/// Of this thread: what other programs take does not count.
inline double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Median CPU seconds of one run, over at least `least` runs and a quarter of a second.
template <class Run>
double MedianSeconds(Run run, int least = 9) {
  run();
  std::vector<double> seconds;
  const double begin = CpuSeconds();
  while (static_cast<int>(seconds.size()) < least || CpuSeconds() - begin < 0.25) {
    const double start = CpuSeconds();
    run();
    seconds.push_back(CpuSeconds() - start);
  }
  return Median(seconds);
}

}  // namespace cairn::kernels::bench
