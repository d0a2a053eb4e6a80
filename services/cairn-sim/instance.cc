#include "services/cairn-sim/instance.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "libcache/base/read_file.h"

namespace cairn::sim {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 13> kFields = {
    "name",  "parent", "potential", "weight", "kv_bytes", "state_bytes",      "allowed",
    "fetch", "hist",   "priced",    "prices", "budget",   "min_cost_by_count"};

constexpr std::string_view kSolversName = "checkpoint_bytes";  // Of state_bytes.

tl::unexpected<Error> Wrong(const std::string& field, const std::string& what) {
  return Fail(ErrorCode::kInvalidArgument, field + ": " + what);
}

std::string At(const std::string& field, std::size_t i) {
  return field + "[" + std::to_string(i) + "]";
}

Status Take(const std::string& field, const Json& json, double& to) {
  if (!json.is_number()) {
    return Wrong(field, "must be a number");
  }
  to = json.get<double>();
  return {};
}
Status Take(const std::string& field, const Json& json, std::uint64_t& to) {
  if (!json.is_number_unsigned()) {
    return Wrong(field, "must be a whole number, not below 0");
  }
  to = json.get<std::uint64_t>();
  return {};
}
Status Take(const std::string& field, const Json& json, std::uint8_t& to) {
  if (!json.is_boolean() && json != 0 && json != 1) {
    return Wrong(field, "must be true or false");
  }
  to = json == 1 || json == true ? 1 : 0;
  return {};
}

/// A list, or nothing if the field is absent.
template <class T>
Status TakeList(const Json& object, const std::string& field, std::vector<T>& to) {
  if (!object.contains(field)) {
    return {};
  }
  const Json& list = object.at(field);
  if (!list.is_array()) {
    return Wrong(field, "must be a list");
  }
  to.resize(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (Status taken = Take(At(field, i), list[i], to[i]); !taken) {
      return taken;
    }
  }
  return {};
}

/// The root's parent may be anything; -1 is usual.
Status TakeParents(const Json& object, std::vector<std::uint32_t>& to) {
  const Json& list = object.at("parent");
  if (!list.is_array()) {
    return Wrong("parent", "must be a list");
  }
  to.assign(list.size(), 0);
  for (std::size_t i = 1; i < list.size(); ++i) {
    if (!list[i].is_number_unsigned() || list[i].get<std::uint64_t>() >= i) {
      return Wrong(At("parent", i), "must be a node that comes before it");
    }
    to[i] = list[i].get<std::uint32_t>();
  }
  return {};
}

/// One number for all nodes, or a list.
Status TakeStates(const Json& object, Instance& to) {
  if (object.contains("state_bytes") && !object.at("state_bytes").is_array()) {
    std::uint64_t each = 0;
    Status taken = Take("state_bytes", object.at("state_bytes"), each);
    to.state_bytes.assign(to.parent.size(), each);
    return taken;
  }
  return TakeList(object, "state_bytes", to.state_bytes);
}

/// The prices of "priced", a list of objects, or else of "prices".
Status TakePrices(const Json& object, std::vector<double>& to) {
  if (!object.contains("priced")) {
    return TakeList(object, "prices", to);
  }
  const Json& list = object.at("priced");
  if (!list.is_array()) {
    return Wrong("priced", "must be a list");
  }
  to.resize(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_object() || !list[i].contains("price")) {
      return Wrong(At("priced", i), "must be an object with a price");
    }
    if (Status taken = Take(At("priced", i) + ".price", list[i].at("price"), to[i]); !taken) {
      return taken;
    }
  }
  return {};
}

