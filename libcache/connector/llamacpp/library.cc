#include "libcache/connector/llamacpp/library.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

#include "libcache/connector/llamacpp/fingerprint.h"

namespace cairn::llamacpp {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInstall =
    "./dev setup engine installs the release that Cairn is tested with; or set CAIRN_LLAMA_LIB";

/// libllama.so, libllama.so.0 or libllama.v0.5.0.so; not libllama-common.so.
bool IsLlama(std::string_view name) {
  return name.starts_with("libllama.") && name.find(".so") != std::string_view::npos;
}

Result<fs::path> FindLlama(const std::string& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (IsLlama(it->path().filename().string())) {
      found.push_back(it->path());
    }
  }
  if (error) {
    return Fail(ErrorCode::kNotFound,
                "llama.cpp's libraries: " + folder + ": " + error.message() + "; " + kInstall);
  }
  if (found.empty()) {
    return Fail(ErrorCode::kNotFound, "there is no libllama in " + folder + "; " + kInstall);
  }
  return *std::min_element(found.begin(), found.end());  // The same one each time.
}

std::string LoaderError() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): glibc keeps it per thread.
  const char* const text = dlerror();
  return text == nullptr ? "unknown error" : text;
}

/// The bytes that `defaults`, which returns a struct by value, writes; 0 where it cannot be told.
/// A larger struct than ours would be written beyond the end of a variable, so room is left.
template <class Struct>
std::size_t WrittenBytes(void* defaults, Struct* value) {
  constexpr std::size_t kRoom = 1024;
  constexpr unsigned char kUntouched = 0xA5;
  alignas(16) std::array<unsigned char, kRoom> memory{};
  memory.fill(kUntouched);
  std::size_t written = 0;
#if defined(__x86_64__)
  // In this ABI a large struct is returned through a pointer that is passed like a first argument.
  reinterpret_cast<void* (*)(void*)>(defaults)(memory.data());
  written = kRoom;
  while (written > 0 && memory[written - 1] == kUntouched) {
    --written;
  }
#else
  struct Padded {
    Struct value;
    std::array<unsigned char, kRoom - sizeof(Struct)> room;
  };
  const Padded padded = reinterpret_cast<Padded (*)()>(defaults)();
  std::memcpy(memory.data(), &padded, sizeof(Struct));
#endif
  std::memcpy(static_cast<void*>(value), memory.data(), sizeof(Struct));
  return written;
}

}  // namespace

std::string Library::DefaultFolder() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody here changes the environment.
  if (const char* const named = std::getenv("CAIRN_LLAMA_LIB"); named != nullptr && *named != 0) {
    return named;
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  // build/release/bin/cairn-llama -> build/engine/llama.cpp
  const fs::path folder = program.parent_path().parent_path().parent_path() / "engine/llama.cpp";
  return !error && fs::is_directory(folder, error) ? folder.string() : "";
}

Result<std::shared_ptr<const Library>> Library::Open(const std::string& folder, LogFunction* log) {
  if (folder.empty()) {
    return Fail(ErrorCode::kNotFound,
                std::string("where llama.cpp's libraries are is not known; ") + kInstall);
  }
  std::shared_ptr<Library> library(new Library());
  Status opened = library->Load(folder);
  opened = opened ? library->Fill() : opened;
  opened = opened ? library->CheckLayouts() : opened;
  opened = opened ? library->StartBackends(log) : opened;
  opened = opened ? library->IdentifyBuild() : opened;
  if (!opened) {
    return Fail(opened.error());
  }
  return library;
}

void* Library::Symbol(const char* name) const {
  return handle_ == nullptr ? nullptr : dlsym(handle_, name);
}

Status Library::Load(const std::string& folder) {
  const auto path = FindLlama(folder);
  if (!path) {
    return Fail(path.error());
  }
  folder_ = folder;
  // Global: the backends that are loaded later look for libggml-base by name. Its own folder is in
  // each library's RUNPATH, so that this one brings the others; never closed.
  handle_ = dlopen(path->c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (handle_ == nullptr) {
    return Fail(ErrorCode::kNotFound, "llama.cpp cannot be loaded: " + LoaderError());
  }
  const auto version = Find<const char*()>("llama_version");
  const std::string found = version == nullptr ? "one that does not tell its release" : version();
  // The npm package's build of the release calls itself 0.5.0-dev; layouts are checked in any case.
  if (found != kLlamaVersion && !found.starts_with(std::string(kLlamaVersion) + "-")) {
    return Fail(ErrorCode::kUnsupported,
                path->string() + " is llama.cpp " + found + ", but only " + kLlamaVersion +
                    " is known to lay out its structs as Cairn expects; " + kInstall);
  }
  return {};
}

Status Library::Fill() {
  std::string missing;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(Symbol(name));
    if (function == nullptr) {
      missing += (missing.empty() ? "" : ", ") + std::string(name);
    }
  };
  find(api_.version, "llama_version");
  find(api_.print_system_info, "llama_print_system_info");
  find(api_.dev_count, "ggml_backend_dev_count");
  find(api_.dev_get, "ggml_backend_dev_get");
  find(api_.dev_description, "ggml_backend_dev_description");
  find(api_.dev_type, "ggml_backend_dev_type");
  find(api_.get_model, "llama_get_model");
  find(api_.get_memory, "llama_get_memory");
  find(api_.n_ctx, "llama_n_ctx");
  find(api_.n_ctx_seq, "llama_n_ctx_seq");
  find(api_.n_batch, "llama_n_batch");
  find(api_.n_ubatch, "llama_n_ubatch");
  find(api_.n_seq_max, "llama_n_seq_max");
  find(api_.n_rs_seq, "llama_n_rs_seq");
  find(api_.model_desc, "llama_model_desc");
  find(api_.model_meta_count, "llama_model_meta_count");
  find(api_.model_meta_key_by_index, "llama_model_meta_key_by_index");
  find(api_.model_meta_val_str_by_index, "llama_model_meta_val_str_by_index");
  find(api_.model_size, "llama_model_size");
  find(api_.model_n_params, "llama_model_n_params");
  find(api_.model_n_swa, "llama_model_n_swa");
  find(api_.model_has_encoder, "llama_model_has_encoder");
  find(api_.model_is_recurrent, "llama_model_is_recurrent");
  find(api_.model_is_hybrid, "llama_model_is_hybrid");
  find(api_.model_is_diffusion, "llama_model_is_diffusion");
  find(api_.decode, "llama_decode");
  find(api_.synchronize, "llama_synchronize");
  find(api_.memory_seq_rm, "llama_memory_seq_rm");
  find(api_.memory_seq_pos_max, "llama_memory_seq_pos_max");
  find(api_.state_seq_get_size_ext, "llama_state_seq_get_size_ext");
  find(api_.state_seq_get_data_ext, "llama_state_seq_get_data_ext");
  find(api_.state_seq_set_data_ext, "llama_state_seq_set_data_ext");
  if (!missing.empty()) {
    return Fail(ErrorCode::kNotFound, "llama.cpp in " + folder_ + " lacks " + missing);
  }
  return {};
}

