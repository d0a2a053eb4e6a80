#include "libcache/codec/object_codec.h"

#include <algorithm>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"
#include "libcache/codec/exponent_split.h"

namespace cairn {
namespace {

// Of matrices that are cut: codecs group tokens by 32 (KIVI) and by 10 (CacheGen).
constexpr std::uint64_t kWholeGroups = 160;
constexpr std::uint64_t kWholeKiviGroups = 32;

bool IsKivi(const Codec& codec) {
  return codec.id() == CodecId::kKivi2 || codec.id() == CodecId::kKivi4;
}

/// Whether `codec` is any good for these matrices by themselves. Small ones of CacheGen would need
/// streams far larger than they are, and so would the room for them; KIVI keeps what is no whole
/// group of 32 rows.
bool Suits(const Codec& codec, const CodecShape& shape) {
  constexpr std::uint64_t kBesides = 64 * kKiB;
  const auto room = MaxEncodedBytes(codec, shape, shape.Bytes());
  return room && *room <= 2 * shape.Bytes() + kBesides &&
         (!IsKivi(codec) || shape.rows >= kWholeKiviGroups);
}

/// Puts pieces of one section behind the others.
class Cutter {
 public:
  Cutter(const Codec& codec, std::uint64_t most_bytes) : codec_(codec), most_bytes_(most_bytes) {}

  void AddSection(const CodecShape& shape) {
    const std::uint64_t row_bytes = std::uint64_t{shape.columns} * ElementBytes(shape.element);
    if (!codec_.Check(shape, shape.Bytes()) || row_bytes > most_bytes_) {
      AddLossless(shape.Bytes());
      return;
    }
    const std::uint64_t together = most_bytes_ / (row_bytes * shape.rows);
    if (together == 0) {
      AddRows(shape, row_bytes);
      return;
    }
    const auto most = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(shape.matrices, together == 1 ? 1 : together / 2 * 2));
    for (std::uint32_t at = 0; at < shape.matrices; at += most) {
      Add(shape, at, std::min(most, shape.matrices - at), shape.rows);
    }
  }

  void AddLossless(std::uint64_t bytes) { lossless_ += bytes; }

  std::vector<ObjectPiece> Finish() {
    FlushLossless();
    return std::move(pieces_);
  }

 private:
  void AddRows(const CodecShape& shape, std::uint64_t row_bytes) {
    std::uint64_t most = most_bytes_ / row_bytes;
    for (const std::uint64_t whole : {kWholeGroups, kWholeKiviGroups}) {
      if (most >= whole) {
        most = most / whole * whole;
        break;
      }
    }
    for (std::uint32_t matrix = 0; matrix < shape.matrices; ++matrix) {
      for (std::uint64_t row = 0; row < shape.rows; row += most) {
        Add(shape, matrix, 1, static_cast<std::uint32_t>(std::min(most, shape.rows - row)));
      }
    }
  }

  void Add(const CodecShape& whole, std::uint32_t first, std::uint32_t matrices,
           std::uint32_t rows) {
    CodecShape shape = whole;
    shape.matrices = matrices;
    shape.rows = rows;
    // A frame of KIVI takes its first matrix for keys, so values by themselves are no frame.
    if (!Suits(codec_, shape) || (IsKivi(codec_) && first % 2 != 0)) {
      AddLossless(shape.Bytes());
      return;
    }
    shape.matrices_before += first;
    shape.matrices_behind += whole.matrices - first - matrices;
    FlushLossless();
    pieces_.push_back({.bytes = shape.Bytes(), .codec = &codec_, .shape = shape});
  }

  void FlushLossless() {
    while (lossless_ > 0) {
      const std::uint64_t bytes = std::min(lossless_, most_bytes_);
      pieces_.push_back({.bytes = bytes, .codec = &ExponentSplitCodec(), .shape = {}});
      lossless_ -= bytes;
    }
  }

  const Codec& codec_;
  const std::uint64_t most_bytes_;
  std::vector<ObjectPiece> pieces_;
  std::uint64_t lossless_ = 0;  // Bytes behind the last piece.
};

}  // namespace

std::string_view CodecRefusalName(CodecRefusal refusal) {
  switch (refusal) {
    case CodecRefusal::kNone: return "none";
    case CodecRefusal::kFidelity: return "fidelity";
    case CodecRefusal::kShape: return "shape";
  }
  CAIRN_CHECK(false && "not a CodecRefusal");
}

ObjectCodec ChooseCodec(const Codec* wanted, const CodecTerms& terms) {
  ObjectCodec chosen{.codec = wanted, .sections = {}};
  if (!chosen.lossy()) {
    return chosen;
  }
  ObjectCodec lossless{.codec = &ExponentSplitCodec(), .sections = {}};
  if (terms.coded) {
    return lossless;
  }
  const auto refused = [&lossless](CodecRefusal why) {
    ObjectCodec instead = lossless;
    instead.refused = why;
    return instead;
  };
  if (wanted->fidelity() > terms.fidelity) {
    return refused(CodecRefusal::kFidelity);
  }
  chosen.sections = terms.shape->Sections(terms.tokens);
  const bool some = std::any_of(chosen.sections.begin(), chosen.sections.end(),
                                [&](const CodecShape& section) { return Suits(*wanted, section); });
  if (!some || terms.shape->Bytes(terms.tokens) > terms.bytes) {
    return refused(CodecRefusal::kShape);
  }
  return chosen;
}

std::vector<ObjectPiece> CutObject(const ObjectCodec& codec, std::uint64_t bytes,
                                   std::uint64_t most_bytes) {
  std::vector<ObjectPiece> pieces;
  if (!codec.lossy()) {
    for (std::uint64_t at = 0; at < bytes; at += most_bytes) {
      pieces.push_back(
          {.bytes = std::min(most_bytes, bytes - at), .codec = codec.codec, .shape = {}});
    }
    return pieces;
  }
  Cutter cutter(*codec.codec, most_bytes);
  std::uint64_t covered = 0;
  const auto matrices = [](const CodecShape& section) {
    return section.element == Element::kBytes ? std::uint64_t{0} : section.matrices;
  };
  const auto count = [](std::uint64_t n) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(n, UINT32_MAX));
  };
  std::uint64_t before = 0;
  std::uint64_t behind = 0;
  for (const CodecShape& section : codec.sections) {
    behind += matrices(section);
  }
  for (CodecShape section : codec.sections) {
    behind -= matrices(section);
    section.matrices_before = count(before);
    section.matrices_behind = count(behind);
    cutter.AddSection(section);
    before += matrices(section);
    covered += section.Bytes();
  }
  CAIRN_CHECK(covered <= bytes);
  cutter.AddLossless(bytes - covered);
  return cutter.Finish();
}

}  // namespace cairn
