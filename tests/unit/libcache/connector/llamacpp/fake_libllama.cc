// Shared libraries that tell of themselves what a libllama.so of release 0.5.0 would tell, or
// something else. Built once for each variant of library_test.cc (tests/CMakeLists.txt).
#include <array>
#include <cstddef>
#include <cstdint>

#include "libcache/connector/llamacpp/abi.h"

#ifndef FAKE_CONTEXT_MORE
#define FAKE_CONTEXT_MORE 0  // Bytes that llama_context_params has more.
#endif
#ifndef FAKE_MODEL_MORE
#define FAKE_MODEL_MORE 0
#endif
#ifndef FAKE_UBATCH
#define FAKE_UBATCH 512  // Where n_ubatch should be.
#endif
#ifndef FAKE_GPU_LAYERS
#define FAKE_GPU_LAYERS -1
#endif
#ifndef FAKE_DEVICES
#define FAKE_DEVICES 1  // Once the backends are loaded.
#endif

using cairn::llamacpp::ContextParams;
using cairn::llamacpp::ModelParams;

namespace {

template <class Params, std::size_t kMore>
struct Longer {
  Params params;
  std::array<unsigned char, kMore> more;
};
template <class Params>
struct Longer<Params, 0> {
  Params params;
};

using MadeContext = Longer<ContextParams, FAKE_CONTEXT_MORE>;
using MadeModel = Longer<ModelParams, FAKE_MODEL_MORE>;
static_assert(sizeof(MadeContext) == 160 + FAKE_CONTEXT_MORE);
static_assert(sizeof(MadeModel) == 80 + FAKE_MODEL_MORE);

std::size_t devices = 0;
int initialised = 0;

}  // namespace

extern "C" {

#ifdef FAKE_VERSION
const char* llama_version() { return FAKE_VERSION; }
#endif

MadeContext llama_context_default_params() {
  MadeContext made{};
  ContextParams& c = made.params;
  c.n_ctx = 512;
  c.n_batch = 2048;
  c.n_ubatch = FAKE_UBATCH;
  c.n_seq_max = 1;
  c.attention_type = cairn::llamacpp::kAttentionUnspecified;
  c.flash_attn_type = cairn::llamacpp::kFlashAuto;
  c.yarn_beta_slow = -1.0F;
  c.type_k = c.type_v = cairn::llamacpp::kF16;
  c.offload_kqv = c.no_perf = c.op_offload = c.swa_full = true;
  return made;
}

MadeModel llama_model_default_params() {
  MadeModel made{};
  ModelParams& m = made.params;
  m.n_gpu_layers = FAKE_GPU_LAYERS;
  m.split_mode = 1;
  m.load_mode = -1;
  m.lazy_mode = 1;
  m.use_extra_bufts = true;
  return made;
}

std::size_t ggml_backend_dev_count() { return devices; }
void ggml_backend_load_all_from_path(const char*) { devices = FAKE_DEVICES; }
void llama_backend_init() { ++initialised; }
int fake_initialised() { return initialised; }
void llama_log_set(void (*log)(std::int32_t, const char*, void*), void* data) {
  log(3, "from the library", data);
}
const char* llama_print_system_info() { return "system"; }
bool llama_model_is_hybrid(const void*) { return true; }

// Only their names are asked for.
#define FAKE(name) \
  void name() {}
FAKE(ggml_backend_dev_get)
FAKE(ggml_backend_dev_description)
FAKE(ggml_backend_dev_type)
FAKE(llama_get_model)
FAKE(llama_get_memory)
FAKE(llama_n_ctx)
FAKE(llama_n_ctx_seq)
FAKE(llama_n_batch)
FAKE(llama_n_ubatch)
FAKE(llama_n_seq_max)
FAKE(llama_n_rs_seq)
FAKE(llama_model_desc)
FAKE(llama_model_meta_count)
FAKE(llama_model_meta_key_by_index)
FAKE(llama_model_meta_val_str_by_index)
FAKE(llama_model_size)
FAKE(llama_model_n_params)
FAKE(llama_model_n_swa)
FAKE(llama_model_has_encoder)
FAKE(llama_model_is_recurrent)
FAKE(llama_model_is_diffusion)
FAKE(llama_decode)
FAKE(llama_synchronize)
#ifndef FAKE_LACKS_MEMORY
FAKE(llama_memory_seq_rm)
FAKE(llama_memory_seq_pos_max)
#endif
FAKE(llama_state_seq_get_size_ext)
FAKE(llama_state_seq_get_data_ext)
FAKE(llama_state_seq_set_data_ext)

}  // extern "C"
