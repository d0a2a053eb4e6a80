#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "libcache/trace/generator.h"
#include "libcache/trace/writer.h"
#include "tests/integration/cairnctl_run.h"

namespace cairn::test {

/// Runs cairn-sim and looks at what it prints.
class CairnSimTest : public testing::Test {
 protected:
  Ran Sim(const std::vector<std::string>& args) {
    std::vector<std::string> command = {std::string(CAIRN_BINARY_DIR) + "/bin/cairn-sim"};
    command.insert(command.end(), args.begin(), args.end());
    return shell_.Command(command);
  }
  std::string Trace(std::uint32_t requests, const std::string& scenario = "mixed") {
    std::string path = dir_ / (scenario + ".jsonl.gz");
    const auto generator = TraceGenerator::Create(*GeneratorScenario(scenario, 1, requests));
    EXPECT_TRUE(WriteTrace(path, **generator));
    return path;
  }
  static std::vector<std::string> Run(std::vector<std::string> more) {
    std::vector<std::string> args = {"run", "--json", "--generate", "mixed", "--requests", "200"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  /// Solves what stands in `text`.
  Ran Solve(const std::string& text, std::vector<std::string> more = {}) {
    WriteFile(dir_ / "instance.json", text);
    std::vector<std::string> args = {"solve", "--json", "--instance", dir_ / "instance.json"};
    args.insert(args.end(), more.begin(), more.end());
    return Sim(args);
  }
  void ExpectRefused(const std::vector<std::string>& args, int code, const std::string& part) {
    const Ran ran = Sim(args);
    EXPECT_EQ(ran.code, code) << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_NE(ran.err.find(part), std::string::npos) << ran.err << "lacks " << part;
    EXPECT_TRUE(ran.Error().contains("code")) << ran.err;
  }
  void ExpectUnsolved(const std::string& text, const std::string& part) {
    const Ran ran = Solve(text);
    EXPECT_EQ(ran.code, 1) << text;
    EXPECT_EQ(ran.out, "");
    const nlohmann::json error = ran.Error();
    ASSERT_TRUE(error.is_object()) << ran.err;
    EXPECT_EQ(error.at("code"), "invalid_argument");
    EXPECT_NE(error.at("message").get<std::string>().find(part), std::string::npos) << ran.err;
  }

  TempDir dir_;
  Cairnctl shell_{dir_, ""};
};

}  // namespace cairn::test
