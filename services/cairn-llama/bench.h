#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/connector/llamacpp/connector.h"
#include "services/cairn-llama/engine.h"

namespace cairn::llama {

struct BenchOptions {
  std::uint32_t prompt_tokens = 4096;
  double shared = 0.9;       ///< Of a prompt that hits, rounded to the grid.
  std::uint32_t rounds = 3;  ///< All arms of a round run one after the other.
  std::uint64_t seed = 1;    ///< Other seeds give other prompts, which a daemon has not seen.
  std::string slot_file;     ///< For llama.cpp's own slots; written and removed.
};

/// Medians over the rounds; times in milliseconds.
struct BenchResult {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t shared_tokens = 0;
  std::uint64_t checkpoint_bytes = 0;
  std::uint64_t kv_bytes_per_token = 0;
  double plain_ms = 0;   ///< Prefill of a new prompt without the connector.
  double miss_ms = 0;    ///< With it, the cache knowing nothing: match, prefill, capture.
  double miss_cost = 0;  ///< Median over rounds of miss / plain, less 1.
  double cold_ms = 0;    ///< To the first token of the prompt that shares, from nothing.
  double hit_ms = 0;     ///< The same, resumed.
  double hit_ratio = 0;  ///< Median of hit / cold.
  std::uint32_t resumed_at = 0;
  std::uint64_t loaded_bytes = 0;
  double match_load_ms = 0;       ///< Of the hit: asking, and bytes to this process, checked.
  double restore_ms = 0;          ///< Of the hit: to llama.cpp's own memory.
  double memcpy_ms = 0;           ///< Of as many bytes, in this process.
  double load_ratio = 0;          ///< Median of match_load / memcpy.
  std::uint32_t slot_cached = 0;  ///< Tokens that llama.cpp's own slots spare for the same prompt.
  double slot_ms = 0;             ///< To its first token by them, restore included.
  std::uint32_t slot_same_cached = 0;  ///< ... and for the very prompt that was saved.
  std::uint32_t mismatches = 0;        ///< First tokens that differ from the cold one.
};

/// Measures what the cache costs and saves. `progress`: what is done, in [0, 1].
/// Errors: those of Engine::Decode; kInvalidArgument (the context is too short); kUnavailable if
/// what was stored is not found again.
Result<BenchResult> RunBench(Engine& engine, llamacpp::Connector& connector,
                             const BenchOptions& options,
                             const std::function<void(double)>& progress);

std::string BenchTable(const BenchResult& result, const std::string& model);
std::string BenchJson(const BenchResult& result, const std::string& model);

}  // namespace cairn::llama
