#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "libcache/codec/codec.h"

namespace cairn {

/// Which codec a tier uses for the objects of which model, as an operator writes it: one for all,
/// and exceptions by the model's id as engines name it in their namespaces. "none", "lossless",
/// "none,qwen3.5-27b=lossless". A value; For is pure and thread-safe.
///
/// Lossy codecs are refused. What a tier gives back must be what was stored: every namespace counts
/// as exact, since none can say yet that it is content with less (docs/decisions/0009-codecs.md).
class CodecRules {
 public:
  /// Errors: kInvalidArgument, says which entry is wrong and what to write instead.
  static Result<CodecRules> Parse(std::string_view text);

  /// Null: stored as it is.
  [[nodiscard]] const Codec* For(std::string_view model) const;

 private:
  const Codec* all_ = nullptr;
  std::map<std::string, const Codec*, std::less<>> by_model_;
};

}  // namespace cairn
