#include "services/cairn-llama/prompts.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "libcache/base/errno_text.h"

namespace cairn::llama {
namespace {

using nlohmann::json;

constexpr std::uint32_t kMostPredicted = 1'000'000;

Result<PromptLine> ParseObject(const json& object) {
  const auto bad = [](const std::string& what) { return Fail(ErrorCode::kInvalidArgument, what); };
  PromptLine line;
  for (const auto& [key, value] : object.items()) {
    if (key == "prompt" && value.is_string()) {
      line.text = value.get<std::string>();
    } else if (key == "tokens" && value.is_array()) {
      for (const json& token : value) {
        if (!token.is_number_integer() || token.get<std::int64_t>() < 0 ||
            token.get<std::int64_t>() > INT32_MAX) {
          return bad("tokens: must be numbers of tokens");
        }
        line.tokens.push_back(token.get<std::int32_t>());
      }
    } else if (key == "id" && (value.is_string() || value.is_number_integer())) {
      line.id = value.is_string() ? value.get<std::string>() : value.dump();
    } else if (key == "predict" && value.is_number_unsigned() &&
               value.get<std::uint64_t>() <= kMostPredicted) {
      line.predict = value.get<std::uint32_t>();
    } else {
      return bad(key +
                 ": no such field, or not of its type; there are prompt (text), tokens "
                 "(numbers), id and predict (a number)");
    }
  }
  if (line.text.empty() == line.tokens.empty()) {
    return bad("give one of prompt and tokens, and not empty");
  }
  return line;
}

}  // namespace

Result<std::vector<PromptLine>> ParsePrompts(std::string_view text) {
  std::vector<PromptLine> lines;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    if (line.find_first_not_of(" \t") == std::string_view::npos) {
      continue;
    }
    if (!line.starts_with('{')) {
      lines.push_back({.id = "", .text = std::string(line), .tokens = {}, .predict = {}});
      continue;
    }
    const json object = json::parse(line, nullptr, false);
    auto parsed = object.is_object()
                      ? ParseObject(object)
                      : Result<PromptLine>(Fail(ErrorCode::kInvalidArgument,
                                                "begins with { but is no JSON object"));
    if (!parsed) {
      return Fail(parsed.error().code,
                  "line " + std::to_string(number) + ": " + parsed.error().message);
    }
    lines.push_back(*std::move(parsed));
  }
  return lines;
}

Result<std::vector<PromptLine>> ReadPrompts(const std::string& path) {
  std::FILE* const file = path == "-" ? stdin : std::fopen(path.c_str(), "re");
  if (file == nullptr) {
    const int error = errno;
    return Fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                path + ": " + ErrnoText(error));
  }
  std::string text;
  std::array<char, 65536> buffer{};
  while (const std::size_t bytes = std::fread(buffer.data(), 1, buffer.size(), file)) {
    text.append(buffer.data(), bytes);
  }
  const bool failed = std::ferror(file) != 0;
  if (file != stdin) {
    std::fclose(file);
  }
  if (failed) {
    return Fail(ErrorCode::kIo, path + " cannot be read");
  }
  auto lines = ParsePrompts(text);
  if (!lines) {
    return Fail(lines.error().code, path + ": " + lines.error().message);
  }
  if (lines->empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                path + " has no prompt; write one a line, as text or as {\"prompt\": \"...\"}");
  }
  return lines;
}

}  // namespace cairn::llama
