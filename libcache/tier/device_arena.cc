#include "libcache/tier/device_arena.h"

#include <atomic>
#include <utility>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"

namespace cairn {
namespace {

std::atomic_ref<std::uint64_t> Word(const SealedMemory& ledger, std::uint32_t slot) {
  auto* const words = reinterpret_cast<std::uint64_t*>(ledger.memory().data());
  return std::atomic_ref<std::uint64_t>(words[slot]);
}

}  // namespace

Result<std::unique_ptr<DeviceArena>> DeviceArena::Create(std::uint64_t capacity_bytes) {
  // Pages of it come as slots are used; untouched words are 0: even, and nobody's generation.
  auto ledger =
      SealedMemory::Create("cairn-gpu-ledger", std::uint64_t{kMaxSlots} * sizeof(std::uint64_t));
  if (!ledger) {
    return Fail(ledger.error());
  }
  return std::unique_ptr<DeviceArena>(new DeviceArena(capacity_bytes, std::move(*ledger)));
}

DeviceArena::DeviceArena(std::uint64_t capacity_bytes, std::unique_ptr<SealedMemory> ledger)
    : ledger_(std::move(ledger)), runs_(capacity_bytes) {}

void DeviceArena::Store(std::uint32_t slot, std::uint64_t generation) {
  Word(*ledger_, slot).store(generation, std::memory_order_seq_cst);
}

std::uint64_t DeviceArena::Generation(std::uint32_t slot) const {
  return Word(*ledger_, slot).load(std::memory_order_acquire);
}

Result<DeviceArena::Slot> DeviceArena::Allocate(std::uint64_t bytes) {
  const std::uint64_t class_bytes = SlotBytes(bytes);
  if (bytes == 0 || class_bytes > capacity_bytes() || used_slots_ == kMaxSlots) {
    return Fail(ErrorCode::kNoSpace, "no slot for " + FormatBytes(bytes));
  }
  const auto offset = runs_.Take(class_bytes);
  if (!offset) {
    return Fail(ErrorCode::kNoSpace, "no free run of " + FormatBytes(class_bytes));
  }
  Slot slot{.number = static_cast<std::uint32_t>(entries_.size()),
            .offset = *offset,
            .generation = next_generation_};
  if (free_numbers_.empty()) {
    entries_.push_back({});
  } else {
    slot.number = free_numbers_.back();
    free_numbers_.pop_back();
  }
  entries_[slot.number] = {.offset = *offset, .bytes = class_bytes};
  used_slots_ += 1;
  next_generation_ += 2;
  Store(slot.number, slot.generation);
  return slot;
}

std::uint64_t DeviceArena::Publish(std::uint32_t slot) {
  CAIRN_CHECK(entries_[slot].bytes != 0);
  const std::uint64_t generation = Generation(slot);
  CAIRN_CHECK(generation % 2 == 1);
  Store(slot, generation + 1);
  return generation + 1;
}

void DeviceArena::Retire(std::uint32_t slot) {
  CAIRN_CHECK(entries_[slot].bytes != 0);
  if (Generation(slot) % 2 == 0) {
    Store(slot, next_generation_);
    next_generation_ += 2;
  }
}

void DeviceArena::Free(std::uint32_t slot) {
  Retire(slot);
  Entry& entry = entries_[slot];
  runs_.Give(entry.offset, entry.bytes);
  entry.bytes = 0;
  free_numbers_.push_back(slot);
  used_slots_ -= 1;
}

void DeviceArena::RetireAll() {
  for (std::uint32_t slot = 0; slot < entries_.size(); ++slot) {
    if (entries_[slot].bytes != 0) {
      Retire(slot);
    }
  }
}

}  // namespace cairn
