#include "libcache/connector/llamacpp/fingerprint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "libcache/base/bytes.h"
#include "libcache/base/digest.h"
#include "libcache/base/errno_text.h"

namespace cairn::llamacpp {
namespace {

constexpr std::size_t kReadBytes = 4 * kMiB;
constexpr std::size_t kMostText = 4096;  // Of one metadata value; longer ones are cut by llama.cpp.
constexpr std::size_t kMostName = 200;

/// llama_model_kv_override: tag, key, value.
struct Override {
  std::int32_t tag;
  std::array<char, 128> key;
  alignas(8) std::array<char, 128> value;
};
static_assert(sizeof(Override) == 264);

std::string Hex(const Digest& digest) {
  std::array<std::byte, 16> bytes{};
  std::memcpy(bytes.data(), &digest.low, 8);
  std::memcpy(bytes.data() + 8, &digest.high, 8);
  return ToHex(bytes);
}

/// Gathers "name=value" lines, of which no two sets share a text.
class Description {
 public:
  void Add(const std::string& name, const std::string& value) {
    text_ += name + "=" + std::to_string(value.size()) + ":" + value + "\n";
  }
  void Add(const std::string& name, std::int64_t value) { Add(name, std::to_string(value)); }
  void Add(const std::string& name, float value) {
    Add(name, static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(value)));
  }
  [[nodiscard]] std::string HexDigest() const { return llamacpp::HexDigest(text_); }

 private:
  std::string text_;
};

class File {
 public:
  explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

tl::unexpected<Error> FileError(const std::string& path) {
  const int error = errno;
  return Fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
              path + ": " + ErrnoText(error));
}

/// All files of a split model ("...-00001-of-00003.gguf"), or just `path`.
std::vector<std::string> Parts(const std::string& path) {
  constexpr std::string_view kOf = "-of-";
  constexpr std::string_view kEnd = ".gguf";
  constexpr std::size_t kDigits = 5;
  constexpr std::size_t kFromIndex = kDigits + kOf.size() + kDigits + kEnd.size();
  const std::size_t index_at = path.size() - std::min(path.size(), kFromIndex);
  const std::size_t count_at = index_at + kDigits + kOf.size();
  // 0 if it is no number of that many digits.
  const auto number = [&](std::size_t at) {
    const std::string digits = path.substr(at, kDigits);
    return digits.find_first_not_of("0123456789") == std::string::npos ? std::stoi(digits) : 0;
  };
  const bool split = index_at > 0 && path[index_at - 1] == '-' && path.ends_with(kEnd) &&
                     path.compare(index_at + kDigits, kOf.size(), kOf) == 0;
  const int index = split ? number(index_at) : 0;
  const int count = split ? number(count_at) : 0;
  if (index < 1 || index > count) {
    return {path};  // "00001-of-00000" is a name, and no part of anything.
  }
  std::vector<std::string> parts;
  for (int i = 1; i <= count; ++i) {
    std::array<char, 16> digits{};
    std::snprintf(digits.data(), digits.size(), "%05d", i);
    parts.push_back(path.substr(0, index_at) + digits.data() + path.substr(index_at + kDigits));
  }
  return parts;
}

std::string MetaText(std::int32_t (*read)(const Model*, std::int32_t, char*, std::size_t),
                     const Model* model, std::int32_t index) {
  std::vector<char> buffer(kMostText);
  const std::int32_t length = read(model, index, buffer.data(), buffer.size());
  return length < 0 ? std::string()
                    : std::string(buffer.data(), strnlen(buffer.data(), buffer.size()));
}

template <class Body>
void ForMeta(const Api& api, const Model* model, const Body& body) {
  const std::int32_t count = api.model_meta_count(model);
  for (std::int32_t i = 0; i < count; ++i) {
    body(MetaText(api.model_meta_key_by_index, model, i),
         MetaText(api.model_meta_val_str_by_index, model, i));
  }
}

/// Models with long and short rope factors choose by the context's length.
void AddLongContext(const Api& api, const Context* context, Description& settings) {
  std::uint64_t trained = 0;
  bool original = false;
  ForMeta(api, api.get_model(context), [&](const std::string& key, const std::string& value) {
    const bool is_original = key.ends_with(".rope.scaling.original_context_length");
    if (is_original || (!original && key.ends_with(".context_length"))) {
      original |= is_original;
      std::from_chars(value.data(), value.data() + value.size(), trained);
    }
  });
  settings.Add("long_context", std::int64_t{api.n_ctx_seq(context) > trained});
}

/// llama.cpp and ggml read settings from the environment, some of which change what is stored
/// without changing its shape (LLAMA_ATTN_ROT_DISABLE rotates quantized keys). Which ones is not
/// written anywhere, so all count but those that are known not to.
void AddEnvironment(Description& settings) {
  std::vector<std::string> found;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if ((text.starts_with("LLAMA_") || text.starts_with("GGML_")) &&
        !text.starts_with("LLAMA_LOG_") && !text.starts_with("LLAMA_ARG_")) {
      found.emplace_back(text);
    }
  }
  std::sort(found.begin(), found.end());
  for (const std::string& text : found) {
    settings.Add("environment", text);
  }
}

}  // namespace

