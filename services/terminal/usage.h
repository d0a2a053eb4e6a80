#pragma once

#include <string>

namespace CLI {  // NOLINT(readability-identifier-naming): the library calls itself so.
class App;
class ParseError;
}  // namespace CLI

namespace cairn::terminal {

/// What the parser complains of, in one line and in our words where its own do not say what to
/// write: "--threads: 'abc' is not a whole number". `app` has the option, itself or in the command
/// in use. Quotes arguments as they are.
std::string UsageProblem(const CLI::App& app, const CLI::ParseError& error);

}  // namespace cairn::terminal
