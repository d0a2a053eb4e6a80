#pragma once

#include <cstdint>

#include "kernels/arith/host_device.h"
#include "kernels/cairn_kernels_codec.h"

// What is where in a payload of exponent_split (docs/formats/codecs.md), read from bytes that may
// be anything. Every section begins at a multiple of four bytes.
namespace cairn::kernels {

constexpr std::int64_t kSplitChunkBytes = 128 * 1024;  ///< Of the object, in a chunk.
constexpr std::int64_t kSplitPrefixBytes = 8;
constexpr std::int64_t kChunkHeadBytes = 8;
constexpr int kMaxPlanes = 4;
constexpr int kRansLanes = 32;
constexpr std::uint32_t kRansTotal = 4096;
constexpr std::uint32_t kRansLow = 1U << 15U;
constexpr std::int64_t kRansStateBytes = 4 * kRansLanes;

enum class PlaneMode : std::uint8_t { kRaw = 0, kConstant = 1, kRans = 2 };

/// Where a plane's bytes come from.
struct PlaneSource {
  PlaneMode mode;
  std::uint8_t constant;
  std::uint32_t word_count;         ///< Of the stream.
  const std::uint8_t* bytes;        ///< kRaw.
  const std::uint8_t* model;        ///< kRans: a bitmap of 32 bytes, then frequencies.
  const std::uint32_t* states;      ///< [32].
  const std::uint32_t* word_pairs;  ///< The lower half is the first word.
};

struct SplitChunk {
  int kind;    ///< 0: bytes, 1: fp32, 2: bf16, 3: fp16.
  int planes;  ///< And bytes of an element.
  std::int32_t elements;
  std::int32_t rest;  ///< Bytes behind the last whole element.
  const std::uint8_t* tail;
  PlaneSource plane[kMaxPlanes];
};

CAIRN_BOTH std::int64_t SplitChunks(std::int64_t object_bytes) {
  return (object_bytes + kSplitChunkBytes - 1) / kSplitChunkBytes;
}

/// Takes sections off the front of a chunk.
class SectionReader {
 public:
  CAIRN_BOTH_MEMBER SectionReader(const std::uint8_t* at, std::int64_t bytes)
      : at_(at), left_(bytes) {}
  /// Null if there is less left, or what fills the section up is not zero.
  CAIRN_BOTH_MEMBER const std::uint8_t* Take(std::int64_t bytes) {
    const std::int64_t padded = (bytes + 3) / 4 * 4;
    if (padded > left_) {
      left_ = -1;
      return nullptr;
    }
    const std::uint8_t* const taken = at_;
    for (std::int64_t i = bytes; i < padded; ++i) {
      if (taken[i] != 0) {
        left_ = -1;
        return nullptr;
      }
    }
    at_ += padded;
    left_ -= padded;
    return taken;
  }
  CAIRN_BOTH_MEMBER std::int64_t left() const { return left_; }
  CAIRN_BOTH_MEMBER bool Done() const { return left_ == 0; }

 private:
  const std::uint8_t* at_;
  std::int64_t left_;  ///< Below 0 after a failure.
};

CAIRN_BOTH std::uint32_t WordAt(const std::uint8_t* aligned) {
  return *reinterpret_cast<const std::uint32_t*>(aligned);
}

/// Bits set in the 32 bytes of a model's bitmap.
CAIRN_BOTH int SymbolsOf(const std::uint8_t* model) {
  int symbols = 0;
  for (int i = 0; i < 8; ++i) {
    for (std::uint32_t word = WordAt(model + 4 * i); word != 0; word &= word - 1) {
      ++symbols;
    }
  }
  return symbols;
}

CAIRN_BOTH bool ReadRansPlane(SectionReader& reader, std::int64_t symbols, PlaneSource& plane) {
  const std::uint8_t* const size = reader.Take(4);
  if (size == nullptr || reader.left() < 32) {
    return false;
  }
  const std::int64_t bytes = WordAt(size);
  // The bitmap lies behind the size; how long the model is stands in it.
  const std::uint8_t* const model = reader.Take(32 + 2 * SymbolsOf(size + 4));
  if (model == nullptr || bytes < kRansStateBytes || bytes % 2 != 0 ||
      bytes > kRansStateBytes + 2 * symbols) {
    return false;
  }
  const std::uint8_t* const stream = reader.Take(bytes);
  if (stream == nullptr) {
    return false;
  }
  plane.model = model;
  plane.states = reinterpret_cast<const std::uint32_t*>(stream);
  plane.word_pairs = plane.states + kRansLanes;
  plane.word_count = static_cast<std::uint32_t>((bytes - kRansStateBytes) / 2);
  return true;
}

CAIRN_BOTH bool ReadPlane(std::uint8_t mode, SectionReader& reader, std::int64_t elements,
                          PlaneSource& plane) {
  plane.mode = static_cast<PlaneMode>(mode);
  switch (plane.mode) {
    case PlaneMode::kRaw: plane.bytes = reader.Take(elements); return plane.bytes != nullptr;
    case PlaneMode::kConstant: {
      const std::uint8_t* const value = reader.Take(1);
      plane.constant = value == nullptr ? std::uint8_t{0} : *value;
      return value != nullptr;
    }
    case PlaneMode::kRans: return ReadRansPlane(reader, elements, plane);
  }
  return false;
}

/// False if the chunk is damaged, as far as its structure tells. `at` is aligned to 4.
CAIRN_BOTH bool ReadSplitChunk(const std::uint8_t* at, std::int64_t bytes,
                               std::int64_t object_bytes, SplitChunk& chunk) {
  SectionReader reader(at, bytes);
  const std::uint8_t* const head = reader.Take(kChunkHeadBytes);
  if (head == nullptr || head[0] > 3 || (head[5] | head[6] | head[7]) != 0) {
    return false;
  }
  chunk.kind = head[0];
  chunk.planes = chunk.kind == 1 ? 4 : chunk.kind == 0 ? 1 : 2;
  chunk.elements = static_cast<std::int32_t>(object_bytes / chunk.planes);
  chunk.rest = static_cast<std::int32_t>(object_bytes % chunk.planes);
  for (int p = 0; p < kMaxPlanes; ++p) {
    chunk.plane[p] = {};
    if (p < chunk.planes && !ReadPlane(head[1 + p], reader, chunk.elements, chunk.plane[p])) {
      return false;
    }
  }
  chunk.tail = reader.Take(chunk.rest);
  return chunk.tail != nullptr && reader.Done();
}

/// An element of its planes' bytes, the first one highest: those of kinds 1 and 2 were rotated left
/// by one bit.
CAIRN_BOTH std::uint32_t Unrotated(std::uint32_t word, int kind) {
  if (kind == 1) {
    return word >> 1U | word << 31U;
  }
  return kind == 2 ? (word >> 1U | word << 15U) & 0xFFFFU : word;
}

/// A decoder's table: which symbol has a slot, and each symbol's frequency and first slot.
struct RansTable {
  std::uint8_t symbol[kRansTotal];
  std::uint32_t entry[256];  ///< frequency | start << 12
};

/// The state after a symbol was taken, before a word may be needed.
CAIRN_BOTH std::uint32_t RansAdvance(std::uint32_t entry, std::uint32_t state) {
  return (entry & 0xFFFU) * (state >> 12U) + (state & (kRansTotal - 1)) - (entry >> 12U);
}

}  // namespace cairn::kernels
