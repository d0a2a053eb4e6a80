#include "libcache/cluster/affinity.h"

#include <algorithm>
#include <bit>

#include "libcache/base/check.h"

namespace cairn {

// Keys are uniform: their low bits choose the slot.
Affinity::Affinity(std::size_t slots) : slots_(std::bit_ceil(std::max<std::size_t>(slots, 1))) {}

void Affinity::Remember(const PrefixKey& key, std::uint32_t blocks, std::uint32_t member) {
  CAIRN_DCHECK(blocks > 0);
  const std::uint64_t word = key.Word();
  slots_[word & (slots_.size() - 1)] = {.word = word, .blocks = blocks, .member = member};
}

std::optional<Affinity::Known> Affinity::Deepest(std::span<const PrefixKey> keys) const {
  for (std::size_t blocks = keys.size(); blocks > 0; --blocks) {
    const std::uint64_t word = keys[blocks - 1].Word();
    const Slot& slot = slots_[word & (slots_.size() - 1)];
    if (slot.word == word && slot.blocks == blocks) {
      return Known{.blocks = slot.blocks, .member = slot.member};
    }
  }
  return std::nullopt;
}

}  // namespace cairn
