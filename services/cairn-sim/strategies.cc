#include "services/cairn-sim/strategies.h"

#include <algorithm>
#include <array>
#include <utility>

#include "libcache/policy/eviction.h"
#include "libcache/sim/strategy.h"
#include "services/cairn-sim/json.h"
#include "services/cairn-sim/report.h"

namespace cairn::sim {
namespace {

constexpr std::string_view kLearned = "trie";
constexpr std::string_view kClairvoyant = "oracle";
constexpr std::uint32_t kAnyBlock = 64;  // Names do not depend on it.

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kEvictions = {{
    {"value",
     "what saves least prefill time per byte and second goes first, with the KV that only "
     "it needs"},
    {"lru", "the least recently used state or stretch of KV goes first"},
    {"lfu", "the least often used one"},
    {"w_tinylfu", "a small window, then by frequency"},
    {"gdsf", "uses x saved prefill / bytes, with ageing"},
    {"marconi",
     "recency + alpha x flops saved per byte over the parent; leaves and single children"},
}};

std::string Names(const std::vector<NamedChoice>& choices) {
  std::string names;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    names += i == 0 ? "" : (i + 1 == choices.size() ? " or " : ", ");
    names += choices[i].name;
  }
  return names;
}

tl::unexpected<Error> Unknown(std::string_view what, std::string_view name,
                              const std::vector<NamedChoice>& choices) {
  return Fail(ErrorCode::kInvalidArgument, std::string(what) + " '" + std::string(name) +
                                               "': must be " + Names(choices) +
                                               "; cairn-sim strategies tells more");
}

}  // namespace

std::vector<NamedChoice> Strategies() {
  std::vector<NamedChoice> choices;
  for (const std::string& name : StrategyNames()) {
    choices.push_back({name, std::string(StrategyMeaning(name))});
  }
  return choices;
}

std::vector<NamedChoice> Evictions() {
  std::vector<NamedChoice> choices;
  choices.reserve(std::size(kEvictions));
  for (const auto& [name, text] : kEvictions) {
    choices.push_back({std::string(name), std::string(text)});
  }
  return choices;
}

Status CheckStrategy(std::string_view name) {
  if (name == kLearned || name == kClairvoyant || MakeStrategy(name, kAnyBlock)) {
    return {};
  }
  return Unknown("strategy", name, Strategies());
}

Status CheckEviction(std::string_view name) {
  if (name == "marconi" || MakeEvictionPolicy(name)) {
    return {};
  }
  return Unknown("eviction", name, Evictions());
}

std::string OwnEviction(const std::string& strategy) {
  if (strategy == "marconi") {
    return strategy;
  }
  return strategy == kLearned || strategy == kClairvoyant ? "value" : "lru";
}

int RunStrategies(bool json) {
  if (json) {
    return Print(StrategiesJson(), json);
  }
  std::string text;
  const auto add = [&text](const std::string& title, const std::vector<NamedChoice>& choices) {
    text += title + "\n";
    std::size_t width = 0;
    for (const NamedChoice& choice : choices) {
      width = std::max(width, choice.name.size());
    }
    for (const NamedChoice& choice : choices) {
      text += "  " + choice.name + std::string(width - choice.name.size() + 2, ' ') + choice.text +
              "\n";
    }
  };
  add("strategies", Strategies());
  add("evictions", Evictions());
  return Print(text, json);
}

}  // namespace cairn::sim
