#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/connector/llamacpp/connector.h"
#include "libcache/connector/llamacpp/request.h"
#include "services/cairn-llama/engine.h"

namespace cairn::llama {

/// A prompt to run.
struct Job {
  std::size_t number = 0;  ///< For the caller; comes back in the outcome.
  std::string id;
  std::vector<llamacpp::Token> tokens;
  std::uint32_t predict = 0;
};

/// What came of it.
struct Outcome {
  std::size_t number = 0;
  std::string id;
  std::uint32_t prompt_tokens = 0;
  llamacpp::Resumption cache;  ///< All zero in a cold run.
  double prefill_ms = 0;       ///< llama_decode of what was not resumed.
  double first_token_ms = 0;   ///< From the prompt to its first token, the cache's part included.
  double generate_ms = 0;      ///< The other tokens.
  std::vector<llamacpp::Token> generated;
  std::string text;
  /// XXH3 of the logits behind each token from cache.position on, generated ones included; only if
  /// wanted. Two runs are alike bit for bit where these are equal.
  std::vector<std::string> logits;
};

struct RunOptions {
  std::uint32_t sequences = 1;  ///< Prompts at a time.
  bool logit_digests = false;
  /// Each prompt's tokens in decodes of their own, not in one with those of the others: then
  /// results do not depend on what else runs.
  bool generate_alone = false;
};

/// Runs prompts to their end, greedily, several at a time: each prefill by itself, the generation
/// of all that are so far in one batch.
class Runner {
 public:
  using OnOutcome = std::function<void(const Outcome&)>;

  /// `connector` may be null: every prompt is computed from its begin. All must outlive the runner.
  Runner(Engine& engine, llamacpp::Connector* connector, const RunOptions& options);

  /// Calls `done` for each prompt, in the order in which they end. Errors: those of Engine::Decode.
  Status Run(std::vector<Job> jobs, const OnOutcome& done);

 private:
  using Clock = std::chrono::steady_clock;

  struct Slot {
    std::int32_t sequence = 0;
    bool busy = false;
    Job job;
    std::optional<llamacpp::Request> request;
    std::uint32_t position = 0;  // Tokens in the sequence.
    llamacpp::Token next = 0;    // Sampled, not yet decoded.
    Clock::time_point began;
    Clock::time_point first_token;
    Outcome outcome;
  };

  void Begin(Slot& slot, Job job);
  Status Prefill(Slot& slot);
  Status Generate(const OnOutcome& done);
  Status GenerateOf(std::span<Slot* const> slots, const OnOutcome& done);
  void Sample(Slot& slot, std::int32_t index);
  void AddDigest(Slot& slot, std::int32_t index);
  [[nodiscard]] bool IsGenerating(const Slot& slot) const;
  [[nodiscard]] bool IsDone(const Slot& slot) const;
  void End(Slot& slot, const OnOutcome& done);

  Engine& engine_;
  llamacpp::Connector* const connector_;
  const RunOptions options_;
  std::uint32_t batch_tokens_;
  std::vector<Slot> slots_;
};

}  // namespace cairn::llama
