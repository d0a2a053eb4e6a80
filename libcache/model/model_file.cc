#include <algorithm>
#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "libcache/base/read_file.h"
#include "libcache/codec/object_shape.h"
#include "libcache/model/model_spec.h"

namespace cairn {
namespace {

using Json = nlohmann::json;

// A model file is a page. The cap bounds the work done for whatever was named by mistake.
constexpr std::size_t kMaxFileBytes = 64 * 1024;
constexpr std::size_t kMaxTextBytes = 128;
constexpr std::size_t kMaxShapeBytes = 511;
// A model description has three levels; the JSON library recurses over deeper ones to print them.
constexpr int kMaxDepth = 8;

// Far above any model, and small enough that no size overflows 64 bits: KV of a whole context is at
// most entries * layers * 2 * heads * head_dim * 4 bytes * context = 2^(4+10+1+10+12+2+24) = 2^63.
constexpr std::size_t kMaxEntries = 16;
constexpr std::uint32_t kMaxLayers = 1024;
constexpr std::uint32_t kMaxHeads = 1024;
constexpr std::uint32_t kMaxDim = 4096;
constexpr std::uint32_t kMaxInnerDim = 1U << 20;
constexpr std::uint32_t kMaxConvWidth = 64;
constexpr std::uint32_t kMaxRanks = 1024;
constexpr std::uint32_t kMaxContext = 1U << 24;

struct Range {
  std::uint32_t min;
  std::uint32_t max;
};

/// For messages: escaped, so that a message is always printable, and short.
std::string Shown(const Json& value) {
  constexpr std::size_t kLongest = 40;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  if (text.size() > kLongest) {
    text.resize(kLongest);
    text += "...";
  }
  return text;
}

/// Reads the fields of one JSON object. The first error is kept in `error`, shared by all readers
/// of a document; after it the getters return defaults, so that callers read straight on.
class ObjectReader {
 public:
  /// `path` is "" for the document, else as in "recurrent[0]".
  ObjectReader(const Json& value, std::string path, std::optional<Error>& error)
      : object_(value), path_(std::move(path)), error_(error) {
    if (!object_.is_object()) {
      FailAt(path_, "must be an object, not " + Shown(object_));
    }
  }

  /// `who` is what has these fields: "a model", "'mamba2'".
  void AllowOnly(std::string_view who, std::span<const std::string_view> names) {
    if (error_) {
      return;
    }
    for (const auto& item : object_.items()) {
      if (std::find(names.begin(), names.end(), item.key()) != names.end()) {
        continue;
      }
      std::string accepted;
      for (const std::string_view name : names) {
        accepted += accepted.empty() ? "" : ", ";
        accepted += name;
      }
      const std::string key = Shown(Json(item.key()));
      FailAt(PathOf(std::string_view(key).substr(1, key.size() - 2)),
             "unknown field; " + std::string(who) + " takes " + accepted);
      return;
    }
  }

  /// Null when absent; `required` makes that an error.
  const Json* Find(std::string_view name, bool required) {
    if (error_) {
      return nullptr;
    }
    const auto found = object_.find(name);
    if (found != object_.end()) {
      return &*found;
    }
    if (required) {
      FailAt(PathOf(name), "missing");
    }
    return nullptr;
  }

  std::uint32_t Integer(std::string_view name, Range range) {
    return ReadInteger(Find(name, true), name, range, 0);
  }
  std::uint32_t IntegerOr(std::string_view name, Range range, std::uint32_t fallback) {
    return ReadInteger(Find(name, false), name, range, fallback);
  }

  bool BoolOr(std::string_view name, bool fallback) {
    const Json* value = Find(name, false);
    if (value == nullptr) {
      return fallback;
    }
    if (!value->is_boolean()) {
      FailAt(PathOf(name), "must be true or false, not " + Shown(*value));
      return fallback;
    }
    return value->get<bool>();
  }

  std::string Text(std::string_view name) {
    return ReadText(Find(name, true), name, {}, kMaxTextBytes);
  }
  std::string TextOr(std::string_view name, std::string fallback,
                     std::size_t most = kMaxTextBytes) {
    return ReadText(Find(name, false), name, std::move(fallback), most);
  }

  DType DTypeOr(std::string_view name, DType fallback) {
    const std::string text = TextOr(name, std::string(DTypeName(fallback)));
    if (error_) {
      return fallback;
    }
    const auto dtype = ParseDType(text);
    if (!dtype) {
      FailAt(PathOf(name), dtype.error().message);
      return fallback;
    }
    return *dtype;
  }

