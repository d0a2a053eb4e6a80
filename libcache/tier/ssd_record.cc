#include "libcache/tier/ssd_record.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "libcache/base/check.h"
#include "libcache/base/endian.h"

namespace cairn {
namespace {

constexpr std::uint32_t kMagic = 0x44535343;  // "CSSD"
constexpr std::size_t kMaxChunks = std::size_t{std::numeric_limits<std::uint16_t>::max()} + 1;
constexpr std::size_t kChecksumOffset = kSsdHeaderBytes - 8;

void StoreBigEndian(char* target, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) {
    target[i] = static_cast<char>((value >> (24 - 8 * i)) & 0xFFU);
  }
}

std::uint32_t LoadBigEndian(const char* source) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value = (value << 8U) | static_cast<std::uint8_t>(source[i]);
  }
  return value;
}

}  // namespace

SsdObjectKey ObjectKeyOf(ColdLocation location) {
  SsdObjectKey key;
  StoreBigEndian(key.data(), location.segment);
  StoreBigEndian(key.data() + 4, location.ordinal);
  return key;
}

SsdChunkKey ChunkKeyOf(ColdLocation location, std::uint32_t chunk) {
  CAIRN_CHECK(chunk <= std::numeric_limits<std::uint16_t>::max());
  SsdChunkKey key;
  StoreBigEndian(key.data(), location.segment);
  StoreBigEndian(key.data() + 4, location.ordinal);
  key[8] = static_cast<char>(chunk >> 8U);
  key[9] = static_cast<char>(chunk & 0xFFU);
  return key;
}

std::optional<ColdLocation> ParseObjectKey(std::string_view key) {
  if (key.size() != SsdObjectKey().size()) {
    return std::nullopt;
  }
  return ColdLocation{.segment = LoadBigEndian(key.data()),
                      .ordinal = LoadBigEndian(key.data() + 4)};
}

std::uint32_t ChunkOfKey(std::string_view key) {
  CAIRN_CHECK(key.size() == SsdChunkKey().size());
  return static_cast<std::uint32_t>(static_cast<std::uint8_t>(key[8])) << 8U |
         static_cast<std::uint8_t>(key[9]);
}

std::optional<std::uint32_t> SegmentOfKey(std::string_view key) {
  if (key.size() < 4) {
    return std::nullopt;
  }
  return LoadBigEndian(key.data());
}

SsdHeaderBytes EncodeHeader(const SsdHeader& header) {
  SsdHeaderBytes bytes{};
  const std::span<std::byte> out(bytes);
  StoreLe(out, 0, kMagic);
  StoreLe(out, 4, static_cast<std::uint16_t>(header.form));
  StoreLe(out, 6, static_cast<std::uint8_t>(header.record.kind));
  StoreLe(out, 7, static_cast<std::uint8_t>(header.record.coded ? 1 : 0));
  StoreLe(out, 8, header.record.position);
  StoreLe(out, 12, header.chunk_bytes);
  StoreLe(out, 16, header.record.bytes);
  StoreLe(out, 24, header.record.digest.low);
  StoreLe(out, 32, header.record.digest.high);
  std::copy(header.record.key.bytes.begin(), header.record.key.bytes.end(), bytes.begin() + 40);
  std::copy(header.record.parent.bytes.begin(), header.record.parent.bytes.end(),
            bytes.begin() + 72);
  std::copy(header.record.seed.bytes.begin(), header.record.seed.bytes.end(), bytes.begin() + 104);
  StoreLe(out, 136, header.location.segment);
  StoreLe(out, 140, header.location.ordinal);
  StoreLe(out, kChecksumOffset, DigestOf(out.first(kChecksumOffset)).low);
  return bytes;
}

Result<SsdHeader> DecodeHeader(std::span<const std::byte> bytes) {
  if (bytes.size() != kSsdHeaderBytes || LoadLe<std::uint32_t>(bytes, 0) != kMagic) {
    return Fail(ErrorCode::kCorrupt, "not an object header");
  }
  if (DigestOf(bytes.first(kChecksumOffset)).low != LoadLe<std::uint64_t>(bytes, kChecksumOffset)) {
    return Fail(ErrorCode::kCorrupt, "object header fails its checksum");
  }
  const auto kind = LoadLe<std::uint8_t>(bytes, 6);
  SsdHeader header;
  header.record.position = LoadLe<std::uint32_t>(bytes, 8);
  header.chunk_bytes = LoadLe<std::uint32_t>(bytes, 12);
  header.record.bytes = LoadLe<std::uint64_t>(bytes, 16);
  const auto version = LoadLe<std::uint16_t>(bytes, 4);
  const auto coded = LoadLe<std::uint8_t>(bytes, 7);
  header.form = static_cast<SsdForm>(version);
  header.record.coded = coded != 0;
  if (version < static_cast<std::uint16_t>(SsdForm::kPlain) ||
      version > static_cast<std::uint16_t>(SsdForm::kCut) || coded > 1 ||
      kind > static_cast<std::uint8_t>(ObjectKind::kCheckpoint) ||
      header.chunk_bytes != kSsdChunkBytes || header.record.bytes == 0 ||
      header.record.bytes > MaxObjectBytes()) {
    return Fail(ErrorCode::kCorrupt, "object header of another version");
  }
  header.record.kind = static_cast<ObjectKind>(kind);
  header.record.digest = {.low = LoadLe<std::uint64_t>(bytes, 24),
                          .high = LoadLe<std::uint64_t>(bytes, 32)};
  std::copy_n(bytes.begin() + 40, PrefixKey::kBytes, header.record.key.bytes.begin());
  std::copy_n(bytes.begin() + 72, PrefixKey::kBytes, header.record.parent.bytes.begin());
  std::copy_n(bytes.begin() + 104, PrefixKey::kBytes, header.record.seed.bytes.begin());
  header.location = {.segment = LoadLe<std::uint32_t>(bytes, 136),
                     .ordinal = LoadLe<std::uint32_t>(bytes, 140)};
  return header;
}

