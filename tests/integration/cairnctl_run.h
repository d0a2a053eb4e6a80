#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/child_process.h"
#include "tests/integration/temp_dir.h"

namespace cairn::test {

/// What one call of the built cairnctl gave.
struct Ran {
  int code = -1;
  std::string out;
  std::string err;

  /// Standard output as JSON; null, and a failed test, if it is none.
  [[nodiscard]] nlohmann::json Json() const { return Parse(out); }
  /// The object "error" of standard error.
  [[nodiscard]] nlohmann::json Error() const {
    const nlohmann::json all = Parse(err);
    return all.is_object() && all.contains("error") ? all.at("error") : nlohmann::json();
  }

 private:
  [[nodiscard]] nlohmann::json Parse(const std::string& text) const {
    auto json = nlohmann::json::parse(text, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << "code " << code << "\nout: " << out << "\nerr: " << err;
    return json.is_discarded() ? nlohmann::json() : json;
  }
};

/// Calls cairnctl as a shell would, without a terminal.
class Cairnctl {
 public:
  /// Files go to `dir`. `connect` becomes CAIRN_CONNECT; empty: it is not set.
  Cairnctl(const TempDir& dir, std::string connect)
      : dir_(dir.path()), connect_(std::move(connect)) {}

  static std::string Program() { return std::string(CAIRN_BINARY_DIR) + "/bin/cairnctl"; }

  Ran operator()(const std::vector<std::string>& args) {
    const auto child = Start(args);
    return Finish(*child);
  }
  /// The same, to be waited for with Finish.
  std::unique_ptr<ChildProcess> Start(const std::vector<std::string>& args) {
    std::vector<std::string> command = {Program()};
    command.insert(command.end(), args.begin(), args.end());
    return StartCommand(command);
  }
  Ran Command(const std::vector<std::string>& command) {
    const auto child = StartCommand(command);
    return Finish(*child);
  }
  [[nodiscard]] Ran Finish(ChildProcess& child) const {
    const auto code = child.WaitExit(std::chrono::seconds(60));
    EXPECT_TRUE(code.has_value()) << "cairnctl does not end";
    return {.code = code.value_or(-1), .out = ReadFile(Out()), .err = ReadFile(Err())};
  }
  [[nodiscard]] std::string Err() const { return dir_ + "/ctl.err"; }

 private:
  [[nodiscard]] std::string Out() const { return dir_ + "/ctl.out"; }
  std::unique_ptr<ChildProcess> StartCommand(const std::vector<std::string>& command) {
    std::vector<std::string> shell = {
        "/bin/sh", "-c", "exec \"$0\" \"$@\" >" + Out() + " 2>" + Err() + " </dev/null"};
    shell.insert(shell.end(), command.begin(), command.end());
    ChildProcess::Variables variables;
    if (!connect_.empty()) {
      variables.emplace_back("CAIRN_CONNECT", connect_);
    }
    return std::make_unique<ChildProcess>(shell, dir_ + "/ctl.shell", variables);
  }

  std::string dir_;
  std::string connect_;
};

}  // namespace cairn::test
