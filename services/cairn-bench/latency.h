#pragma once

#include <vector>

namespace cairn::bench {

/// Of n sorted samples the element at min(n - 1, floor(q n)): every figure was measured. 0 without
/// samples.
struct Latency {
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
};

/// Keeps every sample, 8 bytes each, so that percentiles are exact. Not thread-safe: one per
/// client, merged at the end.
class LatencyRecorder {
 public:
  void Add(double us) { samples_.push_back(us); }
  void Merge(const LatencyRecorder& other);
  [[nodiscard]] Latency Summary() const;

 private:
  std::vector<double> samples_;
};

/// The middle of `values`, 0 if there are none.
double Median(std::vector<double> values);
/// The least of `values`, 0 if there are none: what is possible when nothing else runs.
double Best(const std::vector<double>& values);

}  // namespace cairn::bench
