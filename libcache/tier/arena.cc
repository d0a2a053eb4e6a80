#include "libcache/tier/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cmath>
#include <limits>
#include <string>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"
#include "libcache/base/errno_text.h"

namespace cairn {
namespace {

constexpr std::uint64_t kHeaderBytes = sizeof(SlotHeader);
constexpr std::uint64_t kCapacityStep = 2 * kMiB;
constexpr std::uint64_t kMaxCapacity = std::uint64_t{1} << 46U;
constexpr std::uint64_t kFineBytes = 4 * kKiB;     // Below, classes are cache lines.
constexpr std::uint64_t kLargeBytes = 256 * kKiB;  // From here on, classes are pages.
constexpr std::uint64_t kPageBytes = 4 * kKiB;
constexpr std::uint32_t kSlotMagic = 0x43524E53;  // "CRNS"
constexpr std::uint32_t kFreeMagic = 0x43524E46;  // "CRNF"

// Linux 5.1; glibc 2.36 has it in bits/fcntl-linux.h, older ones do not.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

tl::unexpected<Error> SystemFailure(const char* call) {
  return Fail(ErrorCode::kIo, std::string("host arena: ") + call + ": " + ErrnoText());
}

std::atomic_ref<std::uint64_t> Generation(SlotHeader& header) {
  return std::atomic_ref<std::uint64_t>(header.generation);
}

}  // namespace

/// A queue of pieces that knows its total cost. Costs are only ever added, never subtracted: a very
/// dear piece that has left must not swallow the digits of the cheap ones that stay.
class Arena::SlidingWindow {
 public:
  void Push(Piece piece) {
    back_.push_back(piece);
    back_cost_ += piece.cost;
    bytes_ += piece.bytes;
  }
  void PopFront() {
    Turn();
    bytes_ -= front_.back().bytes;
    front_.pop_back();
  }
  void Clear() {
    front_.clear();
    back_.clear();
    back_cost_ = 0;
    bytes_ = 0;
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  std::uint64_t FrontBytes() {
    Turn();
    return front_.back().bytes;
  }
  [[nodiscard]] double Cost() const {
    return back_cost_ + (front_.empty() ? 0.0 : front_.back().cost);
  }

 private:
  /// Moves the back to the front when that has run out; each piece moves once.
  void Turn() {
    if (!front_.empty()) {
      return;
    }
    double cost = 0;
    while (!back_.empty()) {
      cost += back_.back().cost;
      front_.push_back({back_.back().bytes, cost});
      back_.pop_back();
    }
    back_cost_ = 0;
  }

  std::vector<Piece> front_;  // Last is oldest; the cost of each is that of itself and all newer.
  std::vector<Piece> back_;   // Last is newest.
  double back_cost_ = 0;
  std::uint64_t bytes_ = 0;
};

Result<std::unique_ptr<Arena>> Arena::Create(const Config& config) {
  const std::uint64_t capacity = config.capacity_bytes / kCapacityStep * kCapacityStep;
  if (capacity == 0 || capacity > kMaxCapacity) {
    return Fail(ErrorCode::kInvalidArgument, "host arena of " + FormatBytes(config.capacity_bytes) +
                                                 ": must be at least 2 MiB and at most 64 TiB");
  }
  const int fd = memfd_create("cairn-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) {
    return SystemFailure("memfd_create");
  }
  if (ftruncate(fd, static_cast<off_t>(capacity)) != 0) {
    auto failure = SystemFailure("ftruncate");
    close(fd);
    return failure;
  }
  void* base = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    auto failure = SystemFailure("mmap");
    close(fd);
    return failure;
  }
  // Owns both from here on.
  std::unique_ptr<Arena> arena(new Arena(fd, static_cast<std::byte*>(base), capacity));
  // FUTURE_WRITE leaves the mapping above writable and refuses every later one, and it comes in a
  // call of its own because a kernel that does not know it refuses the whole set.
  static_cast<void>(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return SystemFailure("F_ADD_SEALS");
  }
  if (config.huge_pages) {
    // A wish. Huge pages round residency up to 2 MiB steps, never past the mapping.
    static_cast<void>(madvise(base, capacity, MADV_HUGEPAGE));
  }
  return arena;
}

Arena::Arena(int fd, std::byte* base, std::uint64_t capacity_bytes)
    : fd_(fd), base_(base), capacity_bytes_(capacity_bytes) {
  AddFree(0, capacity_bytes);
}

Arena::~Arena() {
  munmap(base_, capacity_bytes_);
  close(fd_);
}

std::uint64_t Arena::SlotBytes(std::uint64_t bytes) {
  if (bytes > kMaxCapacity) {
    return std::numeric_limits<std::uint64_t>::max();
  }
  const std::uint64_t total = bytes + kHeaderBytes;
  if (total < kFineBytes) {
    return RoundUp(total, kHeaderBytes);
  }
  if (total < kLargeBytes) {
    return RoundUp(total, std::bit_floor(total) / 16);
  }
  return RoundUp(total, kPageBytes);
}

void Arena::AddFree(std::uint64_t offset, std::uint64_t bytes) {
  free_by_offset_.emplace(offset, bytes);
  free_by_size_.emplace(bytes, offset);
  if (bytes >= kLargeBytes) {
    long_free_offsets_.insert(offset);
  }
}

void Arena::RemoveFree(ByOffset::iterator run) {
  free_by_size_.erase({run->second, run->first});
  long_free_offsets_.erase(run->first);
  free_by_offset_.erase(run);
}

Arena::ByOffset::iterator Arena::FindFree(std::uint64_t slot_bytes) {
  const auto fit = free_by_size_.lower_bound({slot_bytes, 0});
  if (fit == free_by_size_.end()) {
    return free_by_offset_.end();
  }
  if (slot_bytes >= kLargeBytes) {
    // Best fit; of the runs of that length the highest.
    const auto above =
        free_by_size_.upper_bound({fit->first, std::numeric_limits<std::uint64_t>::max()});
    return free_by_offset_.find(std::prev(above)->second);
  }
  if (fit->first < kLargeBytes) {
    return free_by_offset_.find(fit->second);
  }
  // No gap among the small slots fits. Best fit would now nibble at the hole of some large slot
  // and spoil it for the next one of that size; the lowest long run is where small slots grow.
  return free_by_offset_.find(*long_free_offsets_.begin());
}

std::uint64_t Arena::NextOddGeneration() {
  const std::uint64_t generation = generation_;
  generation_ += 2;
  return generation;
}

Result<std::uint64_t> Arena::Allocate(std::uint64_t bytes, std::uint32_t owner) {
  if (bytes == 0 || SlotBytes(bytes) > capacity_bytes_) {
    return Fail(ErrorCode::kInvalidArgument, "object of " + FormatBytes(bytes) +
                                                 " in an arena of " + FormatBytes(capacity_bytes_));
  }
  const std::uint64_t slot_bytes = SlotBytes(bytes);
  const auto run = FindFree(slot_bytes);
  if (run == free_by_offset_.end()) {
    return Fail(ErrorCode::kNoSpace, "no free run of " + FormatBytes(slot_bytes));
  }
  const auto [run_offset, run_bytes] = *run;
  RemoveFree(run);
  const std::uint64_t rest = run_bytes - slot_bytes;
  const bool from_top = slot_bytes >= kLargeBytes;
  const std::uint64_t slot = from_top ? run_offset + rest : run_offset;
  if (rest > 0) {
    AddFree(from_top ? run_offset : run_offset + slot_bytes, rest);
  }

  SlotHeader& header = HeaderAt(slot);
  Generation(header).store(NextOddGeneration(), std::memory_order_relaxed);
  header.slot_bytes = slot_bytes;
  header.payload_bytes = bytes;
  header.owner = owner;
  header.magic = kSlotMagic;
  header.digest_low = 0;
  header.digest_high = 0;
  header.reserved[0] = 0;
  header.reserved[1] = 0;
  // The odd value must be seen before any byte that the caller writes next: a reader that still
  // holds this offset checks the generation after its copy (the writer's half of a seqlock).
  std::atomic_thread_fence(std::memory_order_release);
  used_bytes_ += slot_bytes;
  payload_bytes_ += bytes;
  CAIRN_CHECK(used_bytes_ <= capacity_bytes_);
  return slot + kHeaderBytes;
}

void Arena::Publish(std::uint64_t payload_offset) {
  SlotHeader& header = Header(payload_offset);
  const std::uint64_t generation = Generation(header).load(std::memory_order_relaxed);
  CAIRN_CHECK(generation % 2 == 1);
  Generation(header).store(generation + 1, std::memory_order_release);
}

// A slot's bytes stay resident after Free: the next object is written into them at once in a full
// cache, and giving pages back would only buy page faults and zeroing.
//
// A reader with an old (offset, generation) is refused as follows. While the run is free or begins
// another slot at the same place, the word there is an odd value, or an even one never used before.
// Once neighbours have merged and been cut anew, the word may lie inside another object's payload
// and hold anything, the old value included. That reader then copies bytes of some other object of
// the same isolation domain; the digest it was given for the old object does not match, so the copy
// is a miss. The generation makes that cheap to notice, the digest makes it certain.
void Arena::Free(std::uint64_t payload_offset) {
  SlotHeader& header = Header(payload_offset);
  Generation(header).store(NextOddGeneration(), std::memory_order_release);
  std::uint64_t offset = payload_offset - kHeaderBytes;
  std::uint64_t bytes = header.slot_bytes;
  CAIRN_CHECK(used_bytes_ >= bytes && payload_bytes_ >= header.payload_bytes);
  used_bytes_ -= bytes;
  payload_bytes_ -= header.payload_bytes;
  header.magic = kFreeMagic;  // Freeing it again is caught by Header().

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

std::optional<Arena::Window> Arena::CheapestWindow(
    std::uint64_t bytes, const std::function<double(std::uint32_t owner)>& cost) const {
  if (bytes == 0 || SlotBytes(bytes) > capacity_bytes_) {
    return std::nullopt;
  }
  const std::uint64_t need = SlotBytes(bytes);
  SlidingWindow window;
  double best_cost = std::numeric_limits<double>::infinity();
  std::uint64_t best_begin = 0;
  std::uint64_t best_end = 0;
  auto run = free_by_offset_.begin();
  for (std::uint64_t at = 0; at < capacity_bytes_;) {
    const bool is_free = run != free_by_offset_.end() && run->first == at;
    const Piece piece = is_free ? Piece{run->second, 0.0} : SlotPiece(at, cost);
    CAIRN_CHECK(piece.bytes > 0 && piece.bytes <= capacity_bytes_ - at && piece.cost >= 0);
    run = is_free ? std::next(run) : run;
    at += piece.bytes;
    if (std::isinf(piece.cost)) {
      window.Clear();
      continue;
    }
    window.Push(piece);
    // No cost is negative, so the shortest window that ends here is also the cheapest.
    while (window.bytes() - window.FrontBytes() >= need) {
      window.PopFront();
    }
    if (window.bytes() >= need && window.Cost() < best_cost) {
      best_cost = window.Cost();
      best_begin = at - window.bytes();
      best_end = at;
    }
  }
  if (std::isinf(best_cost)) {
    return std::nullopt;
  }
  return Window{.owners = OwnersIn(best_begin, best_end)};
}

std::vector<std::uint32_t> Arena::OwnersIn(std::uint64_t begin, std::uint64_t end) const {
  std::vector<std::uint32_t> owners;
  for (std::uint64_t at = begin; at < end;) {
    const auto run = free_by_offset_.find(at);
    if (run != free_by_offset_.end()) {
      at += run->second;
    } else {
      owners.push_back(HeaderAt(at).owner);
      at += HeaderAt(at).slot_bytes;
    }
  }
  return owners;
}

Arena::Piece Arena::SlotPiece(std::uint64_t slot_offset,
                              const std::function<double(std::uint32_t owner)>& cost) const {
  const SlotHeader& header = HeaderAt(slot_offset);
  CAIRN_CHECK(header.magic == kSlotMagic);
  return {header.slot_bytes, cost(header.owner)};
}

SlotHeader& Arena::HeaderAt(std::uint64_t slot_offset) const {
  return *reinterpret_cast<SlotHeader*>(base_ + slot_offset);
}

SlotHeader& Arena::Header(std::uint64_t payload_offset) const {
  CAIRN_CHECK(payload_offset >= kHeaderBytes && payload_offset < capacity_bytes_);
  CAIRN_CHECK(payload_offset % kHeaderBytes == 0);
  SlotHeader& header = HeaderAt(payload_offset - kHeaderBytes);
  CAIRN_CHECK(header.magic == kSlotMagic);
  CAIRN_CHECK(header.slot_bytes <= capacity_bytes_ - (payload_offset - kHeaderBytes));
  return header;
}

std::span<std::byte> Arena::Payload(std::uint64_t payload_offset) const {
  return {base_ + payload_offset, Header(payload_offset).payload_bytes};
}

}  // namespace cairn
