#pragma once

#include <string>
#include <string_view>

namespace cairn::ctl {

/// The completion script of `shell`, which must be one of Shells(). Made from Commands() and
/// GlobalOptions(), so that it always knows what the program knows.
std::string CompletionScript(std::string_view shell);

}  // namespace cairn::ctl
