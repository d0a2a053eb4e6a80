#include "libcache/codec/object_shape.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>

namespace cairn {
namespace {

// Far above any model. A section costs a frame at least, and each is looked at per object.
constexpr std::size_t kMaxSections = 32;
// Of one section with one token; that of 65,536 tokens then stays far below 2^64.
constexpr std::uint64_t kMaxSectionBytes = UINT32_MAX;

struct NamedElement {
  std::string_view name;
  Element element;
};
constexpr std::array kElements = std::to_array<NamedElement>({{"f32", Element::kF32},
                                                              {"f16", Element::kF16},
                                                              {"bf16", Element::kBF16},
                                                              {"raw", Element::kBytes}});

/// What is before the first `mark`, which goes too; nullopt without one.
std::optional<std::string_view> TakeUntil(std::string_view& text, char mark) {
  const std::size_t at = text.find(mark);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view front = text.substr(0, at);
  text.remove_prefix(at + 1);
  return front;
}

/// From 1, without a sign or leading zeros; 0 for anything else.
std::uint32_t ParseCount(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && text.front() != '0' ? value : 0;
}

}  // namespace

Result<ObjectShape::Section> ObjectShape::ParseSection(std::string_view text) {
  const auto bad = [whole = std::string(text)](const char* why) {
    return Fail(ErrorCode::kInvalidArgument, "'" + whole + "' " + why);
  };
  constexpr const char* kForm =
      "is not as f32[MATRICESxROWSxCOLUMNS], with f32, f16, bf16 or raw, and t for rows that are "
      "tokens";
  const auto name = TakeUntil(text, '[');
  const auto* const element =
      std::find_if(kElements.begin(), kElements.end(),
                   [&](const NamedElement& e) { return name && e.name == *name; });
  const auto matrices = TakeUntil(text, 'x');
  const auto rows = TakeUntil(text, 'x');
  const auto columns = TakeUntil(text, ']');
  if (element == kElements.end() || !matrices || !rows || !columns || !text.empty()) {
    return bad(kForm);
  }
  Section section;
  section.rows_are_tokens = *rows == "t";
  section.shape = {.element = element->element,
                   .matrices = ParseCount(*matrices),
                   .rows = section.rows_are_tokens ? 1 : ParseCount(*rows),
                   .columns = ParseCount(*columns)};
  const CodecShape& shape = section.shape;
  if (shape.matrices == 0 || shape.rows == 0 || shape.columns == 0) {
    return bad(kForm);
  }
  const std::uint64_t room = kMaxSectionBytes / ElementBytes(shape.element);
  if (std::uint64_t{shape.matrices} * shape.rows > room / shape.columns) {
    return bad("has more than 4 GiB");
  }
  return section;
}

Result<ObjectShape> ObjectShape::Parse(std::string_view text) {
  ObjectShape shape;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(part.size());
    if (text.size() == 1) {
      return Fail(ErrorCode::kInvalidArgument, "ends in a comma");
    }
    text.remove_prefix(std::min<std::size_t>(text.size(), 1));
    const auto section = ParseSection(part);
    if (!section) {
      return Fail(section.error());
    }
    if (shape.sections_.size() == kMaxSections) {
      return Fail(ErrorCode::kInvalidArgument,
                  "has more than " + std::to_string(kMaxSections) + " sections");
    }
    shape.sections_.push_back(*section);
  }
  return shape;
}

std::vector<CodecShape> ObjectShape::Sections(std::uint32_t tokens) const {
  std::vector<CodecShape> sections;
  sections.reserve(sections_.size());
  for (const Section& section : sections_) {
    sections.push_back(section.shape);
    sections.back().rows = section.rows_are_tokens ? tokens : section.shape.rows;
  }
  return sections;
}

std::uint64_t ObjectShape::Bytes(std::uint32_t tokens) const {
  std::uint64_t bytes = 0;
  for (const CodecShape& section : Sections(tokens)) {
    bytes += section.Bytes();
  }
  return bytes;
}

Status ObjectShape::CheckFor(ObjectKind kind, std::uint64_t bytes) const {
  const bool kv = kind == ObjectKind::kKv;
  for (const Section& section : sections_) {
    if (section.rows_are_tokens != kv) {
      return Fail(ErrorCode::kInvalidArgument, kv ? "rows of KV are tokens: write t for them"
                                                  : "a checkpoint has no rows that are tokens");
    }
  }
  if (const std::uint64_t covered = Bytes(1); covered > bytes) {
    return Fail(ErrorCode::kInvalidArgument, "covers " + std::to_string(covered) +
                                                 (kv ? " bytes per token" : " bytes") +
                                                 ", but there are " + std::to_string(bytes));
  }
  return {};
}

}  // namespace cairn
