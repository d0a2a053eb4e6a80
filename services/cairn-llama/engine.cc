#include "services/cairn-llama/engine.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "libcache/base/check.h"

namespace cairn::llama {
namespace {

using llamacpp::Batch;
using llamacpp::Context;
using llamacpp::ContextParams;
using llamacpp::Model;
using llamacpp::ModelParams;
using llamacpp::Position;
using llamacpp::SequenceId;
using llamacpp::Token;
using llamacpp::Vocab;

constexpr int kError = 4;  // ggml_log_level.

/// llama.cpp logs through one function for the whole process.
struct Log {
  bool verbose = false;
  std::string last_error;  // What it said last at the level of errors.
};
Log& TheLog() {
  static Log log;
  return log;
}

std::string InItsWords(const std::string& what) {
  const std::string& said = TheLog().last_error;
  return said.empty() ? what : what + ": " + said;
}

struct CacheType {
  const char* name;
  std::int32_t value;
};
constexpr std::array<CacheType, 5> kCacheTypes = {{{"f32", llamacpp::kF32},
                                                   {"f16", llamacpp::kF16},
                                                   {"bf16", llamacpp::kBF16},
                                                   {"q8_0", llamacpp::kQ8},
                                                   {"q4_0", llamacpp::kQ4}}};

}  // namespace

void SetVerbose(bool verbose) { TheLog().verbose = verbose; }

void TakeLog(std::int32_t level, const char* text, void*) {
  Log& log = TheLog();
  if (log.verbose) {
    std::fputs(text, stderr);
  }
  if (level == kError) {
    log.last_error = text;
    while (!log.last_error.empty() && log.last_error.back() == '\n') {
      log.last_error.pop_back();
    }
  }
}

struct Engine::Functions {
  Model* (*load)(const char*, ModelParams);
  void (*free_model)(Model*);
  Context* (*start)(Model*, ContextParams);
  void (*free_context)(Context*);
  const Vocab* (*vocab)(const Model*);
  std::int32_t (*vocabulary)(const Vocab*);
  bool (*ends)(const Vocab*, Token);
  std::int32_t (*tokenize)(const Vocab*, const char*, std::int32_t, Token*, std::int32_t, bool,
                           bool);
  std::int32_t (*piece)(const Vocab*, Token, char*, std::int32_t, std::int32_t, bool);
  float* (*logits)(Context*, std::int32_t);
};

Engine::Engine(std::shared_ptr<const llamacpp::Library> library, const EngineOptions& options)
    : library_(std::move(library)), options_(options) {}

Engine::~Engine() {
  if (context_ != nullptr) {
    functions_->free_context(context_);
  }
  if (model_ != nullptr) {
    functions_->free_model(model_);
  }
}

Result<std::unique_ptr<Engine>> Engine::Load(std::shared_ptr<const llamacpp::Library> library,
                                             const EngineOptions& options) {
  std::unique_ptr<Engine> engine(new Engine(std::move(library), options));
  auto functions = std::make_unique<Functions>();
  std::string missing;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(engine->library_->Symbol(name));
    missing += function == nullptr ? std::string(" ") + name : "";
  };
  find(functions->load, "llama_model_load_from_file");
  find(functions->free_model, "llama_model_free");
  find(functions->start, "llama_init_from_model");
  find(functions->free_context, "llama_free");
  find(functions->vocab, "llama_model_get_vocab");
  find(functions->vocabulary, "llama_vocab_n_tokens");
  find(functions->ends, "llama_vocab_is_eog");
  find(functions->tokenize, "llama_tokenize");
  find(functions->piece, "llama_token_to_piece");
  find(functions->logits, "llama_get_logits_ith");
  if (!missing.empty()) {
    return Fail(ErrorCode::kNotFound, "llama.cpp lacks" + missing);
  }
  std::error_code error;
  if (!std::filesystem::is_regular_file(options.model, error)) {
    return Fail(ErrorCode::kNotFound, "there is no model file " + options.model);
  }
  engine->functions_ = std::move(functions);
  engine->model_params_ = engine->library_->model_params();
  engine->model_params_.n_gpu_layers = options.gpu_layers;
  engine->model_ = engine->functions_->load(options.model.c_str(), engine->model_params_);
  if (engine->model_ == nullptr) {
    return Fail(ErrorCode::kInvalidArgument, InItsWords("llama.cpp cannot load " + options.model));
  }
  engine->vocab_ = engine->functions_->vocab(engine->model_);
  engine->vocabulary_ = engine->functions_->vocabulary(engine->vocab_);
  return engine;
}

