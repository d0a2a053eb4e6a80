#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/tier/run_allocator.h"
#include "libcache/tier/sealed_memory.h"

namespace cairn {

/// Cuts one region of device memory into slots. The processor cannot look into that memory, so
/// everything about a slot is kept outside it: lengths here, generations in the *ledger*, host
/// memory that readers map read-only, one 64-bit word per slot.
///
/// A reader compares its slot's word before the copy and, once the device says that the copy is
/// over, after it: unchanged and even means that the bytes were stable. A word is odd while nobody
/// may read. Each value is used once per ledger, so a slot that changed hands is always noticed.
///
/// Not thread-safe, but for the words: their one writer is the tier, under its lock.
class DeviceArena {
 public:
  struct Slot {
    std::uint32_t number = 0;
    std::uint64_t offset = 0;      ///< In the region; a multiple of kGranule.
    std::uint64_t generation = 0;  ///< Odd until Publish.
  };
  /// Device copies are fastest at such offsets.
  static constexpr std::uint64_t kGranule = 256;
  static constexpr std::uint32_t kMaxSlots = 65'536;

  /// Errors: kIo if the system refuses the ledger's memory.
  static Result<std::unique_ptr<DeviceArena>> Create(std::uint64_t capacity_bytes);
  DeviceArena(const DeviceArena&) = delete;
  DeviceArena& operator=(const DeviceArena&) = delete;

  /// What `bytes` take out of a region.
  static std::uint64_t SlotBytes(std::uint64_t bytes) {
    return RunAllocator::ClassBytes(bytes, kGranule);
  }
  /// Errors: kNoSpace when no free run is long enough, or all slots are taken.
  Result<Slot> Allocate(std::uint64_t bytes);
  /// The bytes are in place: readable from now on. Returns the generation to read under.
  std::uint64_t Publish(std::uint32_t slot);
  /// Readers are refused from now on; the memory stays taken. Harmless to repeat.
  void Retire(std::uint32_t slot);
  /// Retire, and the memory may be used again: nobody reads it, or their copies fail.
  void Free(std::uint32_t slot);
  /// Retires all at once.
  void RetireAll();

  [[nodiscard]] int ledger_fd() const { return ledger_->fd(); }
  [[nodiscard]] std::uint64_t capacity_bytes() const { return runs_.capacity_bytes(); }
  [[nodiscard]] std::uint64_t used_bytes() const { return runs_.used_bytes(); }
  [[nodiscard]] std::uint32_t slots() const { return used_slots_; }
  [[nodiscard]] std::uint64_t Generation(std::uint32_t slot) const;

 private:
  struct Entry {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;  // 0: free.
  };
  DeviceArena(std::uint64_t capacity_bytes, std::unique_ptr<SealedMemory> ledger);
  void Store(std::uint32_t slot, std::uint64_t generation);

  std::unique_ptr<SealedMemory> ledger_;
  RunAllocator runs_;
  std::vector<Entry> entries_;               // By slot number; grows to kMaxSlots.
  std::vector<std::uint32_t> free_numbers_;  // Of entries_.
  std::uint32_t used_slots_ = 0;
  std::uint64_t next_generation_ = 1;  // Odd.
};

}  // namespace cairn
