#include "libcache/published/run.h"

#include <charconv>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "libcache/base/read_file.h"

namespace cairn {
namespace {

using Json = nlohmann::json;

/// The fields of one JSON object. The first error is kept; after it the getters return defaults, so
/// that callers read straight on.
class Fields {
 public:
  explicit Fields(std::string_view text)
      : owned_(Json::parse(text, nullptr, /*allow_exceptions=*/false)), object_(&owned_) {
    CheckObject();
  }
  explicit Fields(const Json& object) : object_(&object) { CheckObject(); }

  std::uint64_t Whole(const char* name, std::uint64_t max) {
    const Json* value = Find(name);
    if (value != nullptr && value->is_number_unsigned() && value->get<std::uint64_t>() <= max) {
      return value->get<std::uint64_t>();
    }
    Complain(name, "must be a whole number up to " + std::to_string(max));
    return 0;
  }
  std::uint32_t Whole32(const char* name) {
    return static_cast<std::uint32_t>(Whole(name, std::numeric_limits<std::uint32_t>::max()));
  }
  double Real(const char* name) {
    const Json* value = Find(name);
    if (value != nullptr && value->is_number()) {
      return value->get<double>();
    }
    Complain(name, "must be a number");
    return 0;
  }
  std::string Text(const char* name) {
    const Json* value = Find(name);
    if (value != nullptr && value->is_string()) {
      return value->get<std::string>();
    }
    Complain(name, "must be a string");
    return {};
  }
  /// Null if it is absent or null.
  const Json* Find(const char* name) const {
    if (!object_->is_object()) {
      return nullptr;
    }
    const auto found = object_->find(name);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
  }
  void Complain(const char* name, const std::string& what) {
    if (error_.empty()) {
      error_ = std::string(name) + ": " + what;
    }
  }
  [[nodiscard]] const std::string& Error() const { return error_; }

 private:
  void CheckObject() {
    if (!object_->is_object()) {
      error_ = "not a JSON object";
    }
  }

  Json owned_;
  const Json* object_;
  std::string error_;
};

// Far above the runs there are.
constexpr std::uint64_t kMaxRequests = 1'000'000;

std::vector<OverlapHistogram::BinCount> ReadHistogram(const Json& pairs, Fields& fields) {
  std::vector<OverlapHistogram::BinCount> counts;
  const char* const name = "initial_histogram_bins64";
  if (!pairs.is_array()) {
    fields.Complain(name, "must be an array");
    return counts;
  }
  for (const Json& pair : pairs) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned() ||
        !pair[1].is_number()) {
      fields.Complain(name, "must hold pairs of a bin and its count");
      break;
    }
    counts.push_back({.bin = pair[0].get<std::uint32_t>(), .count = pair[1].get<double>()});
  }
  return counts;
}

void ReadHeader(Fields& fields, PublishedRun& run) {
  run.name = fields.Text("name");
  run.cache_requests = fields.Whole("K", kMaxRequests);
  run.observed_before = fields.Whole("n_train", kMaxRequests);
  run.max_tokens = fields.Whole32("max_len");
  run.grid_tokens = fields.Whole32("block");
  run.gamma = fields.Real("gamma");
  run.replan_interval = fields.Whole32("replan_interval");
  run.synthetic = fields.Find("rule") != nullptr;
  if (run.grid_tokens == 0) {
    fields.Complain("block", "must be at least 1");
  }
  if (const Json* pairs = fields.Find("initial_histogram_bins64")) {
    run.histogram = ReadHistogram(*pairs, fields);
  }
}

/// Reads the lines after the header, which name each other: "w3" is a stored request, 17 is the
/// run's request 17.
class RequestReader {
 public:
  explicit RequestReader(PublishedRun& run) : run_(run) {}

  void Read(Fields& fields) {
    const std::string type = fields.Text("type");
    const bool measured = type == "req";
    if (!measured && type != "warm" && type != "train") {
      fields.Complain("type", "must be warm, train or req");
      return;
    }
    if (!measured && started_) {
      fields.Complain("type", type + " after the first req");
      return;
    }
    PublishedRequest request = {.group = fields.Whole32("group"), .tokens = fields.Whole32("len")};
    if (run_.synthetic) {
      request.divergence = fields.Whole32("L");
    } else if (measured) {
      request.divergence = fields.Whole32("doc");
      request.match = fields.Whole32("match");
      ReadSource(fields, request);
    } else {
      stored_by_name_[fields.Text("id")] = run_.requests.size();
    }
    if (measured && !started_) {
      started_ = true;
      run_.first_measured = run_.requests.size();
    }
    run_.requests.push_back(request);
  }
  [[nodiscard]] bool Started() const { return started_; }

