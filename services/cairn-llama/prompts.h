#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"

namespace cairn::llama {

/// One line of a prompts file.
struct PromptLine {
  std::string id;                        ///< "" if the line has none.
  std::string text;                      ///< To be tokenized, or:
  std::vector<std::int32_t> tokens;      ///< Given as ids.
  std::optional<std::uint32_t> predict;  ///< Tokens to generate; else what the caller says.
};

/// A line is a JSON object {"prompt": "text"} or {"tokens": [1, 2]}, with "id" (a string or a
/// number) and "predict" if wanted; or else plain text, taken as it is. Empty lines are left out.
/// Errors: kInvalidArgument, the message has the number of the line and the field.
Result<std::vector<PromptLine>> ParsePrompts(std::string_view text);

/// `path` "-": standard input, to its end. Errors: kNotFound, kIo, those of ParsePrompts, and
/// kInvalidArgument if there is no prompt at all.
Result<std::vector<PromptLine>> ReadPrompts(const std::string& path);

}  // namespace cairn::llama