  /// A required array, empty on error. References live as long as the document.
  std::span<const Json> Array(std::string_view name) {
    const Json* value = Find(name, true);
    if (value == nullptr) {
      return {};
    }
    if (!value->is_array()) {
      FailAt(PathOf(name), "must be an array, not " + Shown(*value));
      return {};
    }
    if (value->size() > kMaxEntries) {
      FailAt(PathOf(name), "has " + std::to_string(value->size()) + " entries, at most " +
                               std::to_string(kMaxEntries) + " are accepted");
      return {};
    }
    return value->get_ref<const Json::array_t&>();
  }

  void FailField(std::string_view name, std::string what) { FailAt(PathOf(name), std::move(what)); }

 private:
  std::uint32_t ReadInteger(const Json* value, std::string_view name, Range range,
                            std::uint32_t fallback) {
    if (value == nullptr) {
      return fallback;
    }
    // Negative integers are not "unsigned" to the parser; those beyond 64 bits are floats.
    if (value->is_number_unsigned()) {
      const auto number = value->get<std::uint64_t>();
      if (number >= range.min && number <= range.max) {
        return static_cast<std::uint32_t>(number);
      }
    }
    FailAt(PathOf(name), "must be a whole number from " + std::to_string(range.min) + " to " +
                             std::to_string(range.max) + ", not " + Shown(*value));
    return fallback;
  }

