#include "libcache/codec/cachegen.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "libcache/base/endian.h"
#include "libcache/codec/rans.h"
#include "libcache/codec/sections.h"
#include "libcache/codec/values.h"

namespace cairn {
namespace {

using internal::Padded;
using internal::SectionReader;
using internal::SectionWriter;

constexpr std::size_t kGroupTokens = 10;
constexpr std::size_t kBlock = 128;  // Channels under one scale.
constexpr std::size_t kSegmentCodes = 1 << 16;
constexpr std::size_t kPrefixBytes = 16;
constexpr std::int32_t kFine = 15;
constexpr std::int32_t kCoarse = 7;

/// Layers with fine levels: a third of all, as far as they are among those of this cut.
std::uint32_t FineLayers(const CodecShape& shape) {
  const std::uint64_t all =
      std::uint64_t{shape.matrices_before} + shape.matrices + shape.matrices_behind;
  const std::uint64_t fine = ((all + 1) / 2 + 2) / 3;
  const std::uint64_t before = shape.matrices_before / 2;
  const std::uint64_t here = (std::uint64_t{shape.matrices} + 1) / 2;
  return static_cast<std::uint32_t>(std::min(here, fine - std::min(fine, before)));
}

/// What an object is cut into.
struct Cut {
  Cut(const CodecShape& shape, std::uint32_t fine)
      : fine_layers(fine),
        rows(static_cast<std::uint32_t>(
            std::max<std::size_t>(1, kSegmentCodes / kGroupTokens / shape.columns) * kGroupTokens)),
        per_matrix((shape.rows + rows - 1) / rows),
        segments(std::uint64_t{per_matrix} * shape.matrices) {}
  std::uint32_t fine_layers;
  std::uint32_t rows;  ///< Of a segment; whole groups.
  std::uint32_t per_matrix;
  std::uint64_t segments;

