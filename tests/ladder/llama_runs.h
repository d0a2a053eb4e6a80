#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "libcache/model/prefix_key.h"
#include "tests/integration/child_process.h"
#include "tests/integration/temp_dir.h"

namespace cairn::test {

/// Where llama.cpp's libraries are; "" if they were not installed.
inline std::string EngineFolder() {
  if (const char* const named = std::getenv("CAIRN_LLAMA_LIB"); named != nullptr) {
    return named;
  }
  const std::string folder = CAIRN_SOURCE_DIR "/build/engine/llama.cpp";
  return std::filesystem::is_directory(folder) ? folder : "";
}

/// One run of cairn-llama, and what it reported.
class LlamaRun {
 public:
  LlamaRun(const TempDir& dir, std::vector<std::string> args) {
    static int number = 0;
    output_ = dir / ("run" + std::to_string(++number) + ".json");
    args.insert(args.begin(), CAIRN_BINARY_DIR "/bin/cairn-llama");
    process_ = std::make_unique<ChildProcess>(
        args, output_, ChildProcess::Variables{{"CAIRN_LLAMA_LIB", EngineFolder()}});
  }
  /// Waits for the end. False, with what it printed in the test's output, unless all went well.
  bool Wait() {
    const auto code = process_->WaitExit(std::chrono::seconds(240));
    report_ = nlohmann::json::parse(process_->Output(), nullptr, false);
    if (code == 0 && !report_.is_discarded()) {
      return true;
    }
    ADD_FAILURE() << "cairn-llama " << (code ? "ended with " + std::to_string(*code) : "hangs")
                  << ":\n"
                  << process_->Output().substr(0, 2000);
    report_ = nlohmann::json::object({{"prompts", nlohmann::json::array()}});
    return false;
  }
  [[nodiscard]] const nlohmann::json& report() const { return report_; }
  [[nodiscard]] const nlohmann::json& prompts() const { return report_.at("prompts"); }
  [[nodiscard]] std::uint64_t Counter(const char* name) const {
    return report_.at("counters").at(name).get<std::uint64_t>();
  }
  /// The namespace under which it stored.
  [[nodiscard]] NamespaceSpec Space() const {
    const nlohmann::json& from = report_.at("namespace");
    NamespaceSpec spec;
    spec.tenant = from.at("tenant");
    spec.model = from.at("model");
    spec.revision = from.at("revision");
    spec.dtype = from.at("dtype");
    spec.layout = from.at("layout");
    spec.kernel = from.at("kernel");
    spec.block_tokens = from.at("block_tokens");
    spec.grid_tokens = from.at("grid_tokens");
    spec.kv_bytes_per_token = from.at("kv_bytes_per_token");
    spec.checkpoint_bytes = from.at("checkpoint_bytes");
    return spec;
  }

 private:
  std::string output_;
  std::unique_ptr<ChildProcess> process_;
  nlohmann::json report_;
};

/// Every kind of state that llama.cpp keeps: Gated DeltaNet with attention (twice: with M-RoPE and
/// without), Mamba-2 alone, beside attention in each layer and between attention layers, Kimi delta
/// attention with MLA, short convolutions with attention, attention alone, and with sliding
/// windows.
inline auto LadderModels() {
  return testing::Values("qwen35", "qwen3next", "mamba2", "falcon-h1", "granitehybrid",
                         "kimi-linear", "lfm2", "llama", "gemma3");
}
inline std::string ModelTestName(const testing::TestParamInfo<const char*>& model) {
  std::string name = model.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// Writes a random model. False if that failed.
inline bool MakeModel(const TempDir& dir, const std::string& arch, const std::string& path,
                      int seed = 1) {
  ChildProcess process({CAIRN_BINARY_DIR "/bin/cairn-llama", "random-model", "--arch", arch,
                        "--seed", std::to_string(seed), "--out", path},
                       dir / "model.log", {{"CAIRN_LLAMA_LIB", EngineFolder()}});
  const bool made = process.WaitExit(std::chrono::seconds(60)) == 0;
  EXPECT_TRUE(made) << process.Output();
  return made;
}

}  // namespace cairn::test
