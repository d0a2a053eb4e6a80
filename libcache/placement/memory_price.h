#pragma once

#include <algorithm>

namespace cairn {

/// What a byte of a full memory is worth a second: a mean of what was lost lately by evicting and
/// of what was worth least when somebody asked for room, over about kShare of the capacity asked
/// for. Without the second a price once too high would last: nothing would be admitted, so nothing
/// evicted, so nothing learned. Not thread-safe.
class MemoryPrice {
 public:
  static constexpr double kShare = 0.05;

  explicit MemoryPrice(double capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  /// `bytes` go that were worth `value` each: prefill seconds saved per byte and second.
  void Evicted(double value, double bytes) {
    value_ += std::min(1.0, bytes / (kShare * capacity_bytes_)) * (value - value_);
  }
  /// An engine would have written `bytes` now, whoever had to go; `least` is the least value there.
  /// What it costs to come in: at least what goes is worth.
  double Asked(double least, double bytes) {
    if (least < value_) {
      value_ += std::min(1.0, bytes / capacity_bytes_) * (least - value_);
    }
    return std::max(value_, least);
  }
  [[nodiscard]] double value() const { return value_; }

 private:
  double capacity_bytes_;
  double value_ = 0;
};

}  // namespace cairn
