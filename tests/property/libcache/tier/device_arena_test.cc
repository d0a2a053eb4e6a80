// Random allocations, publications and frees against a map of what must be there.
#include "libcache/tier/device_arena.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <vector>

#include "libcache/base/bytes.h"

namespace cairn {
namespace {

struct Held {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t generation = 0;
  bool published = false;
};

class Model {
 public:
  explicit Model(std::uint64_t capacity_bytes)
      : arena(std::move(DeviceArena::Create(capacity_bytes)).value()) {}

  void Allocate(std::uint64_t bytes) {
    const std::uint64_t need = DeviceArena::SlotBytes(bytes);
    const auto slot = arena->Allocate(bytes);
    if (!slot) {
      RC_ASSERT(slot.error().code == ErrorCode::kNoSpace);
      RC_ASSERT(LongestGap() < need);
      return;
    }
    RC_ASSERT(slot->offset % DeviceArena::kGranule == 0U);
    RC_ASSERT(slot->offset + need <= arena->capacity_bytes());
    for (const auto& [number, other] : held) {
      const bool apart = slot->offset + need <= other.offset ||
                         other.offset + DeviceArena::SlotBytes(other.bytes) <= slot->offset;
      RC_ASSERT(apart);
    }
    RC_ASSERT(generations.insert(slot->generation).second);
    RC_ASSERT(
        held.emplace(slot->number, Held{slot->offset, bytes, slot->generation, false}).second);
  }
  void Touch(std::size_t index, int what) {
    if (held.empty()) {
      return;
    }
    const auto it = std::next(held.begin(), static_cast<std::ptrdiff_t>(index % held.size()));
    if (what == 0 && arena->Generation(it->first) % 2 == 1 && !it->second.published) {
      it->second.generation = arena->Publish(it->first);
      RC_ASSERT(generations.insert(it->second.generation).second);
      it->second.published = true;
    } else if (what == 1) {
      arena->Retire(it->first);
      it->second.published = false;
      it->second.generation = arena->Generation(it->first);
      generations.insert(it->second.generation);
      retired.insert(it->first);
    } else if (what == 2) {
      arena->Free(it->first);
      RC_ASSERT(arena->Generation(it->first) % 2 == 1U);
      generations.insert(arena->Generation(it->first));
      retired.erase(it->first);
      held.erase(it);
    }
  }
  void Check() const {
    std::uint64_t used = 0;
    for (const auto& [number, slot] : held) {
      used += DeviceArena::SlotBytes(slot.bytes);
      RC_ASSERT(arena->Generation(number) == slot.generation);
      RC_ASSERT((slot.generation % 2 == 0) == slot.published);
    }
    RC_ASSERT(arena->used_bytes() == used);
    RC_ASSERT(used <= arena->capacity_bytes());
    RC_ASSERT(arena->slots() == held.size());
  }
  [[nodiscard]] std::uint64_t LongestGap() const {
    std::map<std::uint64_t, std::uint64_t> by_offset;
    for (const auto& [number, slot] : held) {
      by_offset[slot.offset] = DeviceArena::SlotBytes(slot.bytes);
    }
    std::uint64_t longest = 0;
    std::uint64_t end = 0;
    for (const auto& [offset, bytes] : by_offset) {
      longest = std::max(longest, offset - end);
      end = offset + bytes;
    }
    return std::max(longest, arena->capacity_bytes() - end);
  }

  std::unique_ptr<DeviceArena> arena;
  std::map<std::uint32_t, Held> held;
  std::set<std::uint32_t> retired;
  std::set<std::uint64_t> generations;
};

RC_GTEST_PROP(DeviceArenaProperty, NeverOverlapsNorExceedsNorRepeatsAGeneration, ()) {
  const auto capacity = *rc::gen::inRange<std::uint64_t>(1, 40) * 64 * kKiB;
  Model model(capacity);
  const auto steps = *rc::gen::inRange(1, 300);
  for (int i = 0; i < steps; ++i) {
    const int what = *rc::gen::inRange(0, 6);
    if (what >= 3) {
      const std::uint64_t size =
          *rc::gen::element<std::uint64_t>(1, 255, 256, 5000, 70'000, 256 * kKiB, 300'001);
      model.Allocate(size + *rc::gen::inRange<std::uint64_t>(0, 64));
    } else {
      const auto index = *rc::gen::inRange<std::size_t>(0, 1000);
      const bool again =
          what == 0 && !model.held.empty() &&
          model.retired.contains(
              std::next(model.held.begin(), static_cast<std::ptrdiff_t>(index % model.held.size()))
                  ->first);
      if (!again) {  // What is retired is freed next, not published.
        model.Touch(index, what);
      }
    }
    model.Check();
  }
}

}  // namespace
}  // namespace cairn
