#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "libcache/base/key.h"
#include "libcache/codec/codec.h"

namespace cairn {

/// Which codec a tier uses for the objects of which model, as an operator writes it: one choice for
/// all, then exceptions by the model's id as engines name it in their namespaces. A choice is a
/// codec for everything, or codecs by kind of object; a kind that an exception leaves out is as for
/// all.
///
///   none
///   lossless,llama=none
///   lossless,qwen3.5-27b=checkpoint:int8_column+kv:fp8_kv
///
/// What an operator wants is one thing, what a namespace permits another: object_codec.h. A value;
/// For is pure and thread-safe.
class CodecRules {
 public:
  /// By ObjectKind; null: stored as it is.
  using Choice = std::array<const Codec*, 2>;

  /// Errors: kInvalidArgument, says which entry is wrong and what to write instead.
  static Result<CodecRules> Parse(std::string_view text);

  [[nodiscard]] const Choice& For(std::string_view model) const;

 private:
  Choice all_{};
  std::map<std::string, Choice, std::less<>> by_model_;
};

}  // namespace cairn