  std::string ReadText(const Json* value, std::string_view name, std::string fallback,
                       std::size_t most) {
    if (value == nullptr) {
      return fallback;
    }
    if (!value->is_string()) {
      FailAt(PathOf(name), "must be a string, not " + Shown(*value));
      return fallback;
    }
    const auto& text = value->get_ref<const std::string&>();
    // Names are printed on terminals and in logs.
    const bool printable = std::none_of(text.begin(), text.end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    if (text.empty() || text.size() > most || !printable) {
      FailAt(PathOf(name), "must be 1 to " + std::to_string(most) +
                               " bytes without control characters, not " + Shown(*value));
      return fallback;
    }
    return text;
  }

  [[nodiscard]] std::string PathOf(std::string_view name) const {
    return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
  }

  void FailAt(const std::string& path, std::string what) {
    if (!error_) {
      error_ = Error{ErrorCode::kInvalidArgument,
                     path.empty() ? std::move(what) : path + ": " + std::move(what)};
    }
  }

  const Json& object_;
  std::string path_;
  std::optional<Error>& error_;
};

struct RecurrentField {
  std::string_view name;
  std::uint32_t RecurrentLayers::*member;
  Range range;
};

constexpr std::array kRecurrentFields = std::to_array<RecurrentField>({
    {"count", &RecurrentLayers::count, {1, kMaxLayers}},
    {"conv_width", &RecurrentLayers::conv_width, {2, kMaxConvWidth}},
    {"key_heads", &RecurrentLayers::key_heads, {1, kMaxHeads}},
    {"value_heads", &RecurrentLayers::value_heads, {1, kMaxHeads}},
    {"key_dim", &RecurrentLayers::key_dim, {1, kMaxDim}},
    {"value_dim", &RecurrentLayers::value_dim, {1, kMaxDim}},
    {"inner_dim", &RecurrentLayers::inner_dim, {1, kMaxInnerDim}},
});

/// The fields of a kind: those its formulas use, and no others.
std::span<const std::string_view> FieldsOf(RecurrentKind kind) {
  static constexpr std::array<std::string_view, 7> kHeads = {
      "kind", "count", "conv_width", "key_heads", "value_heads", "key_dim", "value_dim"};
  static constexpr std::array<std::string_view, 5> kSquare = {"kind", "count", "conv_width",
                                                              "value_heads", "value_dim"};
  static constexpr std::array<std::string_view, 4> kSquareNoConv = {"kind", "count", "value_heads",
                                                                    "value_dim"};
  static constexpr std::array<std::string_view, 5> kChannels = {"kind", "count", "conv_width",
                                                                "key_dim", "inner_dim"};
  static constexpr std::array<std::string_view, 4> kConvOnly = {"kind", "count", "conv_width",
                                                                "inner_dim"};
  switch (kind) {
    case RecurrentKind::kGatedDeltaNet:
    case RecurrentKind::kMamba2: return kHeads;
    case RecurrentKind::kKimiDelta: return kSquare;
    case RecurrentKind::kLightning: return kSquareNoConv;
    case RecurrentKind::kMamba1: return kChannels;
    case RecurrentKind::kShortConv: return kConvOnly;
    case RecurrentKind::kNone: break;
  }
  return {};
}

RecurrentKind ReadKind(ObjectReader& reader) {
  static constexpr std::array kKinds = {RecurrentKind::kGatedDeltaNet, RecurrentKind::kKimiDelta,
                                        RecurrentKind::kMamba1,        RecurrentKind::kMamba2,
                                        RecurrentKind::kLightning,     RecurrentKind::kShortConv};
  const std::string text = reader.Text("kind");
  std::string accepted;
  for (const RecurrentKind kind : kKinds) {
    if (RecurrentKindName(kind) == text) {
      return kind;
    }
    accepted += accepted.empty() ? "" : ", ";
    accepted += RecurrentKindName(kind);
  }
  reader.FailField("kind", Shown(Json(text)) + " is not one of " + accepted);
  return RecurrentKind::kNone;
}

RecurrentLayers ReadRecurrent(const Json& value, const std::string& path,
                              std::optional<Error>& error) {
  ObjectReader reader(value, path, error);
  RecurrentLayers layers;
  layers.kind = ReadKind(reader);
  const auto fields = FieldsOf(layers.kind);
  reader.AllowOnly("'" + std::string(RecurrentKindName(layers.kind)) + "'", fields);
  for (const RecurrentField& field : kRecurrentFields) {
    if (std::find(fields.begin(), fields.end(), field.name) != fields.end()) {
      layers.*field.member = reader.Integer(field.name, field.range);
    }
  }
  switch (layers.kind) {
    case RecurrentKind::kGatedDeltaNet:
    case RecurrentKind::kMamba2:
      // True of both architectures, and catches the two being swapped.
      if (layers.key_heads != 0 && layers.value_heads % layers.key_heads != 0) {
        reader.FailField("value_heads", std::to_string(layers.value_heads) +
                                            " is not a multiple of key_heads, " +
                                            std::to_string(layers.key_heads));
      }
      break;
    case RecurrentKind::kKimiDelta:
    case RecurrentKind::kLightning:
      layers.key_heads = layers.value_heads;
      layers.key_dim = layers.value_dim;
      break;
    case RecurrentKind::kMamba1:
    case RecurrentKind::kShortConv: layers.value_dim = 1; break;
    case RecurrentKind::kNone: break;
  }
  return layers;
}

AttentionLayers ReadAttention(const Json& value, const std::string& path,
                              std::optional<Error>& error) {
  static constexpr std::array<std::string_view, 4> kFields = {"count", "kv_heads", "head_dim",
                                                              "latent"};
  ObjectReader reader(value, path, error);
  reader.AllowOnly("an attention entry", kFields);
  AttentionLayers layers;
  layers.count = reader.Integer("count", {1, kMaxLayers});
  layers.kv_heads = reader.Integer("kv_heads", {1, kMaxHeads});
  layers.head_dim = reader.Integer("head_dim", {1, kMaxDim});
  layers.latent = reader.BoolOr("latent", false);
  if (layers.latent && layers.kv_heads != 1) {
    reader.FailField("kv_heads", "must be 1 where latent is true");
  }
  return layers;
}

/// As the cache will when a namespace is opened, but where the mistake is.
void CheckShape(ObjectReader& reader, std::string_view name, const std::string& text,
                ObjectKind kind, std::uint64_t bytes) {
  if (text == kPackedShape) {
    return;
  }
  const auto shape = ObjectShape::Parse(text);
  const Status fits = shape ? shape->CheckFor(kind, bytes) : Fail(shape.error());
  if (!fits) {
    reader.FailField(name, fits.error().message);
  }
}

ModelSpec ReadModel(const Json& document, std::optional<Error>& error) {
  static constexpr std::array<std::string_view, 12> kFields = {"id",
                                                               "name",
                                                               "recurrent",
                                                               "attention",
                                                               "kv_dtype",
                                                               "state_dtype",
                                                               "conv_dtype",
                                                               "tensor_parallel",
                                                               "context_tokens",
                                                               "fidelity",
                                                               "checkpoint_shape",
                                                               "kv_shape"};
  ObjectReader reader(document, "", error);
  reader.AllowOnly("a model", kFields);
  ModelSpec spec;
  spec.id = reader.Text("id");
  const bool plain = std::all_of(spec.id.begin(), spec.id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
  if (!plain) {
    reader.FailField(
        "id", "may hold a-z, 0-9, '-' and '.' only; " + Shown(Json(spec.id)) + " has others");
  }
  spec.name = reader.TextOr("name", spec.id);
  const auto recurrent = reader.Array("recurrent");
  for (std::size_t i = 0; i < recurrent.size(); ++i) {
    const std::string path = "recurrent[" + std::to_string(i) + "]";
    spec.recurrent.push_back(ReadRecurrent(recurrent[i], path, error));
  }
  const auto attention = reader.Array("attention");
  for (std::size_t i = 0; i < attention.size(); ++i) {
    const std::string path = "attention[" + std::to_string(i) + "]";
    spec.attention.push_back(ReadAttention(attention[i], path, error));
  }
  if (spec.recurrent.empty() && spec.attention.empty()) {
    reader.FailField("recurrent", "a model without recurrent and attention layers keeps nothing");
  }
  spec.kv_dtype = reader.DTypeOr("kv_dtype", spec.kv_dtype);
  spec.state_dtype = reader.DTypeOr("state_dtype", spec.state_dtype);
  spec.conv_dtype = reader.DTypeOr("conv_dtype", spec.conv_dtype);
  spec.tensor_parallel = reader.IntegerOr("tensor_parallel", {1, kMaxRanks}, 1);
  spec.context_tokens = reader.IntegerOr("context_tokens", {1, kMaxContext}, 0);
  const std::string fidelity = reader.TextOr("fidelity", std::string(FidelityName(spec.fidelity)));
  if (const auto parsed = ParseFidelity(fidelity); parsed) {
    spec.fidelity = *parsed;
  } else {
    reader.FailField("fidelity", parsed.error().message);
  }
  spec.checkpoint_shape = reader.TextOr("checkpoint_shape", "", kMaxShapeBytes);
  spec.kv_shape = reader.TextOr("kv_shape", "", kMaxShapeBytes);
  if (!error) {
    CheckShape(reader, "checkpoint_shape", spec.checkpoint_shape, ObjectKind::kCheckpoint,
               spec.CheckpointBytes());
    CheckShape(reader, "kv_shape", spec.kv_shape, ObjectKind::kKv, spec.KvBytesPerToken());
  }
  return spec;
}

/// "line 3, column 7" of a byte counted from 1.
std::string Place(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, byte == 0 ? 0 : byte - 1);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto newline = before.rfind('\n');
  const auto column = before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

/// The one place that meets the JSON library's exceptions. Of two equal fields it would keep the
/// last without a word, hence the callback.
Result<Json> ParseJson(std::string_view text) {
  std::vector<std::set<std::string>> open_objects;
  std::string duplicate;
  bool too_deep = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    too_deep = too_deep || depth > kMaxDepth;
    if (too_deep) {
      return false;
    }
    if (event == Json::parse_event_t::object_start) {
      open_objects.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      open_objects.pop_back();
    } else if (event == Json::parse_event_t::key && duplicate.empty() &&
               !open_objects.back().insert(parsed.get<std::string>()).second) {
      duplicate = Shown(parsed);
    }
    return true;
  };
  try {
    Json document = Json::parse(text, watch);
    if (too_deep) {
      return Fail(ErrorCode::kInvalidArgument, "nested too deeply for a model description");
    }
    if (!duplicate.empty()) {
      return Fail(ErrorCode::kInvalidArgument, duplicate + ": this field appears twice");
    }
    return document;
  } catch (const Json::parse_error& error) {
    return Fail(ErrorCode::kInvalidArgument, "not JSON at " + Place(text, error.byte));
  } catch (const Json::exception&) {
    return Fail(ErrorCode::kInvalidArgument, "not JSON: a number is out of range");
  }
}

}  // namespace

Result<ModelSpec> ParseModelSpec(std::string_view json) {
  if (json.size() > kMaxFileBytes) {
    return Fail(ErrorCode::kInvalidArgument,
                "a model description has at most " + std::to_string(kMaxFileBytes / 1024) + " KiB");
  }
  const auto document = ParseJson(json);
  if (!document) {
    return Fail(document.error());
  }
  std::optional<Error> error;
  ModelSpec spec = ReadModel(*document, error);
  if (error) {
    return Fail(*std::move(error));
  }
  return spec;
}

Result<ModelSpec> LoadModelSpec(const std::string& id_or_path) {
  if (!id_or_path.ends_with(".json")) {
    return FindModelPreset(id_or_path);
  }
  // One byte more than is accepted, so that a longer file shows.
  const auto text = ReadFile(id_or_path, kMaxFileBytes + 1);
  if (!text) {
    return Fail(text.error());
  }
  auto spec = ParseModelSpec(*text);
  if (!spec) {
    return Fail(spec.error().code, id_or_path + ": " + spec.error().message);
  }
  return spec;
}

}  // namespace cairn