Status Engine::Start(std::uint32_t context_tokens) {
  CAIRN_CHECK(context_ == nullptr);
  ContextParams& params = context_params_;
  params = library_->context_params();
  // A whole sequence must fit beside the others, whether they share one cache or not.
  params.n_ctx = context_tokens * options_.sequences;
  // A token of each sequence must fit, and two for the connector.
  params.n_batch =
      std::max({options_.batch_tokens, options_.physical_batch_tokens, options_.sequences, 2U});
  params.n_ubatch = options_.physical_batch_tokens;
  params.n_seq_max = options_.sequences;
  params.n_outputs_max_per_seq = 0;
  params.n_threads = options_.threads;
  params.n_threads_batch = options_.threads;
  params.flash_attn_type = options_.flash_attention;
  params.type_k = options_.type_k;
  params.type_v = options_.type_v;
  params.swa_full = options_.full_windows;
  params.kv_unified = options_.unified_kv;
  context_ = functions_->start(model_, params);
  if (context_ == nullptr) {
    return Fail(ErrorCode::kNoSpace, InItsWords("llama.cpp cannot make a context of " +
                                                std::to_string(params.n_ctx) + " tokens"));
  }
  return {};
}

Result<std::vector<Token>> Engine::Tokenize(std::string_view text) const {
  if (text.size() > INT32_MAX / 2) {
    return Fail(ErrorCode::kInvalidArgument, "the prompt is longer than 1 GiB");
  }
  const auto length = static_cast<std::int32_t>(text.size());
  std::vector<Token> tokens(text.size() + 8);
  const auto run = [&] {
    return functions_->tokenize(vocab_, text.data(), length, tokens.data(),
                                static_cast<std::int32_t>(tokens.size()), true, true);
  };
  std::int32_t count = run();
  if (count < 0) {
    tokens.resize(static_cast<std::size_t>(-count));
    count = run();
  }
  if (count < 0) {
    return Fail(ErrorCode::kInvalidArgument, InItsWords("the prompt cannot be tokenized"));
  }
  tokens.resize(static_cast<std::size_t>(count));
  return tokens;
}

std::string Engine::Text(std::span<const Token> tokens) const {
  std::string text;
  std::vector<char> piece(64);
  for (const Token token : tokens) {
    const auto run = [&] {
      return functions_->piece(vocab_, token, piece.data(), static_cast<std::int32_t>(piece.size()),
                               0, false);
    };
    std::int32_t length = run();
    if (length < 0) {
      piece.resize(static_cast<std::size_t>(-length));
      length = run();
    }
    text.append(piece.data(), static_cast<std::size_t>(std::max(length, 0)));
  }
  return text;
}

bool Engine::EndsGeneration(Token token) const { return functions_->ends(vocab_, token); }

Status Engine::Decode(std::span<const Part> parts) {
  std::vector<Token> tokens;
  std::vector<Position> positions;
  std::vector<std::int32_t> counts;
  std::vector<SequenceId> ids;
  std::vector<std::int8_t> logits;
  for (const Part& part : parts) {
    for (std::size_t i = 0; i < part.tokens.size(); ++i) {
      const bool last = i + 1 == part.tokens.size();
      tokens.push_back(part.tokens[i]);
      positions.push_back(part.position + static_cast<Position>(i));
      counts.push_back(1);
      ids.push_back(part.sequence);
      logits.push_back(part.all_logits || (last && !part.no_logits) ? 1 : 0);
    }
  }
  std::vector<SequenceId*> sequences(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    sequences[i] = &ids[i];
  }
  const std::int32_t result =
      library_->api().decode(context_, Batch{.n_tokens = static_cast<std::int32_t>(tokens.size()),
                                             .token = tokens.data(),
                                             .embd = nullptr,
                                             .pos = positions.data(),
                                             .n_seq_id = counts.data(),
                                             .seq_id = sequences.data(),
                                             .logits = logits.data()});
  if (result == 0) {
    return {};
  }
  return Fail(result == 1 ? ErrorCode::kNoSpace : ErrorCode::kInternal,
              InItsWords("llama_decode gives " + std::to_string(result)));
}

std::span<const float> Engine::Logits(std::int32_t index) const {
  const float* const logits = functions_->logits(context_, index);
  return logits == nullptr ? std::span<const float>()
                           : std::span(logits, static_cast<std::size_t>(vocabulary_));
}

Result<std::int32_t> ParseCacheType(const std::string& name) {
  std::string names;
  for (const CacheType& type : kCacheTypes) {
    if (name == type.name) {
      return type.value;
    }
    names += std::string(names.empty() ? "" : ", ") + type.name;
  }
  return Fail(ErrorCode::kInvalidArgument, "\"" + name + "\" is none of " + names);
}

}  // namespace cairn::llama
