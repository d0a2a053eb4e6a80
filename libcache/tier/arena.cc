#include "libcache/tier/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"

namespace cairn {
namespace {

constexpr std::uint64_t kHeaderBytes = sizeof(SlotHeader);
constexpr std::uint64_t kCapacityStep = 2 * kMiB;
constexpr std::uint64_t kMaxCapacity = std::uint64_t{1} << 46U;
constexpr std::uint32_t kSlotMagic = 0x43524E53;  // "CRNS"
constexpr std::uint32_t kFreeMagic = 0x43524E46;  // "CRNF"

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
  auto memory = SealedMemory::Create("cairn-arena", capacity);
  if (!memory) {
    return Fail(memory.error());
  }
  if (config.huge_pages) {
    // A wish. Huge pages round residency up to 2 MiB steps, never past the mapping.
    static_cast<void>(madvise((*memory)->memory().data(), capacity, MADV_HUGEPAGE));
  }
  return std::unique_ptr<Arena>(new Arena(std::move(*memory)));
}

Arena::Arena(std::unique_ptr<SealedMemory> memory)
    : memory_(std::move(memory)), runs_(memory_->memory().size()) {}

std::uint64_t Arena::SlotBytes(std::uint64_t bytes) {
  return bytes > kMaxCapacity ? RunAllocator::kTooLarge
                              : RunAllocator::ClassBytes(bytes + kHeaderBytes, kHeaderBytes);
}

std::uint64_t Arena::NextOddGeneration() {
  const std::uint64_t generation = generation_;
  generation_ += 2;
  return generation;
}

Result<std::uint64_t> Arena::Allocate(std::uint64_t bytes, std::uint32_t owner) {
  if (bytes == 0 || SlotBytes(bytes) > capacity_bytes()) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "object of " + FormatBytes(bytes) + " in an arena of " + FormatBytes(capacity_bytes()));
  }
  const std::uint64_t slot_bytes = SlotBytes(bytes);
  const auto taken = runs_.Take(slot_bytes);
  if (!taken) {
    return Fail(ErrorCode::kNoSpace, "no free run of " + FormatBytes(slot_bytes));
  }
  const std::uint64_t slot = *taken;
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
  payload_bytes_ += bytes;
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
  CAIRN_CHECK(payload_bytes_ >= header.payload_bytes);
  payload_bytes_ -= header.payload_bytes;
  header.magic = kFreeMagic;  // Freeing it again is caught by Header().
  runs_.Give(payload_offset - kHeaderBytes, header.slot_bytes);
}

std::optional<Arena::Window> Arena::CheapestWindow(
    std::uint64_t bytes, const std::function<double(std::uint32_t owner)>& cost) const {
  if (bytes == 0 || SlotBytes(bytes) > capacity_bytes()) {
    return std::nullopt;
  }
  const std::uint64_t need = SlotBytes(bytes);
  SlidingWindow window;
  double best_cost = std::numeric_limits<double>::infinity();
  std::uint64_t best_begin = 0;
  std::uint64_t best_end = 0;
  auto run = runs_.free_runs().begin();
  for (std::uint64_t at = 0; at < capacity_bytes();) {
    const bool is_free = run != runs_.free_runs().end() && run->first == at;
    const Piece piece = is_free ? Piece{run->second, 0.0} : SlotPiece(at, cost);
    CAIRN_CHECK(piece.bytes > 0 && piece.bytes <= capacity_bytes() - at && piece.cost >= 0);
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
    const auto run = runs_.free_runs().find(at);
    if (run != runs_.free_runs().end()) {
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
  return *reinterpret_cast<SlotHeader*>(memory_->memory().data() + slot_offset);
}

SlotHeader& Arena::Header(std::uint64_t payload_offset) const {
  CAIRN_CHECK(payload_offset >= kHeaderBytes && payload_offset < capacity_bytes());
  CAIRN_CHECK(payload_offset % kHeaderBytes == 0);
  SlotHeader& header = HeaderAt(payload_offset - kHeaderBytes);
  CAIRN_CHECK(header.magic == kSlotMagic);
  CAIRN_CHECK(header.slot_bytes <= capacity_bytes() - (payload_offset - kHeaderBytes));
  return header;
}

std::span<std::byte> Arena::Payload(std::uint64_t payload_offset) const {
  return {memory_->memory().data() + payload_offset, Header(payload_offset).payload_bytes};
}

}  // namespace cairn
