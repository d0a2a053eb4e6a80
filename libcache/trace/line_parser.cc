#include "libcache/trace/line_parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "libcache/trace/mix.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, TraceField>, 17> kFieldNames = {{
    {"t", TraceField::kT},
    {"tenant", TraceField::kTenant},
    {"group", TraceField::kGroup},
    {"input_len", TraceField::kInputLen},
    {"output_len", TraceField::kOutputLen},
    {"block_tokens", TraceField::kBlockTokens},
    {"blocks", TraceField::kBlocks},
    {"segs", TraceField::kSegs},
    {"osegs", TraceField::kOsegs},
    {"timestamp", TraceField::kTimestamp},
    {"input_length", TraceField::kInputLength},
    {"output_length", TraceField::kOutputLength},
    {"hash_ids", TraceField::kHashIds},
    {"model_name", TraceField::kModelName},
    {"chunk_size", TraceField::kChunkSize},
    {"seq_len", TraceField::kSeqLen},
    {"chunk_hashes", TraceField::kChunkHashes},
}};

/// Nothing of a trace is nested deeper than 3; fields that are not ours may be.
constexpr std::size_t kMaxDepth = 16;
/// What a message quotes of the file.
constexpr std::size_t kMaxQuotedBytes = 60;

std::string Quote(std::string_view text) {
  return text.size() <= kMaxQuotedBytes ? std::string(text)
                                        : std::string(text.substr(0, kMaxQuotedBytes)) + "...";
}

/// 64 bits of a hash as "0xab12", of any length; Python writes a negative number as "-0xab12".
/// nullopt if it is not one.
std::optional<std::uint64_t> IdOfHash(std::string_view text) {
  std::uint64_t id = text.starts_with('-') ? 1 : 0;
  text.remove_prefix(id);
  if (!text.starts_with("0x") || text.size() == 2) {
    return std::nullopt;
  }
  text.remove_prefix(2);
  constexpr std::size_t kDigits = 16;  // Of 64 bits; the first ones of a longer hash are mixed in.
  for (; !text.empty(); text.remove_prefix(std::min(kDigits, text.size()))) {
    const std::string_view digits = text.substr(0, kDigits);
    std::uint64_t part = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), part, 16);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return std::nullopt;
    }
    id = id == 0 ? part : Mix(id) ^ part;
  }
  return id;
}

/// Takes the events of the JSON parser. Depth 1 is inside the request's object, 2 inside the list
/// of a field, 3 inside a pair of the list.
class LineHandler final : public json::json_sax_t {
 public:
  explicit LineHandler(TraceLine& line) : line_(line) {}

  [[nodiscard]] const std::string& error() const { return error_; }