/// The defaults of each struct are known: that they are found where we look says that the fields
/// are where we think, and how much is written says that there are no more of them.
Status Library::CheckLayouts() {
  void* const context_defaults = Symbol("llama_context_default_params");
  void* const model_defaults = Symbol("llama_model_default_params");
  if (context_defaults == nullptr || model_defaults == nullptr) {
    return Fail(ErrorCode::kNotFound, "llama.cpp in " + folder_ + " lacks its default parameters");
  }
  const std::size_t context_bytes = WrittenBytes(context_defaults, &context_params_);
  const std::size_t model_bytes = WrittenBytes(model_defaults, &model_params_);
  const ContextParams& c = context_params_;
  const ModelParams& m = model_params_;
  const bool context_fits =
      (context_bytes == 0 || context_bytes == sizeof(ContextParams)) && c.n_ctx == 512 &&
      c.n_batch == 2048 && c.n_ubatch == 512 && c.n_seq_max == 1 && c.n_rs_seq == 0 &&
      c.attention_type == kAttentionUnspecified && c.flash_attn_type == kFlashAuto &&
      c.yarn_beta_slow == -1.0F && c.yarn_orig_ctx == 0 && c.type_k == kF16 && c.type_v == kF16 &&
      c.abort_callback == nullptr && !c.embeddings && c.offload_kqv && c.no_perf && c.op_offload &&
      c.swa_full && !c.kv_unified && c.n_samplers == 0 && c.ctx_other == nullptr;
  // The last six bytes of the struct are booleans and padding: what is written ends before 80.
  const bool model_fits = (model_bytes == 0 || (model_bytes > sizeof(ModelParams) - sizeof(void*) &&
                                                model_bytes <= sizeof(ModelParams))) &&
                          m.n_gpu_layers == -1 && m.split_mode == 1 && m.load_mode == -1 &&
                          m.lazy_mode == 1 && m.main_gpu == 0 && m.kv_overrides == nullptr &&
                          !m.vocab_only && m.use_extra_bufts && !m.no_alloc && !m.load_mtp;
  if (!context_fits || !model_fits) {
    return Fail(ErrorCode::kUnsupported,
                std::string("llama.cpp in ") + folder_ + " calls itself " + kLlamaVersion +
                    ", but its llama_" + (context_fits ? "model" : "context") +
                    "_params are not laid out as in that release (" +
                    std::to_string(context_fits ? model_bytes : context_bytes) + " bytes, " +
                    std::to_string(context_fits ? sizeof(ModelParams) : sizeof(ContextParams)) +
                    " expected); " + kInstall);
  }
  return {};
}

Status Library::IdentifyBuild() {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (IsLlama(name) || (name.starts_with("libggml") && name.find(".so") != std::string::npos)) {
      files.push_back(it->path());
    }
  }
  std::sort(files.begin(), files.end());
  std::string digests;
  for (const fs::path& file : files) {
    const auto identified = IdentifyWeights(file.string(), WeightsId::kDigest);
    if (!identified) {
      return Fail(identified.error());
    }
    digests += *identified;
  }
  build_id_ = HexDigest(digests);
  return {};
}

Status Library::StartBackends(LogFunction* log) {
  const auto load = Find<void(const char*)>("ggml_backend_load_all_from_path");
  const auto init = Find<void()>("llama_backend_init");
  const auto devices = Find<std::size_t()>("ggml_backend_dev_count");
  const auto set_log = Find<void(LogFunction*, void*)>("llama_log_set");
  if (load == nullptr || init == nullptr || devices == nullptr || set_log == nullptr) {
    return Fail(ErrorCode::kNotFound, "llama.cpp in " + folder_ + " lacks its backends' functions");
  }
  if (log != nullptr) {
    set_log(log, nullptr);
  }
  if (devices() == 0) {
    load(folder_.c_str());
  }
  if (devices() == 0) {
    return Fail(ErrorCode::kNotFound, "llama.cpp in " + folder_ +
                                          " has no backend that runs here (libggml-cpu-*.so); " +
                                          kInstall);
  }
  init();
  return {};
}

}  // namespace cairn::llamacpp
