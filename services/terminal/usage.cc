#include "services/terminal/usage.h"

#include <CLI/CLI.hpp>
#include <string_view>

namespace cairn::terminal {
namespace {

/// Of an option's type, as CLI11 names it in the help.
std::string_view WhatItTakes(std::string_view type) {
  if (type == "INT" || type == "UINT") {
    return "a whole number";
  }
  if (type == "FLOAT") {
    return "a number";
  }
  return type == "BOOLEAN" ? "true or false" : "a value that it takes";
}

const CLI::Option* FindOption(const CLI::App& app, const std::string& name) {
  for (const CLI::App* const command : app.get_subcommands()) {
    if (const CLI::Option* const option = FindOption(*command, name); option != nullptr) {
      return option;
    }
  }
  return app.get_option_no_throw(name);
}

}  // namespace

std::string UsageProblem(const CLI::App& app, const CLI::ParseError& error) {
  constexpr std::string_view kBefore = "Could not convert: ";
  constexpr std::string_view kBetween = " = ";
  constexpr std::string_view kTooMany = ": At Most 1 required but received ";
  std::string text = error.what();
  if (const std::size_t many = text.find(kTooMany); many != std::string::npos) {
    return text.substr(0, many) + ": takes one value, not " + text.substr(many + kTooMany.size()) +
           "; write a list as one, \"a,b\"";
  }
  const std::size_t between = text.find(kBetween);
  if (!text.starts_with(kBefore) || between == std::string::npos) {
    return text;
  }
  const std::string name = text.substr(kBefore.size(), between - kBefore.size());
  const CLI::Option* const option = FindOption(app, name);
  return name + ": '" + text.substr(between + kBetween.size()) + "' is not " +
         std::string(WhatItTakes(option == nullptr ? "" : option->get_type_name()));
}

}  // namespace cairn::terminal
