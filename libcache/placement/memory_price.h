#pragma once

#include <algorithm>

namespace cairn {

/// What a byte of a full memory is worth a second: what was lost lately by evicting, as a mean over
/// about kShare of the capacity. Not thread-safe.
class MemoryPrice {
 public:
  static constexpr double kShare = 0.05;

  explicit MemoryPrice(double capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  /// `bytes` go that were worth `value` each: prefill seconds saved per byte and second.
  void Evicted(double value, double bytes) {
    value_ += std::min(1.0, bytes / (kShare * capacity_bytes_)) * (value - value_);
  }
  [[nodiscard]] double value() const { return value_; }

 private:
  double capacity_bytes_;
  double value_ = 0;
};

}  // namespace cairn