Result<Fidelity> ParseFidelity(const std::string& name) {
  for (const Fidelity fidelity : {Fidelity::kExact, Fidelity::kNear}) {
    if (name == FidelityName(fidelity)) {
      return fidelity;
    }
  }
  return Fail(ErrorCode::kInvalidArgument, "fidelity: \"" + name + "\" is neither exact nor near");
}

Result<std::string> IdentifyWeights(const std::string& path, WeightsId how,
                                    const Progress& progress) {
  const std::vector<std::string> parts = Parts(path);
  std::vector<struct stat> stats;
  std::uint64_t total = 0;
  for (const std::string& part : parts) {
    struct stat status {};
    if (stat(part.c_str(), &status) != 0) {
      return FileError(part);
    }
    total += static_cast<std::uint64_t>(status.st_size);
    stats.push_back(status);
  }
  if (how == WeightsId::kFile) {
    Description description;
    for (const struct stat& status : stats) {
      description.Add("device", static_cast<std::int64_t>(status.st_dev));
      description.Add("inode", static_cast<std::int64_t>(status.st_ino));
      description.Add("bytes", static_cast<std::int64_t>(status.st_size));
      description.Add("seconds", static_cast<std::int64_t>(status.st_mtim.tv_sec));
      description.Add("nanoseconds", static_cast<std::int64_t>(status.st_mtim.tv_nsec));
    }
    return "file:" + description.HexDigest();
  }
  Digester digester;
  std::vector<std::byte> buffer(kReadBytes);
  std::uint64_t done = 0;
  for (const std::string& part : parts) {
    const File file(part);
    if (file.fd() < 0) {
      return FileError(part);
    }
    for (;;) {
      const ssize_t bytes = read(file.fd(), buffer.data(), buffer.size());
      if (bytes < 0 && errno == EINTR) {
        continue;
      }
      if (bytes < 0) {
        return FileError(part);
      }
      if (bytes == 0) {
        break;
      }
      digester.Update(std::span(buffer).first(static_cast<std::size_t>(bytes)));
      done += static_cast<std::uint64_t>(bytes);
      if (progress) {
        progress(total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total));
      }
    }
  }
  return "xxh3-128:" + Hex(digester.Finish());
}

std::string ModelName(const Api& api, const Model* model) {
  std::string architecture = "unknown";
  std::string name;
  ForMeta(api, model, [&](const std::string& key, const std::string& value) {
    if (key == "general.architecture") {
      architecture = value;
    } else if (key == "general.name") {
      name = value;
    }
  });
  std::string text = name.empty() ? architecture : architecture + "/" + name;
  text.resize(std::min(text.size(), kMostName));
  // It is shown by tools: no control characters.
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; }, '?');
  return text;
}