  /// Largest code of a difference in a segment.
  [[nodiscard]] std::int32_t Levels(std::uint64_t segment) const {
    return segment / per_matrix / 2 < fine_layers ? kFine : kCoarse;
  }
};

/// The part of the object that a segment is.
struct Segment {
  Segment(const CodecShape& shape, const Cut& cut, std::uint64_t index)
      : row_bytes(shape.columns * ElementBytes(shape.element)) {
    const std::uint64_t first = index % cut.per_matrix * cut.rows;
    rows = std::min<std::size_t>(cut.rows, shape.rows - first);
    offset = (index / cut.per_matrix * shape.rows + first) * row_bytes;
    anchors = (rows + kGroupTokens - 1) / kGroupTokens;
    blocks = (shape.columns + kBlock - 1) / kBlock;
  }
  std::size_t row_bytes = 0;
  std::size_t offset = 0;
  std::size_t rows = 0;
  std::size_t anchors = 0;
  std::size_t blocks = 0;  ///< Scales of a row.
};

/// Scale of the values, or of what they differ by, as stored.
std::uint16_t StoredScale(float most, float steps) {
  const float scale = internal::ScaleOf(most, steps);
  return scale > 0.0F ? internal::Bf16BitsUp(scale) : std::uint16_t{0};
}

/// What a difference is taken from: 0 where the anchor has no finite value.
float Base(float anchor) { return internal::IsFinite(anchor) ? anchor : 0.0F; }

struct Buffers {
  explicit Buffers(const CodecShape& shape, const Cut& cut)
      : row(shape.columns),
        anchor(shape.columns),
        scales(std::size_t{cut.rows} * ((shape.columns + kBlock - 1) / kBlock)) {
    const std::size_t groups = cut.rows / kGroupTokens;
    anchor_codes.resize(groups * shape.columns);
    other_codes.resize(groups * (kGroupTokens - 1) * shape.columns);
    stream.resize(RansMaxBytes(other_codes.size()));
  }
  std::vector<float> row;
  std::vector<float> anchor;
  std::vector<std::uint16_t> scales;
  std::vector<std::uint8_t> anchor_codes;
  std::vector<std::uint8_t> other_codes;
  std::vector<std::byte> stream;
};

void PutCodes(std::span<const std::uint8_t> codes, std::span<std::byte> stream,
              SectionWriter& writer) {
  if (codes.empty()) {
    return;
  }
  const RansModel model = RansModel::Of(CountBytes(codes));
  internal::PutRans(model, stream.first(RansEncoder(model).Encode(codes, stream)), writer);
}

bool TakeCodes(SectionReader& reader, std::span<std::uint8_t> codes) {
  return codes.empty() || internal::TakeRans(reader, codes);
}

std::size_t EncodeSegment(const CodecShape& shape, const Segment& segment, std::int32_t levels,
                          std::span<const std::byte> raw, Buffers& buffers,
                          std::span<std::byte> out) {
  std::uint16_t* scales = buffers.scales.data();
  std::uint8_t* anchor_codes = buffers.anchor_codes.data();
  std::uint8_t* codes = buffers.other_codes.data();
  auto& row = buffers.row;
  for (std::size_t i = 0; i < segment.rows; ++i) {
    const bool is_anchor = i % kGroupTokens == 0;
    internal::LoadValues(shape.element, raw.data() + segment.offset + i * segment.row_bytes, row);
    for (std::size_t c = 0; c < row.size() && !is_anchor; ++c) {
      const float difference = row[c] - buffers.anchor[c];
      row[c] = internal::Magnitude(difference) <= internal::kMaxDifference ? difference
                                                                           : internal::NanValue();
    }
    for (std::size_t at = 0; at < row.size(); at += kBlock) {
      const auto block = std::span(row).subspan(at, std::min(kBlock, row.size() - at));
      *scales = StoredScale(internal::FiniteMax(block),
                            is_anchor ? internal::kInt8Max : static_cast<float>(levels));
      const float scale = internal::FromBFloat16(*scales++);
      for (std::size_t c = 0; c < block.size(); ++c) {
        if (is_anchor) {
          const std::int8_t code = internal::ToInt8(block[c], scale);
          *anchor_codes++ = static_cast<std::uint8_t>(code + 128);
          buffers.anchor[at + c] = Base(internal::FromInt8(code, scale));
        } else {
          const std::int32_t code = internal::IsFinite(block[c])
                                        ? internal::Quantise(block[c], scale, levels)
                                        : levels + 1;
          *codes++ = static_cast<std::uint8_t>(code + levels);
        }
      }
    }
  }
  SectionWriter writer(out);
  writer.Put(buffers.scales.data(), segment.rows * segment.blocks * 2);
  PutCodes({buffers.anchor_codes.data(), segment.anchors * shape.columns}, buffers.stream, writer);
  PutCodes({buffers.other_codes.data(), (segment.rows - segment.anchors) * shape.columns},
           buffers.stream, writer);
  return writer.at();
}

bool DecodeSegment(const CodecShape& shape, const Segment& segment, std::int32_t levels,
                   std::span<const std::byte> encoded, Buffers& buffers, std::span<std::byte> out) {
  SectionReader reader(encoded);
  const std::byte* scales = reader.Take(segment.rows * segment.blocks * 2);
  if (scales == nullptr ||
      !TakeCodes(reader, {buffers.anchor_codes.data(), segment.anchors * shape.columns}) ||
      !TakeCodes(reader,
                 {buffers.other_codes.data(), (segment.rows - segment.anchors) * shape.columns}) ||
      !reader.Done()) {
    return false;
  }
  const std::uint8_t* anchor_codes = buffers.anchor_codes.data();
  const std::uint8_t* codes = buffers.other_codes.data();
  auto& row = buffers.row;
  for (std::size_t i = 0; i < segment.rows; ++i) {
    const bool is_anchor = i % kGroupTokens == 0;
    for (std::size_t at = 0; at < row.size(); at += kBlock) {
      std::uint16_t stored = 0;
      std::memcpy(&stored, scales, 2);
      scales += 2;
      const float scale = internal::FromBFloat16(stored);
      const std::size_t end = std::min(row.size(), at + kBlock);
      for (std::size_t c = at; c < end; ++c) {
        if (is_anchor) {
          row[c] = internal::FromInt8(static_cast<std::int8_t>(*anchor_codes++ - 128), scale);
          buffers.anchor[c] = Base(row[c]);
          continue;
        }
        const std::int32_t code = std::int32_t{*codes++} - levels;
        row[c] = code > levels ? internal::NanValue()
                               : buffers.anchor[c] + static_cast<float>(code) * scale;
      }
    }
    internal::StoreValues(shape.element, row, out.data() + segment.offset + i * segment.row_bytes);
  }
  return true;
}

class CacheGen final : public Codec {
 public:
  [[nodiscard]] CodecId id() const override { return CodecId::kCacheGen; }
  [[nodiscard]] std::string_view name() const override { return "cachegen"; }
  [[nodiscard]] Fidelity fidelity() const override { return Fidelity::kCompact; }

