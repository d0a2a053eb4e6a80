#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn {

/// Answers one question: about how often was this key used lately? A count-min sketch of 4-bit
/// counters that are all halved from time to time, so it forgets (Einziger, Friedman, Manes:
/// TinyLFU, ACM ToS 2017). It remembers keys whether resident or not.
///
/// Between two halvings an estimate is never below min(true count, 15); it is above only where a
/// key shares a counter in all four rows with others. Eight to sixteen bytes per unit of the
/// capacity it was told. Not thread-safe.
class FrequencySketch {
 public:
  static constexpr std::uint32_t kMaxCount = 15;

  FrequencySketch();

  /// Grows for `units` keys worth remembering; never shrinks. Estimates stay what they were.
  void EnsureCapacity(std::size_t units);
  void Add(std::uint64_t key_word);
  [[nodiscard]] std::uint32_t Estimate(std::uint64_t key_word) const;
  /// Additions after which all counters are halved.
  [[nodiscard]] std::uint64_t sample_period() const;

 private:
  static constexpr std::size_t kRows = 4;
  static constexpr std::size_t kCountersPerWord = 16;

  [[nodiscard]] std::array<std::size_t, kRows> Columns(std::uint64_t key_word) const;
  [[nodiscard]] std::uint32_t Counter(std::size_t row, std::size_t column) const;
  void Halve();

  std::array<std::vector<std::uint64_t>, kRows> rows_;
  std::size_t columns_;  // Of each row; a power of two.
  std::uint64_t additions_ = 0;
};

}  // namespace cairn
