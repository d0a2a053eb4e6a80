#include "libcache/codec/codec_rules.h"

#include <algorithm>
#include <utility>

#include "libcache/codec/exponent_split.h"

namespace cairn {
namespace {

constexpr std::string_view kNone = "none";
constexpr std::string_view kLossless = "lossless";

Result<const Codec*> CodecNamed(std::string_view name) {
  if (name == kNone) {
    return nullptr;
  }
  const Codec* const codec = name == kLossless ? &ExponentSplitCodec() : FindCodec(name);
  if (codec == nullptr) {
    return Fail(ErrorCode::kInvalidArgument,
                "there is no codec '" + std::string(name) + "'; write none or lossless");
  }
  if (codec->fidelity() == Fidelity::kLossy) {
    return Fail(ErrorCode::kInvalidArgument,
                std::string(name) +
                    " is lossy, and namespaces are exact: what a tier gives back must be what was "
                    "stored; write lossless or none");
  }
  return codec;
}

}  // namespace

Result<CodecRules> CodecRules::Parse(std::string_view text) {
  CodecRules rules;
  for (std::size_t entry = 0; !text.empty(); ++entry) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t equals = part.find('=');
    const auto codec =
        CodecNamed(equals == std::string_view::npos ? part : part.substr(equals + 1));
    if (!codec) {
      return Fail(codec.error());
    }
    if (equals == std::string_view::npos && entry == 0) {
      rules.all_ = *codec;
    } else if (equals == std::string_view::npos || equals == 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "'" + std::string(part) + "' says not which model; write model=codec");
    } else if (!rules.by_model_.emplace(part.substr(0, equals), *codec).second) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the model " + std::string(part.substr(0, equals)) + " is there twice");
    }
  }
  return rules;
}

const Codec* CodecRules::For(std::string_view model) const {
  const auto it = by_model_.find(model);
  return it == by_model_.end() ? all_ : it->second;
}

}  // namespace cairn
