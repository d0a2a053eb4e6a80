#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/tier/run_allocator.h"
#include "libcache/tier/sealed_memory.h"

namespace cairn {

/// Sits in front of every payload, inside the shared mapping. Readers in other processes look at
/// `generation` only: it changes whenever the slot is handed out or taken back (odd while nobody
/// may read), so an unchanged even value before and after a copy means the bytes were stable.
struct alignas(64) SlotHeader {
  std::uint64_t generation;  ///< Accessed with atomic_ref.
  std::uint64_t slot_bytes;  ///< Header and padding included.
  std::uint64_t payload_bytes;
  std::uint32_t owner;  ///< The caller's number for the object.
  std::uint32_t magic;
  std::uint64_t digest_low;
  std::uint64_t digest_high;
  std::uint64_t reserved[2];
};
static_assert(sizeof(SlotHeader) == 64);

/// Host memory for objects: one sealed memfd of fixed size, cut into slots by size class.
///
/// Payload sizes are rounded up to a class and placed by RunAllocator; the sizes a model repeats
/// lose less than a page. Pages are taken from the system on first use and never beyond
/// `capacity_bytes`: the cap is hard.
///
/// The seals let a client that received the descriptor trust the size, and let the daemon trust the
/// slot headers: where the kernel has F_SEAL_FUTURE_WRITE (5.1), nobody but the creator can write.
///
/// Not thread-safe: the host tier calls it under the cache's lock. Payload bytes themselves are
/// read and written without it. Allocate and Free are O(log free runs).
class Arena {
 public:
  struct Config {
    std::uint64_t capacity_bytes = 0;  ///< Rounded down to 2 MiB; at least 2 MiB.
    bool huge_pages = true;            ///< madvise; harmless where not allowed.
  };
  /// A contiguous run of slots, in address order, that together make room. Empty when there is
  /// room already.
  struct Window {
    std::vector<std::uint32_t> owners;
  };

  /// Errors: kInvalidArgument for the size, kIo if the system refuses the memory.
  static Result<std::unique_ptr<Arena>> Create(const Config& config);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Offset of a payload of `bytes` (64-byte aligned), its header filled, generation odd.
  /// Errors: kNoSpace when no free run is long enough; kInvalidArgument for 0 or more than fits.
  Result<std::uint64_t> Allocate(std::uint64_t bytes, std::uint32_t owner);
  /// Takes the slot back; its generation moves on, so readers notice.
  void Free(std::uint64_t payload_offset);

  /// Makes the payload readable: generation becomes even. The bytes must be in place.
  void Publish(std::uint64_t payload_offset);

  /// The cheapest run of neighbouring slots (with the free space between) whose release lets
  /// `bytes` be allocated; `cost` is asked per owner, is never negative, and is infinity for what
  /// must stay. Of equal costs the lowest address wins.
  /// For when space is enough but scattered. Walks all slots: O(slots).
  [[nodiscard]] std::optional<Window> CheapestWindow(
      std::uint64_t bytes, const std::function<double(std::uint32_t owner)>& cost) const;

  [[nodiscard]] SlotHeader& Header(std::uint64_t payload_offset) const;
  [[nodiscard]] std::span<std::byte> Payload(std::uint64_t payload_offset) const;
  [[nodiscard]] int fd() const { return memory_->fd(); }
  [[nodiscard]] std::span<std::byte> memory() const { return memory_->memory(); }
  [[nodiscard]] std::uint64_t capacity_bytes() const { return runs_.capacity_bytes(); }
  /// Slots in use, headers and padding included; <= capacity_bytes() always.
  [[nodiscard]] std::uint64_t used_bytes() const { return runs_.used_bytes(); }
  /// Payload bytes in use.
  [[nodiscard]] std::uint64_t payload_bytes() const { return payload_bytes_; }
  /// What Allocate(bytes) takes out of the arena; the largest number for what fits none.
  static std::uint64_t SlotBytes(std::uint64_t bytes);

 private:
  /// A slot or a free run, as CheapestWindow sees it.
  struct Piece {
    std::uint64_t bytes;
    double cost;
  };
  class SlidingWindow;

  explicit Arena(std::unique_ptr<SealedMemory> memory);

  std::uint64_t NextOddGeneration();
  [[nodiscard]] Piece SlotPiece(std::uint64_t slot_offset,
                                const std::function<double(std::uint32_t owner)>& cost) const;
  [[nodiscard]] std::vector<std::uint32_t> OwnersIn(std::uint64_t begin, std::uint64_t end) const;
  [[nodiscard]] SlotHeader& HeaderAt(std::uint64_t slot_offset) const;

  std::unique_ptr<SealedMemory> memory_;
  RunAllocator runs_;
  std::uint64_t payload_bytes_ = 0;
  std::uint64_t generation_ = 1;  // The next odd value; every value is used once per arena.
};

}  // namespace cairn