 private:
  void ReadSource(Fields& fields, PublishedRequest& request) {
    const Json* source = fields.Find("src");
    if (source == nullptr) {
      return;
    }
    const std::size_t now = run_.requests.size();
    std::size_t index = now;
    bool in_cache = false;
    if (source->is_string()) {
      const auto found = stored_by_name_.find(source->get<std::string>());
      in_cache = found != stored_by_name_.end();
      index = in_cache ? found->second : now;
    } else if (source->is_number_unsigned()) {
      const auto number = source->get<std::uint64_t>();
      index = number < kMaxRequests ? run_.first_measured + number : now;
      in_cache = started_ && index < now && now - index <= run_.cache_requests;
    }
    if (!in_cache || run_.requests[index].group != request.group) {
      fields.Complain("src", "is not a request of this group that the cache still holds");
      return;
    }
    request.source = index;
  }

  PublishedRun& run_;
  std::map<std::string, std::size_t> stored_by_name_;
  bool started_ = false;
};

/// "dp_5_adaptive" -> {"dp", "5", "adaptive"}.
std::vector<std::string> SplitName(const std::string& name) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = name.find('_', begin);
    parts.push_back(name.substr(begin, end - begin));
    if (end == std::string::npos) {
      return parts;
    }
    begin = end + 1;
  }
}

/// One strategy was published under a name with another number than it ran with, so that the
/// parameters in the file, where there are any, stand over its name.
void ReadStrategy(const std::string& name, Fields& fields, PublishedReference& reference) {
  const auto parts = SplitName(name);
  std::string number = parts.size() > 1 ? parts[1] : "";
  for (const char* const parameter : {"n_blocks", "block_size"}) {
    if (fields.Find(parameter) != nullptr) {
      number = std::to_string(fields.Whole32(parameter));
    }
  }
  reference.name = name;
  reference.adaptive_backtrack = parts.back() == "adaptive";
  if (parts[0] == "no") {
    reference.strategy = "none";
  } else if (parts[0] == "dp") {
    reference.strategy = "hist_exp_decay:" + number;
  } else if (parts[0] == "block" || parts[0] == "balanced") {
    reference.strategy = parts[0] + ":" + number;
  } else {
    reference.strategy = parts[0];
  }
}

}  // namespace

std::uint64_t PublishedRun::MeasuredTokens() const {
  std::uint64_t tokens = 0;
  for (std::size_t i = first_measured; i < requests.size(); ++i) {
    tokens += requests[i].tokens;
  }
  return tokens;
}

Result<PublishedRun> ParsePublishedRun(std::string_view text) {
  PublishedRun run;
  RequestReader reader(run);
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    Fields fields(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    if (number == 1) {
      ReadHeader(fields, run);
    } else {
      reader.Read(fields);
    }
    if (run.requests.size() > kMaxRequests) {
      fields.Complain("type", "more than " + std::to_string(kMaxRequests) + " requests");
    }
    if (!fields.Error().empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "line " + std::to_string(number) + ": " + fields.Error());
    }
  }
  if (!reader.Started()) {
    return Fail(ErrorCode::kInvalidArgument, "a run needs a header and a req");
  }
  return run;
}

Result<std::vector<PublishedReference>> ParsePublishedReference(std::string_view text) {
  const Fields document(text);
  const Json* strategies = document.Find("strategies");
  if (strategies == nullptr || !strategies->is_object()) {
    return Fail(ErrorCode::kInvalidArgument, "strategies: must be an object");
  }
  std::vector<PublishedReference> references;
  for (const auto& item : strategies->items()) {
    PublishedReference reference;
    Fields fields(item.value());
    ReadStrategy(item.key(), fields, reference);
    constexpr std::uint64_t kMax = std::uint64_t{1} << 53U;
    reference.hits = fields.Whole("hits", kMax);
    reference.saved_tokens = fields.Whole("tokens_saved", kMax);
    if (const Json* list = fields.Find("tokens_saved_per_request")) {
      for (const Json& saved : *list) {
        if (!saved.is_number_unsigned()) {
          fields.Complain("tokens_saved_per_request", "must be whole numbers");
          break;
        }
        reference.saved_by_request.push_back(saved.get<std::uint64_t>());
      }
    }
    if (!fields.Error().empty()) {
      return Fail(ErrorCode::kInvalidArgument, item.key() + ": " + fields.Error());
    }
    references.push_back(std::move(reference));
  }
  return references;
}

Result<PublishedRun> LoadPublishedRun(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name + ".jsonl";
  const auto text = ReadFile(path);
  if (!text) {
    return Fail(text.error());
  }
  auto run = ParsePublishedRun(*text);
  if (!run) {
    return Fail(run.error().code, path + ": " + run.error().message);
  }
  return run;
}

Result<std::vector<PublishedReference>> LoadPublishedReference(const std::string& folder,
                                                               const std::string& name) {
  const std::string path = folder + "/" + name + ".reference.json";
  const auto text = ReadFile(path);
  if (!text) {
    return Fail(text.error());
  }
  auto references = ParsePublishedReference(*text);
  if (!references) {
    return Fail(references.error().code, path + ": " + references.error().message);
  }
  return references;
}

}  // namespace cairn
