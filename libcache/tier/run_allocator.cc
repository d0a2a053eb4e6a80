#include "libcache/tier/run_allocator.h"

#include <bit>
#include <iterator>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"

namespace cairn {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 46U;
constexpr std::uint64_t kFineBytes = 4 * kKiB;     // Below, classes are granules.
constexpr std::uint64_t kLargeBytes = 256 * kKiB;  // From here on, classes are pages.
constexpr std::uint64_t kPageBytes = 4 * kKiB;

}  // namespace

RunAllocator::RunAllocator(std::uint64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {
  CAIRN_CHECK(capacity_bytes > 0);
  AddFree(0, capacity_bytes);
}

std::uint64_t RunAllocator::ClassBytes(std::uint64_t bytes, std::uint64_t granule) {
  if (bytes > kMaxBytes) {
    return kTooLarge;
  }
  if (bytes < kFineBytes) {
    return RoundUp(bytes, granule);
  }
  if (bytes < kLargeBytes) {
    return RoundUp(bytes, std::bit_floor(bytes) / 16);
  }
  return RoundUp(bytes, kPageBytes);
}

void RunAllocator::AddFree(std::uint64_t offset, std::uint64_t bytes) {
  free_by_offset_.emplace(offset, bytes);
  free_by_size_.emplace(bytes, offset);
  if (bytes >= kLargeBytes) {
    long_free_offsets_.insert(offset);
  }
}

void RunAllocator::RemoveFree(ByOffset::iterator run) {
  free_by_size_.erase({run->second, run->first});
  long_free_offsets_.erase(run->first);
  free_by_offset_.erase(run);
}

RunAllocator::ByOffset::iterator RunAllocator::FindFree(std::uint64_t class_bytes) {
  const auto fit = free_by_size_.lower_bound({class_bytes, 0});
  if (fit == free_by_size_.end()) {
    return free_by_offset_.end();
  }
  if (class_bytes >= kLargeBytes) {
    // Best fit; of the runs of that length the highest.
    const auto above = free_by_size_.upper_bound({fit->first, kTooLarge});
    return free_by_offset_.find(std::prev(above)->second);
  }
  if (fit->first < kLargeBytes) {
    return free_by_offset_.find(fit->second);
  }
  // No gap among the small runs fits. Best fit would now nibble at the hole of some large one and
  // spoil it for the next of that size; the lowest long run is where small ones grow.
  return free_by_offset_.find(*long_free_offsets_.begin());
}

std::optional<std::uint64_t> RunAllocator::Take(std::uint64_t class_bytes) {
  CAIRN_CHECK(class_bytes > 0);
  const auto run = FindFree(class_bytes);
  if (run == free_by_offset_.end()) {
    return std::nullopt;
  }
  const auto [run_offset, run_bytes] = *run;
  RemoveFree(run);
  const std::uint64_t rest = run_bytes - class_bytes;
  const bool from_top = class_bytes >= kLargeBytes;
  if (rest > 0) {
    AddFree(from_top ? run_offset : run_offset + class_bytes, rest);
  }
  used_bytes_ += class_bytes;
  CAIRN_CHECK(used_bytes_ <= capacity_bytes_);
  return from_top ? run_offset + rest : run_offset;
}

void RunAllocator::Give(std::uint64_t offset, std::uint64_t bytes) {
  CAIRN_CHECK(bytes > 0 && used_bytes_ >= bytes);
  used_bytes_ -= bytes;
  const auto next = free_by_offset_.lower_bound(offset);
  if (next != free_by_offset_.begin()) {
    const auto previous = std::prev(next);
    CAIRN_CHECK(previous->first + previous->second <= offset);
    if (previous->first + previous->second == offset) {
      offset = previous->first;
      bytes += previous->second;
      RemoveFree(previous);
    }
  }
  if (next != free_by_offset_.end()) {
    CAIRN_CHECK(offset + bytes <= next->first);
    if (offset + bytes == next->first) {
      bytes += next->second;
      RemoveFree(next);
    }
  }
  AddFree(offset, bytes);
}

}  // namespace cairn