std::string ModelDigest(const Api& api, const Model* model, const ModelParams& params) {
  Description description;
  std::array<char, 256> text{};
  api.model_desc(model, text.data(), text.size());
  description.Add("desc", std::string(text.data()));
  description.Add("bytes", static_cast<std::int64_t>(api.model_size(model)));
  description.Add("parameters", static_cast<std::int64_t>(api.model_n_params(model)));
  ForMeta(api, model,
          [&](const std::string& key, const std::string& value) { description.Add(key, value); });
  // Ends with an empty key (llama.h, llama_model_params::kv_overrides).
  const auto* entry = static_cast<const Override*>(params.kv_overrides);
  for (; entry != nullptr && entry->key[0] != 0; ++entry) {
    description.Add("override",
                    std::string(reinterpret_cast<const char*>(entry), sizeof(Override)));
  }
  return description.HexDigest();
}

bool SaysNotCausal(const Api& api, const Model* model) {
  bool says = false;
  ForMeta(api, model, [&](const std::string& key, const std::string& value) {
    says |= key.ends_with(".attention.causal") && value == "false";
  });
  return says;
}

std::string HexDigest(std::string_view text) {
  return Hex(DigestOf(std::as_bytes(std::span(text.data(), text.size()))));
}

std::string KernelText(const Api& api, const Context* context, const ContextParams& context_params,
                       const ModelParams& model_params, const KernelOptions& options) {
  const ContextParams& c = context_params;
  Description settings;
  settings.Add("rope_scaling_type", std::int64_t{c.rope_scaling_type});
  settings.Add("rope_freq_base", c.rope_freq_base);
  settings.Add("rope_freq_scale", c.rope_freq_scale);
  settings.Add("yarn_ext_factor", c.yarn_ext_factor);
  settings.Add("yarn_attn_factor", c.yarn_attn_factor);
  settings.Add("yarn_beta_fast", c.yarn_beta_fast);
  settings.Add("yarn_beta_slow", c.yarn_beta_slow);
  settings.Add("yarn_orig_ctx", std::int64_t{c.yarn_orig_ctx});
  settings.Add("attention_type", std::int64_t{c.attention_type});
  settings.Add("type_k", std::int64_t{c.type_k});
  settings.Add("type_v", std::int64_t{c.type_v});
  AddLongContext(api, context, settings);
  AddEnvironment(settings);
  std::string text = std::string(FidelityName(options.fidelity)) + " llama.cpp=" + api.version();
  if (options.fidelity == Fidelity::kExact) {
    settings.Add("build", options.engine_build);
    settings.Add("system", std::string(api.print_system_info()));
    for (std::size_t i = 0; i < api.dev_count(); ++i) {
      Device* const device = api.dev_get(i);
      if (api.dev_type(device) != 0) {
        settings.Add("device", std::string(api.dev_description(device)));
      }
    }
    settings.Add("n_ubatch", std::int64_t{api.n_ubatch(context)});
    settings.Add("flash_attn_type", std::int64_t{c.flash_attn_type});
    settings.Add("offload_kqv", std::int64_t{c.offload_kqv});
    settings.Add("op_offload", std::int64_t{c.op_offload});
    settings.Add("swa_full", std::int64_t{c.swa_full});
    settings.Add("n_gpu_layers", std::int64_t{model_params.n_gpu_layers});
    settings.Add("split_mode", std::int64_t{model_params.split_mode});
    settings.Add("main_gpu", std::int64_t{model_params.main_gpu});
    settings.Add("use_extra_bufts", std::int64_t{model_params.use_extra_bufts});
    settings.Add("no_host", std::int64_t{model_params.no_host});
    if (api.n_ubatch(context) == 1) {  // For a single token, attention is cut by threads.
      settings.Add("n_threads_batch", std::int64_t{c.n_threads_batch});
    }
    text += " grid=" + std::to_string(options.grid_tokens);
  }
  return text + " settings=" + settings.HexDigest();
}

}  // namespace cairn::llamacpp