  bool null() override { return Ignored() || (IsLabel() && depth_ == 1) || Unexpected("null"); }
  bool boolean(bool value) override { return Ignored() || Unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return Ignored() || Unexpected(std::to_string(value));  // Only negative ones come here.
  }
  bool number_unsigned(number_unsigned_t value) override { return Ignored() || Number(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (Ignored()) {
      return true;
    }
    if (depth_ != 1 || !IsTime() || !(value >= 0)) {
      return Unexpected(Quote(text));
    }
    line_.time = value;
    return true;
  }
  bool string(string_t& value) override {
    if (Ignored()) {
      return true;
    }
    if (depth_ == 2 && field_ == TraceField::kChunkHashes) {
      if (const auto id = IdOfHash(value)) {
        line_.chunk_hashes.push_back(*id);
        return true;
      }
    }
    if (depth_ != 1 || !IsLabel()) {
      return Unexpected("\"" + Quote(value) + "\"");
    }
    (field_ == TraceField::kGroup ? line_.group : line_.tenant) = std::move(value);
    return true;
  }
  bool binary(binary_t& /*value*/) override { return Unexpected("binary"); }

  bool start_object(std::size_t /*elements*/) override {
    return (depth_ == 0 || Ignored() || Unexpected("an object")) && Enter();
  }
  bool end_object() override { return Leave(); }
  bool start_array(std::size_t /*elements*/) override {
    if (depth_ == 0 ||
        !(Ignored() || (depth_ == 1 && List()) || (depth_ == 2 && Pairs() != nullptr))) {
      return Unexpected("a list");
    }
    pair_size_ = 0;
    return Enter();
  }
  bool end_array() override {
    if (!Ignored() && depth_ == 3 && pair_size_ != 2) {
      return Unexpected("a list of " + std::to_string(pair_size_));
    }
    return Leave();
  }
  bool key(string_t& name) override {
    if (depth_ > 1) {
      return true;
    }
    field_ = TraceField::kOther;
    for (const auto& [known, field] : kFieldNames) {
      if (known == name) {
        field_ = field;
      }
    }
    const std::uint32_t bit = 1U << static_cast<unsigned>(field_);
    if (!Ignored() && (line_.fields & bit) != 0) {
      error_ = name + ": expected once, found twice";
      return false;
    }
    line_.fields |= bit;
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: what": the column is ours.
    std::string_view what(error.what());
    if (const auto colon = what.find(": "); colon != std::string_view::npos) {
      what.remove_prefix(colon + 2);
    }
    constexpr std::size_t kMaxParserBytes = 160;
    error_ = "json: expected one object, found a fault at byte " + std::to_string(position) + ": " +
             std::string(what.substr(0, kMaxParserBytes));
    return false;
  }

 private:
  [[nodiscard]] bool Ignored() const { return depth_ > 0 && field_ == TraceField::kOther; }
  [[nodiscard]] bool IsTime() const {
    return field_ == TraceField::kT || field_ == TraceField::kTimestamp;
  }
  /// The tenant and the group are labels: none is a value.
  [[nodiscard]] bool IsLabel() const {
    return field_ == TraceField::kTenant || field_ == TraceField::kGroup ||
           field_ == TraceField::kModelName;
  }
  [[nodiscard]] bool List() const {
    return field_ == TraceField::kHashIds || field_ == TraceField::kChunkHashes ||
           Pairs() != nullptr;
  }
  [[nodiscard]] std::vector<TraceLine::Pair>* Pairs() const {
    switch (field_) {
      case TraceField::kBlocks: return &line_.blocks;
      case TraceField::kSegs: return &line_.segs;
      case TraceField::kOsegs: return &line_.osegs;
      default: return nullptr;
    }
  }

  bool Number(std::uint64_t value) {
    if (depth_ == 1) {
      switch (field_) {
        case TraceField::kT:
        case TraceField::kTimestamp: line_.time = static_cast<double>(value); return true;
        case TraceField::kInputLen:
        case TraceField::kInputLength:
        case TraceField::kSeqLen: line_.input_len = value; return true;
        case TraceField::kOutputLen:
        case TraceField::kOutputLength: line_.output_len = value; return true;
        case TraceField::kBlockTokens:
        case TraceField::kChunkSize: line_.block_tokens = value; return true;
        default: return Unexpected(std::to_string(value));
      }
    }
    if (depth_ == 2 && field_ == TraceField::kHashIds) {
      line_.hash_ids.push_back(value);
      return true;
    }
    if (depth_ == 2 && field_ == TraceField::kBlocks) {
      line_.blocks.push_back({.first = value, .second = 1});
      return true;
    }
    if (depth_ == 3 && pair_size_ == 0) {
      Pairs()->push_back({.first = value, .second = 0});
    } else if (depth_ == 3 && pair_size_ == 1) {
      Pairs()->back().second = value;
    } else {
      return Unexpected(std::to_string(value));
    }
    ++pair_size_;
    return true;
  }

  bool Enter() {
    if (depth_ == kMaxDepth) {
      error_ = std::string(TraceFieldName(field_)) + ": expected at most " +
               std::to_string(kMaxDepth) + " levels, found more";
      return false;
    }
    ++depth_;
    return true;
  }
  bool Leave() {
    --depth_;
    return true;
  }

  bool Unexpected(const std::string& found) {
    if (depth_ == 0) {
      error_ = "json: expected one object, found " + found;
      return false;
    }
    error_ = std::string(TraceFieldName(field_)) + ": expected " + std::string(Expected()) +
             ", found " + found;
    return false;
  }
  [[nodiscard]] std::string_view Expected() const {
    switch (field_) {
      case TraceField::kT:
      case TraceField::kTimestamp: return "a time not below 0";
      case TraceField::kTenant:
      case TraceField::kGroup:
      case TraceField::kModelName: return "a string or null";
      case TraceField::kBlocks: return "a list of block ids and [first, count] pairs";
      case TraceField::kSegs:
      case TraceField::kOsegs: return "a list of [id, tokens] pairs";
      case TraceField::kHashIds: return "a list of block ids";
      case TraceField::kChunkHashes: return "a list of hexadecimal strings";
      default: return "a whole number not below 0";
    }
  }

  TraceLine& line_;
  TraceField field_ = TraceField::kOther;
  std::size_t depth_ = 0;
  std::size_t pair_size_ = 0;
  std::string error_;
};

}  // namespace

std::string_view TraceFieldName(TraceField field) {
  for (const auto& [name, known] : kFieldNames) {
    if (known == field) {
      return name;
    }
  }
  return "json";
}

Status ParseTraceLine(std::string_view text, TraceLine& line) {
  line.fields = 0;
  line.tenant.clear();
  line.group.clear();
  line.blocks.clear();
  line.segs.clear();
  line.osegs.clear();
  line.hash_ids.clear();
  line.chunk_hashes.clear();
  try {
    LineHandler handler(line);
    if (!json::sax_parse(text.begin(), text.end(), &handler)) {
      return Fail(ErrorCode::kInvalidArgument, handler.error());
    }
  } catch (const std::exception& e) {  // Out of memory; the handler reports all else.
    return Fail(ErrorCode::kInternal, std::string("json: ") + e.what());
  }
  return {};
}

}  // namespace cairn
