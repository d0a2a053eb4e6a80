#include <cstdint>
#include <cstring>

#include "kernels/exponent_split/check.h"
#include "kernels/exponent_split/chunk.h"
#include "kernels/launch/parts.h"

// The definition, as plain loops. libcache/codec decodes faster, with AVX2.
namespace cairn::kernels {
namespace {

bool Build(const std::uint8_t* model, RansTable& table) {
  const std::uint8_t* frequencies = model + 32;
  std::uint32_t start = 0;
  for (std::uint32_t s = 0; s < 256; ++s) {
    if ((model[s / 8] >> (s % 8) & 1U) == 0) {
      continue;
    }
    const std::uint32_t frequency = frequencies[0] | std::uint32_t{frequencies[1]} << 8U;
    frequencies += 2;
    if (frequency == 0 || frequency >= kRansTotal || start + frequency > kRansTotal) {
      return false;
    }
    table.entry[s] = frequency | start << 12U;
    std::memset(table.symbol + start, static_cast<int>(s), frequency);
    start += frequency;
  }
  return start == kRansTotal;
}

/// The states of a plane, one for every 32nd symbol.
class PlaneReader {
 public:
  bool Begin(const PlaneSource& plane) {
    plane_ = &plane;
    next_ = 0;
    if (plane.mode != PlaneMode::kRans) {
      return true;
    }
    std::memcpy(states_, plane.states, sizeof(states_));
    for (const std::uint32_t state : states_) {
      if (state < kRansLow || state >= 1U << 31U) {
        return false;
      }
    }
    return Build(plane.model, table_);
  }
  /// Byte i; after a failure anything.
  std::uint8_t At(std::int32_t i) {
    if (plane_->mode != PlaneMode::kRans) {
      return plane_->mode == PlaneMode::kRaw ? plane_->bytes[i] : plane_->constant;
    }
    std::uint32_t& state = states_[i % kRansLanes];
    const std::uint8_t symbol = table_.symbol[state & (kRansTotal - 1)];
    state = RansAdvance(table_.entry[symbol], state);
    if (state < kRansLow) {
      const std::uint32_t pair =
          next_ < plane_->word_count ? plane_->word_pairs[next_ / 2] : 0;  // Then it is no end.
      state = state << 16U | (pair >> (next_ % 2 * 16) & 0xFFFFU);
      ++next_;
    }
    return symbol;
  }
  bool End() const {
    if (plane_->mode != PlaneMode::kRans) {
      return true;
    }
    bool good = next_ == plane_->word_count;
    for (const std::uint32_t state : states_) {
      good = good && state == kRansLow;
    }
    return good;
  }

 private:
  const PlaneSource* plane_ = nullptr;
  std::uint32_t next_ = 0;
  std::uint32_t states_[kRansLanes];
  RansTable table_;
};

bool Decode(const std::uint8_t* at, std::int64_t bytes, std::uint8_t* object,
            std::int64_t object_bytes) {
  SplitChunk chunk;
  if (!ReadSplitChunk(at, bytes, object_bytes, chunk)) {
    return false;
  }
  PlaneReader planes[kMaxPlanes];
  for (int p = 0; p < chunk.planes; ++p) {
    if (!planes[p].Begin(chunk.plane[p])) {
      return false;
    }
  }
  for (std::int32_t i = 0; i < chunk.elements; ++i) {
    std::uint32_t word = 0;
    for (int p = 0; p < chunk.planes; ++p) {
      word = word << 8U | planes[p].At(i);
    }
    word = Unrotated(word, chunk.kind);
    std::memcpy(object + std::int64_t{i} * chunk.planes, &word,
                static_cast<std::size_t>(chunk.planes));
  }
  std::memcpy(object + object_bytes - chunk.rest, chunk.tail, static_cast<std::size_t>(chunk.rest));
  for (int p = 0; p < chunk.planes; ++p) {
    if (!planes[p].End()) {
      return false;
    }
  }
  return true;
}

}  // namespace
}  // namespace cairn::kernels

extern "C" cairn_kernels_status cairn_kernels_exponent_split_cpu(
    const cairn_kernels_exponent_split* args, int32_t part, int32_t parts) {
  using namespace cairn::kernels;
  if (const auto status = CheckExponentSplit(args)) {
    return status;
  }
  if (!IsPart(part, parts)) {
    return CAIRN_KERNELS_SHAPE;
  }
  const auto* const payload = static_cast<const std::uint8_t*>(args->payload);
  auto* const object = static_cast<std::uint8_t*>(args->object);
  const std::int64_t chunks = SplitChunks(args->object_bytes);
  if (WordAt(payload) != kSplitChunkBytes || WordAt(payload + 4) != chunks) {
    return CAIRN_KERNELS_DAMAGED;
  }
  const Share share = ShareOf(chunks, part, parts);
  bool good = true;
  std::int64_t at = kSplitPrefixBytes + 4 * chunks;
  for (std::int64_t i = 0; i < chunks; ++i) {
    const std::int64_t bytes = WordAt(payload + kSplitPrefixBytes + 4 * i);
    if (bytes > args->payload_bytes - at || at % 4 != 0) {
      return CAIRN_KERNELS_DAMAGED;
    }
    if (i >= share.first && i < share.last) {
      const std::int64_t first = i * kSplitChunkBytes;
      const std::int64_t left = args->object_bytes - first;
      good = Decode(payload + at, bytes, object + first,
                    left < kSplitChunkBytes ? left : kSplitChunkBytes) &&
             good;
    }
    at += bytes;
  }
  return good && at == args->payload_bytes ? CAIRN_KERNELS_OK : CAIRN_KERNELS_DAMAGED;
}