std::vector<SsdChunk> PlainChunks(const SsdHeader& header) {
  std::vector<SsdChunk> chunks(ChunkCount(header.record.bytes, header.chunk_bytes),
                               {.bytes = header.chunk_bytes});
  chunks.back().bytes = static_cast<std::uint32_t>(
      header.record.bytes - (chunks.size() - 1) * std::uint64_t{header.chunk_bytes});
  return chunks;
}

std::vector<std::byte> EncodeObject(const SsdObject& object) {
  const SsdHeaderBytes header = EncodeHeader(object.header);
  std::vector<std::byte> bytes(header.begin(), header.end());
  if (object.header.form == SsdForm::kPlain) {
    return bytes;
  }
  const auto append = [&bytes](auto value) {
    bytes.resize(bytes.size() + sizeof(value));
    StoreLe(std::span(bytes), bytes.size() - sizeof(value), value);
  };
  for (const SsdChunk& chunk : object.chunks) {
    if (object.header.form == SsdForm::kCut) {
      append(chunk.bytes);
    }
    append(chunk.frame);
  }
  append(DigestOf(std::span(bytes).subspan(kSsdHeaderBytes)).low);
  return bytes;
}

Result<SsdObject> DecodeObject(std::span<const std::byte> bytes) {
  const auto header = DecodeHeader(bytes.first(std::min(bytes.size(), kSsdHeaderBytes)));
  if (!header) {
    return Fail(header.error());
  }
  const auto corrupt = [](const char* what) { return Fail(ErrorCode::kCorrupt, what); };
  SsdObject object{.header = *header, .chunks = {}};
  const auto rest = bytes.subspan(kSsdHeaderBytes);
  if (header->form == SsdForm::kPlain) {
    return rest.empty() ? Result<SsdObject>(object) : corrupt("object header of another length");
  }
  const bool cut = header->form == SsdForm::kCut;
  const std::size_t each = cut ? 8 : 4;
  const std::size_t count = cut ? rest.size() / each - (rest.size() < each ? 0 : 1)
                                : ChunkCount(header->record.bytes, header->chunk_bytes);
  if (count > kMaxChunks || rest.size() != each * count + 8 ||
      DigestOf(rest.first(each * count)).low != LoadLe<std::uint64_t>(rest, each * count)) {
    return corrupt("sizes of chunks fail their checksum");
  }
  object.chunks = cut ? std::vector<SsdChunk>(count) : PlainChunks(*header);
  std::uint64_t payload = 0;
  for (std::size_t i = 0; i < count; ++i) {
    SsdChunk& chunk = object.chunks[i];
    chunk.bytes = cut ? LoadLe<std::uint32_t>(rest, each * i) : chunk.bytes;
    chunk.frame = LoadLe<std::uint32_t>(rest, each * i + each - 4);
    payload += chunk.bytes;
    if (chunk.bytes == 0 || chunk.bytes > header->chunk_bytes || chunk.frame >= chunk.bytes) {
      return corrupt("a chunk of an impossible size");
    }
  }
  return payload == header->record.bytes ? Result<SsdObject>(std::move(object))
                                         : corrupt("chunks of another payload");
}

std::uint32_t ChunkCount(std::uint64_t bytes, std::uint32_t chunk_bytes) {
  CAIRN_CHECK(bytes > 0 && bytes <= MaxObjectBytes());
  return static_cast<std::uint32_t>((bytes + chunk_bytes - 1) / chunk_bytes);
}

std::uint64_t MaxObjectBytes() {
  return std::uint64_t{kSsdChunkBytes} * (std::numeric_limits<std::uint16_t>::max() + 1U);
}

std::string FormatStamp(std::string_view name, std::uint64_t number) {
  std::string text = std::string(name) + " " + std::to_string(number) + " ";
  std::array<std::byte, 8> checksum{};
  StoreLe(std::span<std::byte>(checksum), 0, DigestOf(std::as_bytes(std::span(text))).low);
  return text + ToHex(checksum) + "\n";
}

std::optional<std::uint64_t> ParseStamp(std::string_view name, std::string_view text) {
  if (text.size() < name.size() + 2 || text.substr(0, name.size()) != name) {
    return std::nullopt;
  }
  std::uint64_t number = 0;
  const char* first = text.data() + name.size() + 1;
  const auto parsed = std::from_chars(first, text.data() + text.size(), number);
  // Formatting again checks the separators, the checksum and that nothing follows.
  if (parsed.ec != std::errc{} || FormatStamp(name, number) != text) {
    return std::nullopt;
  }
  return number;
}

}  // namespace cairn