  [[nodiscard]] Status Check(const CodecShape& shape, std::uint64_t raw_bytes) const override {
    return internal::CheckValues(shape, raw_bytes);
  }

  [[nodiscard]] std::uint64_t MaxPayloadBytes(const CodecShape& shape,
                                              std::uint64_t) const override {
    const Cut cut(shape, 0);
    const std::uint64_t rows = std::uint64_t{shape.matrices} * shape.rows;
    // Two streams with models and padding in each segment, at most a word for each code.
    return kPrefixBytes +
           cut.segments * (4 + 2 * (4 + internal::kMaxModelBytes + RansMaxBytes(0) + 4) + 4) +
           rows * ((shape.columns + kBlock - 1) / kBlock) * 2 + rows * shape.columns * 2;
  }

  std::size_t EncodePayload(const CodecShape& shape, std::span<const std::byte> raw,
                            std::span<std::byte> out) const override {
    const Cut cut(shape, FineLayers(shape));
    StoreLe(out, 0, static_cast<std::uint32_t>(kGroupTokens));
    StoreLe(out, 4, cut.rows);
    StoreLe(out, 8, cut.fine_layers);
    StoreLe(out, 12, static_cast<std::uint32_t>(cut.segments));
    Buffers buffers(shape, cut);
    std::size_t at = kPrefixBytes + 4 * cut.segments;
    for (std::uint64_t i = 0; i < cut.segments; ++i) {
      const std::size_t bytes = EncodeSegment(shape, Segment(shape, cut, i), cut.Levels(i), raw,
                                              buffers, out.subspan(at));
      StoreLe(out, kPrefixBytes + 4 * i, static_cast<std::uint32_t>(bytes));
      at += bytes;
    }
    return at;
  }

  Status DecodePayload(const CodecShape& shape, std::span<const std::byte> payload,
                       std::span<std::byte> out) const override {
    const auto corrupt = [] { return Fail(ErrorCode::kCorrupt, "a CacheGen payload is damaged"); };
    if (payload.size() < kPrefixBytes) {
      return corrupt();
    }
    const Cut cut(shape, LoadLe<std::uint32_t>(payload, 8));
    if (payload.size() - kPrefixBytes < 4 * cut.segments ||
        LoadLe<std::uint32_t>(payload, 0) != kGroupTokens ||
        LoadLe<std::uint32_t>(payload, 4) != cut.rows ||
        cut.fine_layers > (std::uint64_t{shape.matrices} + 1) / 2 ||
        LoadLe<std::uint32_t>(payload, 12) != static_cast<std::uint32_t>(cut.segments)) {
      return corrupt();
    }
    Buffers buffers(shape, cut);
    std::size_t at = kPrefixBytes + 4 * cut.segments;
    for (std::uint64_t i = 0; i < cut.segments; ++i) {
      const auto bytes = LoadLe<std::uint32_t>(payload, kPrefixBytes + 4 * i);
      if (bytes > payload.size() - at ||
          !DecodeSegment(shape, Segment(shape, cut, i), cut.Levels(i), payload.subspan(at, bytes),
                         buffers, out)) {
        return corrupt();
      }
      at += bytes;
    }
    return at == payload.size() ? Status{} : corrupt();
  }
};

}  // namespace

const Codec& CacheGenCodec() {
  static const CacheGen codec;
  return codec;
}

}  // namespace cairn
