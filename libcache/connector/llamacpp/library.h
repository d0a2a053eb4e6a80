#pragma once

#include <memory>
#include <string>

#include "libcache/base/result.h"
#include "libcache/connector/llamacpp/abi.h"

namespace cairn::llamacpp {

/// llama.cpp, loaded at run time from a folder of shared libraries, such as that of the npm package
/// @node-llama-cpp/linux-x64 or of a build of one's own with BUILD_SHARED_LIBS.
///
/// One per process: llama.cpp's backends are global. Lives until the process ends, whatever becomes
/// of the object. Thread-safe after Open.
class Library {
 public:
  /// ggml_log_callback: level (3 a warning, 4 an error, 5 goes on with the last), text, user data.
  using LogFunction = void(std::int32_t level, const char* text, void* user_data);

  /// Loads, checks the release and the layouts of abi.h against it, and starts the backends.
  /// Errors: kNotFound (no such folder or library, or a function is missing), kUnsupported (another
  /// release, or layouts that differ). The message says what was found and what is needed.
  /// `log`: takes what llama.cpp says from now on (ggml_log_set); null: it goes to stderr.
  static Result<std::shared_ptr<const Library>> Open(const std::string& folder,
                                                     LogFunction* log = nullptr);

  /// Where Open finds the libraries if the user names no folder: $CAIRN_LLAMA_LIB, else what
  /// `./dev setup engine` installs beside the running program; "" if there is none.
  static std::string DefaultFolder();

  [[nodiscard]] const Api& api() const { return api_; }
  /// Digest of the libraries' bytes: two builds of one release may compute in other ways.
  [[nodiscard]] const std::string& build_id() const { return build_id_; }
  /// The library's own defaults.
  [[nodiscard]] const ModelParams& model_params() const { return model_params_; }
  [[nodiscard]] const ContextParams& context_params() const { return context_params_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }
  /// A function of any of the libraries; nullptr if there is none of that name.
  [[nodiscard]] void* Symbol(const char* name) const;
  template <class Function>
  [[nodiscard]] Function* Find(const char* name) const {
    return reinterpret_cast<Function*>(Symbol(name));
  }

 private:
  Library() = default;
  Status Load(const std::string& folder);
  Status Fill();
  Status CheckLayouts();
  Status StartBackends(LogFunction* log);
  Status IdentifyBuild();

  std::string folder_;
  std::string build_id_;
  void* handle_ = nullptr;
  Api api_{};
  ModelParams model_params_{};
  ContextParams context_params_{};
};

}  // namespace cairn::llamacpp