Status TakeTrie(const Json& object, Instance& to) {
  for (const char* const field : {"parent", "potential", "weight"}) {
    if (!object.contains(field)) {
      return Wrong(field, "is missing");
    }
  }
  to.joint = object.contains("kv_bytes");
  if (to.joint && !object.contains("state_bytes")) {
    return Wrong("state_bytes", "is missing; it goes with kv_bytes, and may be 0");
  }
  Status taken = TakeParents(object, to.parent);
  taken = taken ? TakeList(object, "potential", to.potential) : taken;
  taken = taken ? TakeList(object, "weight", to.weight) : taken;
  taken = taken ? TakeList(object, "kv_bytes", to.kv_bytes) : taken;
  taken = taken ? TakeStates(object, to) : taken;
  taken = taken ? TakeList(object, "allowed", to.allowed) : taken;
  taken = taken ? TakeList(object, "fetch", to.fetch) : taken;
  if (taken && to.joint && to.kv_bytes.size() != to.parent.size()) {
    return Wrong("kv_bytes", std::to_string(to.kv_bytes.size()) + " entries for " +
                                 std::to_string(to.parent.size()) + " nodes");
  }
  taken = taken ? Validate(to.View()) : taken;
  if (!taken && taken.error().message.starts_with(kSolversName)) {
    // With the number of the node, if there is one.
    return Fail(ErrorCode::kInvalidArgument,
                "state_bytes" + taken.error().message.substr(kSolversName.size()));
  }
  return taken;
}

Status TakeInstance(const Json& object, Instance& to) {
  to.histogram = object.contains("hist");
  if (to.histogram && object.contains("parent")) {
    return Wrong("hist", "goes with a histogram and parent with a trie; give one of them");
  }
  if (!to.histogram && !object.contains("parent")) {
    return Wrong("parent", "is missing, and so is hist: neither a trie nor a histogram");
  }
  Status taken = to.histogram ? TakeList(object, "hist", to.weight) : TakeTrie(object, to);
  taken = taken ? TakePrices(object, to.prices) : taken;
  if (taken && object.contains("budget")) {
    std::uint64_t budget = 0;
    taken = Take("budget", object.at("budget"), budget);
    to.budget = budget;
  }
  return taken;
}

/// Finds a field that one object has twice, of which the parser would keep the last.
class KeyWatch {
 public:
  bool See(Json::parse_event_t event, const Json& value) {
    if (event == Json::parse_event_t::object_start) {
      open_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      open_.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& name = value.get_ref<const std::string&>();
      if (!open_.back().insert(name).second && twice_.empty()) {
        twice_ = name;
      }
    }
    return true;
  }
  [[nodiscard]] const std::string& twice() const { return twice_; }

 private:
  std::vector<std::set<std::string>> open_;
  std::string twice_;
};

}  // namespace

TrieInstance Instance::View() const {
  return {.parent = parent,
          .potential = potential,
          .weight = weight,
          .checkpoint_bytes = state_bytes,
          .kv_bytes = kv_bytes,
          .allowed = allowed,
          .fetch = fetch};
}

Result<InstanceFile> ReadInstances(const std::string& path) {
  const auto text = ReadFile(path);
  if (!text) {
    return Fail(text.error());
  }
  if (text->find_first_not_of(" \t\r\n") == std::string::npos) {
    return Wrong(path, "is empty; write an instance, or a list of instances");
  }
  Json json;
  KeyWatch keys;
  try {
    json = Json::parse(*text, [&keys](int, Json::parse_event_t event, const Json& value) {
      return keys.See(event, value);
    });
  } catch (const Json::exception& error) {
    return Wrong(path,
                 std::string("is not JSON, which has no NaN or infinity either: ") + error.what());
  }
  if (!keys.twice().empty()) {
    return Wrong(path, keys.twice() + ": is given twice in one object");
  }
  InstanceFile file;
  file.alone = json.is_object();
  if (file.alone) {
    json = Json::array({json});
  }
  if (!json.is_array() || json.empty()) {
    return Wrong(path, "must be an instance, or a list of instances that is not empty");
  }
  for (const Json& object : json) {
    Instance instance;
    instance.name = std::to_string(file.instances.size() + 1);
    if (!object.is_object()) {
      return Wrong(path, instance.name + ": must be an object");
    }
    if (object.contains("name") && object.at("name").is_string()) {
      instance.name = object.at("name").get<std::string>();
    }
    if (const Status taken = TakeInstance(object, instance); !taken) {
      return Wrong(path, instance.name + ": " + taken.error().message);
    }
    for (const auto& [field, value] : object.items()) {
      if (std::find(kFields.begin(), kFields.end(), field) == kFields.end()) {
        instance.unknown.push_back(field);
      }
    }
    file.instances.push_back(std::move(instance));
  }
  return file;
}

}  // namespace cairn::sim
