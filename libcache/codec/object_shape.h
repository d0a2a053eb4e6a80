#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "libcache/base/key.h"
#include "libcache/codec/codec.h"

namespace cairn {

/// How an engine declares that the bytes of its objects divide into matrices: sections, one behind
/// the other from the object's front. Lossy codecs need it; what no section covers they leave as it
/// is. As text, `ELEMENT[MATRICESxROWSxCOLUMNS]` joined by commas, with the elements f32, f16, bf16
/// and raw (bytes that are to stay as they are), and numbers without leading zeros, so that a
/// section is written in one way (two sections that could be one are another text, and so other
/// keys):
///
///   f32[2304x128x128]          fp32 states of 48 layers of 48 heads; windows behind them as is
///   bf16[32xtx1024]            KV: of each of 16 layers keys, then values; `t`, the tokens that
///                              the object covers, stands for the rows
///
/// A value; reading it is thread-safe.
class ObjectShape {
 public:
  ObjectShape() = default;
  /// "" is no shape. Errors: kInvalidArgument, quotes the section and says what is wrong with it.
  static Result<ObjectShape> Parse(std::string_view text);

  [[nodiscard]] bool empty() const { return sections_.empty(); }
  /// Bytes that the sections cover in an object of `tokens`.
  [[nodiscard]] std::uint64_t Bytes(std::uint32_t tokens) const;
  /// With the rows filled in.
  [[nodiscard]] std::vector<CodecShape> Sections(std::uint32_t tokens) const;
  /// Whether it can be that of such objects: KV has `t` in every section and covers at most `bytes`
  /// per token; a checkpoint has none and covers at most `bytes`. Errors: kInvalidArgument.
  [[nodiscard]] Status CheckFor(ObjectKind kind, std::uint64_t bytes) const;

 private:
  struct Section {
    CodecShape shape;  ///< One row where rows are tokens.
    bool rows_are_tokens = false;
  };
  static Result<Section> ParseSection(std::string_view text);

  std::vector<Section> sections_;
};

}  // namespace cairn
