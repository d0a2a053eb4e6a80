#include "libcache/policy/frequency_sketch.h"

#include <algorithm>
#include <bit>

namespace cairn {
namespace {

constexpr std::size_t kMinColumns = 4096;
constexpr std::size_t kColumnsPerUnit = 4;
constexpr std::uint64_t kPeriodPerUnit = 10;  // As in the paper and in Caffeine.

/// SplitMix64's finaliser. Keys are uniform already, but callers in tests number theirs.
std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

}  // namespace

FrequencySketch::FrequencySketch() : columns_(kMinColumns) {
  for (auto& row : rows_) {
    row.assign(columns_ / kCountersPerWord, 0);
  }
}

void FrequencySketch::EnsureCapacity(std::size_t units) {
  const std::size_t wanted = std::bit_ceil(std::max<std::size_t>(units, 1) * kColumnsPerUnit);
  while (columns_ < wanted) {
    // A column is the low bits of a hash, so column c becomes c and c + columns_: a copy of the row
    // behind itself keeps every estimate.
    for (auto& row : rows_) {
      const std::size_t words = row.size();
      row.resize(2 * words);
      std::copy_n(row.begin(), words, row.begin() + static_cast<std::ptrdiff_t>(words));
    }
    columns_ *= 2;
  }
}

std::uint64_t FrequencySketch::sample_period() const {
  return columns_ / kColumnsPerUnit * kPeriodPerUnit;
}

std::array<std::size_t, FrequencySketch::kRows> FrequencySketch::Columns(
    std::uint64_t key_word) const {
  std::array<std::size_t, kRows> columns{};
  std::uint64_t hash = key_word;
  for (auto& column : columns) {
    hash = Mix(hash + 0x9E3779B97F4A7C15ULL);
    column = hash & (columns_ - 1);
  }
  return columns;
}

std::uint32_t FrequencySketch::Counter(std::size_t row, std::size_t column) const {
  const std::uint64_t word = rows_[row][column / kCountersPerWord];
  return static_cast<std::uint32_t>(word >> (column % kCountersPerWord * 4)) & kMaxCount;
}

std::uint32_t FrequencySketch::Estimate(std::uint64_t key_word) const {
  const auto columns = Columns(key_word);
  std::uint32_t least = kMaxCount;
  for (std::size_t row = 0; row < kRows; ++row) {
    least = std::min(least, Counter(row, columns[row]));
  }
  return least;
}

void FrequencySketch::Add(std::uint64_t key_word) {
  const auto columns = Columns(key_word);
  const std::uint32_t least = Estimate(key_word);
  if (least < kMaxCount) {
    // Counters above the least already count somebody else; raising them too would only add error.
    for (std::size_t row = 0; row < kRows; ++row) {
      if (Counter(row, columns[row]) == least) {
        rows_[row][columns[row] / kCountersPerWord] += std::uint64_t{1}
                                                       << (columns[row] % kCountersPerWord * 4);
      }
    }
  }
  if (++additions_ >= sample_period()) {
    Halve();
  }
}

void FrequencySketch::Halve() {
  for (auto& row : rows_) {
    for (auto& word : row) {
      word = (word >> 1U) & 0x7777777777777777ULL;
    }
  }
  additions_ /= 2;
}

}  // namespace cairn
