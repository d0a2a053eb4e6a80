#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/connector/llamacpp/library.h"

namespace cairn::llama {

struct EngineOptions {
  std::string model;
  std::uint32_t context_tokens = 0;  ///< Of each sequence.
  std::uint32_t sequences = 1;
  std::uint32_t batch_tokens = 2048;
  std::uint32_t physical_batch_tokens = 512;
  std::int32_t threads = 1;
  std::int32_t gpu_layers = -1;
  std::int32_t flash_attention = llamacpp::kFlashAuto;
  std::int32_t type_k = llamacpp::kF16;
  std::int32_t type_v = llamacpp::kF16;
  bool unified_kv = false;
  bool full_windows = false;  ///< Keep all tokens of sliding-window layers.
};

/// A model and a context of llama.cpp. Not thread-safe.
class Engine {
 public:
  /// What one sequence contributes to a decode.
  struct Part {
    std::int32_t sequence = 0;
    std::int32_t position = 0;  ///< Of the first token.
    std::span<const llamacpp::Token> tokens;
    bool all_logits = false;  ///< Else of the last token only, or none.
    bool no_logits = false;
  };

  /// Loads the model; the context is made by Start, when the prompts are known.
  /// Errors: kNotFound, kInvalidArgument (llama.cpp refuses the file; its own words are added).
  static Result<std::unique_ptr<Engine>> Load(std::shared_ptr<const llamacpp::Library> library,
                                              const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Errors: kInvalidArgument, kNoSpace (llama.cpp made no context).
  Status Start(std::uint32_t context_tokens);

  /// With special tokens as the model wants them. Errors: kInvalidArgument.
  [[nodiscard]] Result<std::vector<llamacpp::Token>> Tokenize(std::string_view text) const;
  [[nodiscard]] std::string Text(std::span<const llamacpp::Token> tokens) const;
  [[nodiscard]] bool EndsGeneration(llamacpp::Token token) const;
  [[nodiscard]] std::int32_t vocabulary() const { return vocabulary_; }

  /// Errors: kNoSpace (no room in the context), kInternal.
  Status Decode(std::span<const Part> parts);
  /// Logits of the token at `index` of the last decode, counted over all parts; vocabulary() many.
  [[nodiscard]] std::span<const float> Logits(std::int32_t index) const;

  [[nodiscard]] const llamacpp::Library& library() const { return *library_; }
  [[nodiscard]] llamacpp::Context* context() const { return context_; }
  [[nodiscard]] const llamacpp::ContextParams& context_params() const { return context_params_; }
  [[nodiscard]] const llamacpp::ModelParams& model_params() const { return model_params_; }

 private:
  struct Functions;

  Engine(std::shared_ptr<const llamacpp::Library> library, const EngineOptions& options);

  std::shared_ptr<const llamacpp::Library> library_;
  EngineOptions options_;
  std::unique_ptr<const Functions> functions_;
  llamacpp::ModelParams model_params_{};
  llamacpp::ContextParams context_params_{};
  llamacpp::Model* model_ = nullptr;
  llamacpp::Context* context_ = nullptr;
  const llamacpp::Vocab* vocab_ = nullptr;
  std::int32_t vocabulary_ = 0;
};

/// For Library::Open: keeps the last error for messages, and shows all on stderr if verbose.
void TakeLog(std::int32_t level, const char* text, void* user_data);
void SetVerbose(bool verbose);

/// "f16" and the like as a value of type_k and type_v. Errors: kInvalidArgument, lists the names.
Result<std::int32_t> ParseCacheType(const std::string& name);

}  // namespace cairn::llama
