// What engines declare of their objects' shape, and what operators write of codecs: up to the first
// zero a shape, behind it rules.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libcache/base/bytes.h"
#include "libcache/base/check.h"
#include "libcache/codec/codec_rules.h"
#include "libcache/codec/object_codec.h"

namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 32U;
constexpr std::uint64_t kMaxCutBytes = std::uint64_t{1} << 28U;  // Else it is slow for nothing.

void CutBy(const cairn::ObjectShape& shape, const cairn::Codec& codec, std::uint32_t tokens) {
  const std::uint64_t bytes = shape.Bytes(tokens) + 5;
  if (bytes > kMaxCutBytes) {
    return;
  }
  const auto chosen = cairn::ChooseCodec(
      &codec,
      {.fidelity = cairn::Fidelity::kCompact, .shape = &shape, .bytes = bytes, .tokens = tokens});
  const auto pieces = cairn::CutObject(chosen, bytes, cairn::kMiB);
  CAIRN_CHECK(pieces.size() <= 65'536);
  std::uint64_t sum = 0;
  for (const cairn::ObjectPiece& piece : pieces) {
    CAIRN_CHECK(piece.bytes != 0 && piece.bytes <= cairn::kMiB);
    const auto room = cairn::MaxEncodedBytes(*piece.codec, piece.shape, piece.bytes);
    CAIRN_CHECK(room && *room <= 2 * piece.bytes + 64 * cairn::kKiB);
    sum += piece.bytes;
  }
  CAIRN_CHECK(sum == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view shape_text = text.substr(0, text.find('\0'));
  if (const auto shape = cairn::ObjectShape::Parse(shape_text)) {
    CAIRN_CHECK(shape->empty() == shape_text.empty());
    for (const auto kind : {cairn::ObjectKind::kKv, cairn::ObjectKind::kCheckpoint}) {
      CAIRN_CHECK(!shape->CheckFor(kind, kMaxBytes) || shape->Bytes(1) <= kMaxBytes);
    }
    for (const cairn::Codec* codec : cairn::Codecs()) {
      CutBy(*shape, *codec, 1);
      CutBy(*shape, *codec, 700);
    }
  } else {
    CAIRN_CHECK(shape.error().code == cairn::ErrorCode::kInvalidArgument);
  }
  const std::string_view rules_text = text.substr(std::min(size, shape_text.size() + 1));
  if (const auto rules = cairn::CodecRules::Parse(rules_text)) {
    static_cast<void>(rules->For("qwen3.5-27b"));
  } else {
    CAIRN_CHECK(rules.error().code == cairn::ErrorCode::kInvalidArgument);
  }
  return 0;
}
