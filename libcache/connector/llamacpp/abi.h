#pragma once

#include <cstddef>
#include <cstdint>

/// The part of llama.cpp's C interface that Cairn uses, as of release 0.5.0 (include/llama.h). It
/// is written down here so that nothing of llama.cpp is needed to build Cairn. Structs that pass by
/// value have no stable layout from release to release: library.cc asserts them against the library
/// that it loads. A program that is compiled with llama.cpp's own headers may reinterpret its
/// pointers and structs as these, if its release is kLlamaVersion.
///
/// What a function means, its errors and who owns what is said in llama.h.
namespace cairn::llamacpp {

/// What llama_version() of the one release says whose layouts are written here.
inline constexpr const char* kLlamaVersion = "0.5.0";

struct Model;
struct Context;
struct Memory;
struct Vocab;
struct Device;  ///< ggml_backend_device.
using Token = std::int32_t;
using Position = std::int32_t;
using SequenceId = std::int32_t;

/// llama_model_params.
struct ModelParams {
  void* devices;
  const void* tensor_buft_overrides;
  std::int32_t n_gpu_layers;
  std::int32_t split_mode;
  std::int32_t load_mode;
  std::int32_t lazy_mode;
  std::int32_t main_gpu;
  const float* tensor_split;
  void* progress_callback;
  void* progress_callback_user_data;
  const void* kv_overrides;
  bool vocab_only;
  bool check_tensors;
  bool use_extra_bufts;
  bool no_host;
  bool no_alloc;
  bool load_mtp;
};
static_assert(sizeof(ModelParams) == 80);

/// llama_context_params.
struct ContextParams {
  std::uint32_t n_ctx;
  std::uint32_t n_batch;
  std::uint32_t n_ubatch;
  std::uint32_t n_seq_max;
  std::uint32_t n_rs_seq;
  std::uint32_t n_outputs_max;
  std::uint32_t n_outputs_max_per_seq;
  std::int32_t n_threads;
  std::int32_t n_threads_batch;
  std::int32_t ctx_type;
  std::int32_t rope_scaling_type;
  std::int32_t pooling_type;
  std::int32_t attention_type;
  std::int32_t flash_attn_type;
  float rope_freq_base;
  float rope_freq_scale;
  float yarn_ext_factor;
  float yarn_attn_factor;
  float yarn_beta_fast;
  float yarn_beta_slow;
  std::uint32_t yarn_orig_ctx;
  float defrag_thold;
  void* cb_eval;
  void* cb_eval_user_data;
  std::int32_t type_k;
  std::int32_t type_v;
  void* abort_callback;
  void* abort_callback_data;
  bool embeddings;
  bool offload_kqv;
  bool no_perf;
  bool op_offload;
  bool swa_full;
  bool kv_unified;
  void* samplers;
  std::size_t n_samplers;
  Context* ctx_other;
};
static_assert(sizeof(ContextParams) == 160);
static_assert(offsetof(ContextParams, flash_attn_type) == 52);
static_assert(offsetof(ContextParams, type_k) == 104);
static_assert(offsetof(ContextParams, kv_unified) == 133);

/// llama_batch.
struct Batch {
  std::int32_t n_tokens;
  Token* token;
  float* embd;
  Position* pos;
  std::int32_t* n_seq_id;
  SequenceId** seq_id;
  std::int8_t* logits;
};
static_assert(sizeof(Batch) == 56);

/// Values of ContextParams::flash_attn_type.
enum FlashAttention : std::int32_t { kFlashAuto = -1, kFlashOff = 0, kFlashOn = 1 };
/// Values of ContextParams::attention_type.
enum AttentionType : std::int32_t { kAttentionUnspecified = -1, kAttentionCausal = 0 };
/// Values of ContextParams::type_k and type_v, of ggml_type.
enum TensorType : std::int32_t { kF32 = 0, kF16 = 1, kQ4 = 2, kQ8 = 8, kBF16 = 30 };
/// llama_state_seq_flags.
inline constexpr std::uint32_t kWholeState = 0;
inline constexpr std::uint32_t kPartialState = 1;  ///< Recurrent state and sliding windows only.

/// The functions that the connector calls. Who links llama.cpp into a program of their own fills it
/// by hand; Library fills it from shared libraries. All must be set.
struct Api {
  const char* (*version)();
  const char* (*print_system_info)();
  std::size_t (*dev_count)();  ///< ggml_backend_dev_count, and so on.
  Device* (*dev_get)(std::size_t);
  const char* (*dev_description)(Device*);
  std::int32_t (*dev_type)(Device*);  ///< 0: the CPU.

  const Model* (*get_model)(const Context*);
  Memory* (*get_memory)(const Context*);
  std::uint32_t (*n_ctx)(const Context*);
  std::uint32_t (*n_ctx_seq)(const Context*);
  std::uint32_t (*n_batch)(const Context*);
  std::uint32_t (*n_ubatch)(const Context*);
  std::uint32_t (*n_seq_max)(const Context*);
  std::uint32_t (*n_rs_seq)(const Context*);

  std::int32_t (*model_desc)(const Model*, char*, std::size_t);
  std::int32_t (*model_meta_count)(const Model*);
  std::int32_t (*model_meta_key_by_index)(const Model*, std::int32_t, char*, std::size_t);
  std::int32_t (*model_meta_val_str_by_index)(const Model*, std::int32_t, char*, std::size_t);
  std::uint64_t (*model_size)(const Model*);
  std::uint64_t (*model_n_params)(const Model*);
  std::int32_t (*model_n_swa)(const Model*);
  bool (*model_has_encoder)(const Model*);
  bool (*model_is_recurrent)(const Model*);
  bool (*model_is_hybrid)(const Model*);
  bool (*model_is_diffusion)(const Model*);

  std::int32_t (*decode)(Context*, Batch);
  void (*synchronize)(Context*);

  bool (*memory_seq_rm)(Memory*, SequenceId, Position, Position);
  Position (*memory_seq_pos_max)(Memory*, SequenceId);

  std::size_t (*state_seq_get_size_ext)(Context*, SequenceId, std::uint32_t);
  std::size_t (*state_seq_get_data_ext)(Context*, std::uint8_t*, std::size_t, SequenceId,
                                        std::uint32_t);
  std::size_t (*state_seq_set_data_ext)(Context*, const std::uint8_t*, std::size_t, SequenceId,
                                        std::uint32_t);
};

}  // namespace cairn::llamacpp
