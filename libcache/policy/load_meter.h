#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace cairn {

/// How loaded a cache is, as one number that daemons of a cluster can be compared by: how full it
/// is, and once it is full how fast its content is replaced. A daemon that is half full has 500; a
/// full one that was written over once within the last minutes has about 2000. Not thread-safe.
class LoadMeter {
 public:
  explicit LoadMeter(double half_life_s = 300) : half_life_s_(half_life_s) {}

  /// `written_bytes`: all so far, never less than before. Seconds do not go back.
  void Note(std::uint64_t written_bytes, double now_s) {
    recent_bytes_ = Recent(now_s) + static_cast<double>(written_bytes - written_bytes_);
    written_bytes_ = written_bytes;
    at_s_ = std::max(at_s_, now_s);
  }
  [[nodiscard]] std::uint32_t Permille(std::uint64_t used_bytes, std::uint64_t capacity_bytes,
                                       double now_s) const {
    const double bytes = static_cast<double>(used_bytes) + Recent(now_s);
    const double capacity = static_cast<double>(std::max<std::uint64_t>(capacity_bytes, 1));
    return static_cast<std::uint32_t>(std::min(1000 * bytes / capacity, 1e9));
  }

 private:
  [[nodiscard]] double Recent(double now_s) const {
    return recent_bytes_ * std::exp2(-std::max(now_s - at_s_, 0.0) / half_life_s_);
  }

  double half_life_s_;
  double recent_bytes_ = 0;
  std::uint64_t written_bytes_ = 0;
  double at_s_ = 0;
};

}  // namespace cairn
