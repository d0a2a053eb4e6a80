#include "libcache/codec/codec_rules.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "libcache/codec/exponent_split.h"

namespace cairn {
namespace {

constexpr std::string_view kNone = "none";
constexpr std::string_view kLossless = "lossless";
constexpr std::array<std::string_view, 2> kKinds = {"kv", "checkpoint"};  // By ObjectKind.

tl::unexpected<Error> Bad(std::string message) {
  return Fail(ErrorCode::kInvalidArgument, std::move(message));
}

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first == std::string_view::npos
             ? std::string_view()
             : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string Quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

/// The only kind of object that a codec is made for; nullopt: any.
std::optional<ObjectKind> KindOf(CodecId codec) {
  switch (codec) {
    case CodecId::kExponentSplit:
    case CodecId::kBf16Round: return std::nullopt;
    case CodecId::kInt8Column: return ObjectKind::kCheckpoint;
    case CodecId::kFp8Kv:
    case CodecId::kInt8Kv:
    case CodecId::kKivi2:
    case CodecId::kKivi4:
    case CodecId::kCacheGen: return ObjectKind::kKv;
  }
  return std::nullopt;
}

Result<const Codec*> CodecNamed(std::string_view name) {
  if (name == kNone) {
    return nullptr;
  }
  const Codec* const codec = name == kLossless ? &ExponentSplitCodec() : FindCodec(name);
  if (codec == nullptr) {
    std::string message = "there is no codec " + Quoted(name) + "; write none, lossless";
    for (const Codec* known : Codecs()) {
      const auto only = KindOf(known->id());
      const std::string kind =
          only ? std::string(kKinds[static_cast<std::size_t>(*only)]) + ":" : std::string();
      message += known == &ExponentSplitCodec() ? "" : ", " + kind + std::string(known->name());
    }
    return Bad(std::move(message));
  }
  return codec;
}

/// One codec for both kinds.
Result<CodecRules::Choice> ParseForAll(std::string_view text) {
  const auto codec = CodecNamed(text);
  if (!codec) {
    return Fail(codec.error());
  }
  const auto only = *codec == nullptr ? std::nullopt : KindOf((*codec)->id());
  if (only) {
    const std::string_view kind = kKinds[static_cast<std::size_t>(*only)];
    return Bad(std::string(text) + " is for one kind of object; write " + std::string(kind) + ":" +
               std::string(text));
  }
  return CodecRules::Choice{*codec, *codec};
}

/// "kv:CODEC", "checkpoint:CODEC" or both joined by "+", over what `choice` has.
Result<CodecRules::Choice> ParseByKind(std::string_view text, CodecRules::Choice choice) {
  std::array<bool, 2> given{};
  for (bool more = true; more;) {
    const std::string_view part = text.substr(0, text.find('+'));
    more = part.size() < text.size();
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t colon = part.find(':');
    const auto* const kind = std::find(kKinds.begin(), kKinds.end(), part.substr(0, colon));
    if (colon == std::string_view::npos || kind == kKinds.end()) {
      return Bad(Quoted(part) + " is not as kv:CODEC or checkpoint:CODEC");
    }
    const auto codec = CodecNamed(part.substr(colon + 1));
    if (!codec) {
      return Fail(codec.error());
    }
    const auto index = static_cast<std::size_t>(kind - kKinds.begin());
    const auto only = *codec == nullptr ? std::nullopt : KindOf((*codec)->id());
    if (only && static_cast<std::size_t>(*only) != index) {
      return Bad(std::string((*codec)->name()) + " is not for " + std::string(*kind) + "; write " +
                 std::string(kKinds[1 - index]) + ":" + std::string((*codec)->name()));
    }
    if (std::exchange(given[index], true)) {
      return Bad(std::string(*kind) + " is there twice");
    }
    choice[index] = *codec;
  }
  return choice;
}

}  // namespace

Result<CodecRules> CodecRules::Parse(std::string_view text) {
  CodecRules rules;
  for (std::size_t entry = 0; !text.empty(); ++entry) {
    const std::size_t comma = text.find(',');
    const std::string_view part = Trimmed(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    if (part.empty() || (comma != std::string_view::npos && text.empty())) {
      return Bad("there is a comma with nothing behind or before it");
    }
    const std::size_t equals = part.find('=');
    const bool for_all = equals == std::string_view::npos;
    if (for_all && entry != 0) {
      return Bad(Quoted(part) + " has no '='; write it as the first, or MODEL=CODEC");
    }
    const std::string_view model = Trimmed(part.substr(0, for_all ? 0 : equals));
    const std::string_view what = for_all ? part : Trimmed(part.substr(equals + 1));
    const auto choice = what.find(':') == std::string_view::npos ? ParseForAll(what)
                                                                 : ParseByKind(what, rules.all_);
    if (!choice) {
      return Fail(choice.error());
    }
    if (for_all) {
      rules.all_ = *choice;
    } else if (model.empty()) {
      return Bad(Quoted(part) + " says not which model; write MODEL=CODEC");
    } else if (!rules.by_model_.emplace(model, *choice).second) {
      return Bad("the model " + std::string(model) + " is there twice");
    }
  }
  return rules;
}

const CodecRules::Choice& CodecRules::For(std::string_view model) const {
  const auto it = by_model_.find(model);
  return it == by_model_.end() ? all_ : it->second;
}

}  // namespace cairn
