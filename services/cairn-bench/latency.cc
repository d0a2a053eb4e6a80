#include "services/cairn-bench/latency.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace cairn::bench {
namespace {

double At(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) {
    return 0;
  }
  const auto place = static_cast<std::size_t>(std::floor(q * static_cast<double>(sorted.size())));
  return sorted[std::min(place, sorted.size() - 1)];
}

}  // namespace

void LatencyRecorder::Merge(const LatencyRecorder& other) {
  samples_.insert(samples_.end(), other.samples_.begin(), other.samples_.end());
}

Latency LatencyRecorder::Summary() const {
  std::vector<double> sorted = samples_;
  std::sort(sorted.begin(), sorted.end());
  return {.p50_us = At(sorted, 0.5), .p99_us = At(sorted, 0.99), .p999_us = At(sorted, 0.999)};
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return At(values, 0.5);
}

double Best(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::min_element(values.begin(), values.end());
}

}  // namespace cairn::bench
