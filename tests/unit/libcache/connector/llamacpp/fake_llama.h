#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "libcache/connector/llamacpp/abi.h"
#include "tests/unit/libcache/connector/llamacpp/fake_context.h"

/// A llama.cpp of our own behind llamacpp::Api, quick and with switches.
///
/// It believes what the real one believes: flipped bits in rows, states of another model of equal
/// shapes, bytes behind a blob's end.
namespace cairn::llamacpp::fake {

/// What runs the model: functions of llama.cpp that have no context to ask.
struct Machine {
  std::string version = "0.5.0";
  std::string system_info = "CPU : SSE3 = 1 | AVX2 = 1";
  std::vector<std::pair<std::string, std::int32_t>> devices = {{"A processor", 0}};
};
inline Machine& TheMachine() {
  static Machine machine;
  return machine;
}

/// As snprintf does: at most `size` bytes with the 0, the whole length returned.
inline std::int32_t CopyText(const std::string& text, char* out, std::size_t size) {
  return std::snprintf(out, size, "%s", text.c_str());
}

inline void FillModel(Api& api) {
  api.model_desc = [](const Model* m, char* out, std::size_t size) {
    return CopyText(FakeContext::Of(m).config.architecture + " 1B F16", out, size);
  };
  api.model_meta_count = [](const Model* m) {
    return static_cast<std::int32_t>(FakeContext::Of(m).meta.size());
  };
  api.model_meta_key_by_index = [](const Model* m, std::int32_t i, char* out, std::size_t size) {
    return CopyText(FakeContext::Of(m).meta[static_cast<std::size_t>(i)].first, out, size);
  };
  api.model_meta_val_str_by_index = [](const Model* m, std::int32_t i, char* out,
                                       std::size_t size) {
    return CopyText(FakeContext::Of(m).meta[static_cast<std::size_t>(i)].second, out, size);
  };
  api.model_size = [](const Model*) { return std::uint64_t{1'000'000}; };
  api.model_n_params = [](const Model*) { return std::uint64_t{500'000}; };
  api.model_n_swa = [](const Model* m) {
    return static_cast<std::int32_t>(FakeContext::Of(m).config.window.window_tokens);
  };
  api.model_has_encoder = [](const Model* m) { return FakeContext::Of(m).config.encoder; };
  api.model_is_diffusion = [](const Model* m) { return FakeContext::Of(m).config.diffusion; };
  api.model_is_recurrent = [](const Model* m) {
    const Config& c = FakeContext::Of(m).config;
    return c.recurrent.layers != 0 && c.attention.layers == 0 && c.window.layers == 0;
  };
  api.model_is_hybrid = [](const Model* m) {
    const Config& c = FakeContext::Of(m).config;
    return c.recurrent.layers != 0 && (c.attention.layers != 0 || c.window.layers != 0);
  };
}

inline void FillState(Api& api) {
  api.decode = [](Context* c, Batch batch) {
    return FakeContext::Of(c).faults.decode ? 2 : FakeContext::Of(c).Decode(batch);
  };
  api.synchronize = [](Context*) {};
  api.memory_seq_rm = [](Memory* m, SequenceId sequence, Position from, Position to) {
    if (from > 0 || to >= 0 || FakeContext::Of(m).faults.seq_rm) {
      return false;  // Half of a sequence, which a recurrent state cannot give up.
    }
    FakeContext::Of(m).Remove(sequence);
    return true;
  };
  api.memory_seq_pos_max = [](Memory* m, SequenceId sequence) {
    const Position last = FakeContext::Of(m).PosMax(sequence);
    return last != -1 && FakeContext::Of(m).faults.pos_max ? last + 1 : last;
  };
  api.state_seq_get_size_ext = [](Context* c, SequenceId sequence, std::uint32_t flags) {
    const FakeContext& context = FakeContext::Of(c);
    return context.faults.get_size ? 0 : context.Save(sequence, flags).blob.size();
  };
  api.state_seq_get_data_ext = [](Context* c, std::uint8_t* out, std::size_t size,
                                  SequenceId sequence, std::uint32_t flags) {
    const Bytes blob = FakeContext::Of(c).Save(sequence, flags).blob;
    if (blob.size() > size) {
      return std::size_t{0};
    }
    std::memcpy(out, blob.data(), blob.size());
    return FakeContext::Of(c).faults.get_data ? blob.size() - 1 : blob.size();
  };
  api.state_seq_set_data_ext = [](Context* c, const std::uint8_t* from, std::size_t size,
                                  SequenceId sequence, std::uint32_t flags) {
    FakeContext& context = FakeContext::Of(c);
    context.restores += 1;
    const std::size_t taken =
        context.Restore(std::as_bytes(std::span(from, size)), sequence, flags);
    if (context.faults.set_data) {
      context.Remove(sequence);
      return std::size_t{0};
    }
    return context.faults.set_data_short ? taken - 1 : taken;
  };
}

inline Api MakeApi() {
  Api api{};
  api.version = [] { return TheMachine().version.c_str(); };
  api.print_system_info = [] { return TheMachine().system_info.c_str(); };
  api.dev_count = [] { return TheMachine().devices.size(); };
  api.dev_get = [](std::size_t i) { return reinterpret_cast<Device*>(&TheMachine().devices[i]); };
  api.dev_description = [](Device* d) {
    return reinterpret_cast<std::pair<std::string, std::int32_t>*>(d)->first.c_str();
  };
  api.dev_type = [](Device* d) {
    return reinterpret_cast<std::pair<std::string, std::int32_t>*>(d)->second;
  };
  api.get_model = [](const Context* c) { return reinterpret_cast<const Model*>(c); };
  api.get_memory = [](const Context* c) {
    return FakeContext::Of(c).config.no_memory ? nullptr
                                               : reinterpret_cast<Memory*>(const_cast<Context*>(c));
  };
  api.n_ctx = [](const Context* c) { return FakeContext::Of(c).config.n_ctx; };
  api.n_ctx_seq = [](const Context* c) {
    const Config& config = FakeContext::Of(c).config;
    return config.n_ctx / (config.kv_unified ? 1 : config.n_seq_max);
  };
  api.n_batch = [](const Context* c) { return FakeContext::Of(c).config.n_batch; };
  api.n_ubatch = [](const Context* c) { return FakeContext::Of(c).config.n_ubatch; };
  api.n_seq_max = [](const Context* c) { return FakeContext::Of(c).config.n_seq_max; };
  api.n_rs_seq = [](const Context* c) { return FakeContext::Of(c).config.n_rs_seq; };
  FillModel(api);
  FillState(api);
  return api;
}

/// llama_context_params as `config` would be made with.
inline ContextParams ParamsOf(const Config& config) {
  ContextParams params{};
  params.n_ctx = config.n_ctx;
  params.n_batch = config.n_batch;
  params.n_ubatch = config.n_ubatch;
  params.n_seq_max = config.n_seq_max;
  params.n_rs_seq = config.n_rs_seq;
  params.attention_type = kAttentionUnspecified;
  params.flash_attn_type = config.attention.transposed ? kFlashOff : kFlashOn;
  params.type_k = config.attention.type_k;
  params.type_v = config.attention.type_v;
  params.offload_kqv = true;
  params.swa_full = config.swa_full;
  params.kv_unified = config.kv_unified;
  return params;
}

/// Decodes `tokens` [from, to) of sequence `sequence` in one llama_decode.
inline std::int32_t DecodeRange(const Api& api, FakeContext& context, SequenceId sequence,
                                std::span<const Token> tokens, std::uint32_t from,
                                std::uint32_t to) {
  const std::uint32_t count = to - from;
  std::vector<Token> batch(tokens.begin() + from, tokens.begin() + to);
  std::vector<Position> positions(count);
  std::vector<std::int32_t> counts(count, 1);
  std::vector<SequenceId*> sequences(count, &sequence);
  std::vector<std::int8_t> logits(count, 0);
  for (std::uint32_t i = 0; i < count; ++i) {
    positions[i] = static_cast<Position>(from + i);
  }
  return api.decode(context.get(), {.n_tokens = static_cast<std::int32_t>(count),
                                    .token = batch.data(),
                                    .embd = nullptr,
                                    .pos = positions.data(),
                                    .n_seq_id = counts.data(),
                                    .seq_id = sequences.data(),
                                    .logits = logits.data()});
}

/// Decodes up to `to` from where the sequence is, in the batches of a cold prefill.
inline void Prefill(FakeContext& context, SequenceId sequence, std::span<const Token> tokens,
                    std::uint32_t to) {
  const Config& config = context.config;
  const std::uint32_t batch = std::max(config.n_batch / config.n_ubatch, 1U) * config.n_ubatch;
  auto at = static_cast<std::uint32_t>(context.PosMax(sequence) + 1);
  while (at < to) {
    const std::uint32_t stop = std::min(at + batch, to);
    if (DecodeRange(MakeApi(), context, sequence, tokens, at, stop) != 0) {
      throw std::runtime_error("the fake cannot decode");
    }
    at = stop;
  }
}

/// Tokens that no two seeds share.
inline std::vector<Token> MakeTokens(std::uint32_t count, std::uint64_t seed = 1) {
  std::vector<Token> tokens(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<Token>(Mix(seed, i) % 32'000);
  }
  return tokens;
}

}  // namespace cairn::llamacpp::fake
