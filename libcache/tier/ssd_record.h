#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/tier/cold_tier.h"

namespace cairn {

// Keys, headers and small text files of the SSD format (docs/formats/ssd.md). Pure functions.

/// Format of everything below the directory. Raised when an older program could misread it.
inline constexpr std::uint32_t kSsdFormat = 1;

/// Payload bytes of one value record. Bounds the memory of a read; measured as fast as larger ones.
inline constexpr std::uint32_t kSsdChunkBytes = 1U << 20U;

inline constexpr std::size_t kSsdHeaderBytes = 152;
/// Ordinals of a segment stay below this, so that a damaged one cannot ask for memory.
inline constexpr std::uint32_t kSsdMaxOrdinals = 1U << 20U;

/// segment || ordinal, big-endian, so that keys sort in the order of writing.
using SsdObjectKey = std::array<char, 8>;
/// segment || ordinal || chunk.
using SsdChunkKey = std::array<char, 10>;
using SsdHeaderBytes = std::array<std::byte, kSsdHeaderBytes>;

/// How the chunks of an object hold its payload. The values are versions of the header.
enum class SsdForm : std::uint16_t {
  kPlain = 1,   ///< 1 MiB each, as it is.
  kFramed = 2,  ///< 1 MiB each, as frames of a codec, or as it is where those are no shorter.
  kCut = 3,     ///< The same, but cut where a codec wanted it.
};

struct SsdHeader {
  ObjectRecord record;
  ColdLocation location;
  std::uint32_t chunk_bytes = kSsdChunkBytes;  ///< Most payload in a chunk.
  SsdForm form = SsdForm::kPlain;
};

/// What one chunk holds.
struct SsdChunk {
  std::uint32_t bytes = 0;  ///< Of payload.
  std::uint32_t frame = 0;  ///< Bytes of its frame; 0: it is stored as it is.
  bool operator==(const SsdChunk&) const = default;
};

/// What the store knows of an object without its payload.
struct SsdObject {
  SsdHeader header;
  std::vector<SsdChunk> chunks;  ///< Not of a plain one.
};

SsdObjectKey ObjectKeyOf(ColdLocation location);
SsdChunkKey ChunkKeyOf(ColdLocation location, std::uint32_t chunk);
/// Nullopt when `key` has another length.
std::optional<ColdLocation> ParseObjectKey(std::string_view key);
/// Chunk number of a chunk key.
std::uint32_t ChunkOfKey(std::string_view key);
/// Segment of an object or chunk key; nullopt when it is too short to have one.
std::optional<std::uint32_t> SegmentOfKey(std::string_view key);

SsdHeaderBytes EncodeHeader(const SsdHeader& header);
/// Errors: kCorrupt on another length, magic, version, an impossible field or a wrong checksum.
Result<SsdHeader> DecodeHeader(std::span<const std::byte> bytes);

/// The header, and the sizes of chunks where they do not follow from it (docs/formats/ssd.md).
std::vector<std::byte> EncodeObject(const SsdObject& object);
/// Errors: kCorrupt, as DecodeHeader.
Result<SsdObject> DecodeObject(std::span<const std::byte> bytes);

/// Chunks of a plain object, by its header.
std::vector<SsdChunk> PlainChunks(const SsdHeader& header);

/// Chunks of an object of `bytes` > 0 payload bytes; the last may be short.
std::uint32_t ChunkCount(std::uint64_t bytes, std::uint32_t chunk_bytes);
/// Largest payload that the 16-bit chunk number of a key can address.
std::uint64_t MaxObjectBytes();

/// "<name> <number> <checksum>\n": what the marker and the durable epoch files hold. The checksum
/// tells another version from damage.
std::string FormatStamp(std::string_view name, std::uint64_t number);
/// Nullopt when damaged.
std::optional<std::uint64_t> ParseStamp(std::string_view name, std::string_view text);

}  // namespace cairn
