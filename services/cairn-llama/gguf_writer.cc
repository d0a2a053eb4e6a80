#include "services/cairn-llama/gguf_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <numeric>
#include <string_view>
#include <type_traits>
#include <utility>

#include "libcache/base/check.h"
#include "libcache/base/errno_text.h"

namespace cairn::llama {
namespace {

/// gguf_type, of the arrays that a GgufValue can be.
template <class Element>
constexpr int kArrayType = -1;
template <>
constexpr int kArrayType<std::uint32_t> = 4;
template <>
constexpr int kArrayType<std::int32_t> = 5;
template <>
constexpr int kArrayType<float> = 6;

/// ggml_init_params.
struct InitParams {
  std::size_t mem_size;
  void* mem_buffer;
  bool no_alloc;
};

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

Error Failed(const std::string& what, const std::string& path) {
  return {ErrorCode::kIo, what + " " + path + ": " + ErrnoText()};
}

bool WriteBytes(std::FILE* file, const void* data, std::size_t bytes) {
  return std::fwrite(data, 1, bytes, file) == bytes;
}

}  // namespace

/// The part of gguf.h and ggml.h that is needed; contexts and tensors are only passed through.
struct GgufWriter::Functions {
  void* (*init_empty)();
  void (*free)(void*);
  void (*set_bool)(void*, const char*, bool);
  void (*set_u32)(void*, const char*, std::uint32_t);
  void (*set_f32)(void*, const char*, float);
  void (*set_text)(void*, const char*, const char*);
  void (*set_array)(void*, const char*, int, const void*, std::size_t);
  void (*set_text_array)(void*, const char*, const char**, std::size_t);
  void (*add_tensor)(void*, const void*);
  std::size_t (*meta_size)(const void*);
  void (*meta_data)(const void*, void*);
  std::size_t (*alignment)(const void*);
  std::size_t (*tensor_offset)(const void*, std::int64_t);
  std::size_t (*tensor_size)(const void*, std::int64_t);

  void* (*ggml_init)(InitParams);
  void (*ggml_free)(void*);
  std::size_t (*tensor_overhead)();
  void* (*new_tensor)(void*, int, int, const std::int64_t*);
  void* (*set_name)(void*, const char*);
  void (*to_f16)(const float*, std::uint16_t*, std::int64_t);
};

std::size_t GgufTensor::Elements() const {
  return static_cast<std::size_t>(
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
}

GgufWriter::GgufWriter(std::shared_ptr<const Functions> functions, Handle gguf)
    : functions_(std::move(functions)), gguf_(std::move(gguf)) {}

Result<GgufWriter> GgufWriter::Create(const llamacpp::Library& library) {
  const auto functions = std::make_shared<Functions>();
  std::string missing;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(library.Symbol(name));
    if (function == nullptr) {
      missing += (missing.empty() ? "" : ", ") + std::string(name);
    }
  };
  find(functions->init_empty, "gguf_init_empty");
  find(functions->free, "gguf_free");
  find(functions->set_bool, "gguf_set_val_bool");
  find(functions->set_u32, "gguf_set_val_u32");
  find(functions->set_f32, "gguf_set_val_f32");
  find(functions->set_text, "gguf_set_val_str");
  find(functions->set_array, "gguf_set_arr_data");
  find(functions->set_text_array, "gguf_set_arr_str");
  find(functions->add_tensor, "gguf_add_tensor");
  find(functions->meta_size, "gguf_get_meta_size");
  find(functions->meta_data, "gguf_get_meta_data");
  find(functions->alignment, "gguf_get_alignment");
  find(functions->tensor_offset, "gguf_get_tensor_offset");
  find(functions->tensor_size, "gguf_get_tensor_size");
  find(functions->ggml_init, "ggml_init");
  find(functions->ggml_free, "ggml_free");
  find(functions->tensor_overhead, "ggml_tensor_overhead");
  find(functions->new_tensor, "ggml_new_tensor");
  find(functions->set_name, "ggml_set_name");
  find(functions->to_f16, "ggml_fp32_to_fp16_row");
  if (!missing.empty()) {
    return Fail(ErrorCode::kNotFound,
                "llama.cpp's libraries cannot write GGUF files, they lack " + missing);
  }
  return GgufWriter(functions, Handle(functions->init_empty(), functions->free));
}

void GgufWriter::Set(const std::string& key, const GgufValue& value) {
  void* const gguf = gguf_.get();
  const char* const name = key.c_str();
  const auto set = [&]<class Value>(const Value& v) {
    if constexpr (std::is_same_v<Value, bool>) {
      functions_->set_bool(gguf, name, v);
    } else if constexpr (std::is_same_v<Value, std::uint32_t>) {
      functions_->set_u32(gguf, name, v);
    } else if constexpr (std::is_same_v<Value, float>) {
      functions_->set_f32(gguf, name, v);
    } else if constexpr (std::is_same_v<Value, std::string>) {
      functions_->set_text(gguf, name, v.c_str());
    } else if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
      std::vector<const char*> texts(v.size());
      std::transform(v.begin(), v.end(), texts.begin(),
                     [](const std::string& text) { return text.c_str(); });
      functions_->set_text_array(gguf, name, texts.data(), texts.size());
    } else {
      functions_->set_array(gguf, name, kArrayType<typename Value::value_type>, v.data(), v.size());
    }
  };
  std::visit(set, value);
}

void GgufWriter::AddTensor(GgufTensor tensor) {
  CAIRN_CHECK(tensor.type == llamacpp::kF32 || tensor.type == llamacpp::kF16);
  constexpr std::size_t kSlack = 1024;  // For the context's own alignment.
  // The description is copied out of this context at once, so it need not outlive the call.
  const Handle context(functions_->ggml_init({.mem_size = functions_->tensor_overhead() + kSlack,
                                              .mem_buffer = nullptr,
                                              .no_alloc = true}),
                       functions_->ggml_free);
  CAIRN_CHECK(context != nullptr);
  void* const description = functions_->new_tensor(
      context.get(), tensor.type, static_cast<int>(tensor.shape.size()), tensor.shape.data());
  functions_->set_name(description, tensor.name.c_str());
  functions_->add_tensor(gguf_.get(), description);
  tensors_.push_back(std::move(tensor));
}

Status GgufWriter::Write(const std::string& path, const Fill& fill) const {
  const std::string temporary = path + ".tmp." + std::to_string(getpid());
  File file(std::fopen(temporary.c_str(), "wb"), &std::fclose);
  if (file == nullptr) {
    return Fail(Failed("cannot create", temporary));
  }
  Status status = WriteTo(file.get(), fill);
  if (std::fclose(file.release()) != 0 && status) {
    status = Fail(Failed("cannot write", temporary));
  }
  if (status && std::rename(temporary.c_str(), path.c_str()) != 0) {
    status = Fail(Failed("cannot create", path));
  }
  if (!status) {
    std::remove(temporary.c_str());
  }
  return status;
}

Status GgufWriter::WriteTo(std::FILE* file, const Fill& fill) const {
  std::vector<char> meta(functions_->meta_size(gguf_.get()));
  functions_->meta_data(gguf_.get(), meta.data());
  bool written = WriteBytes(file, meta.data(), meta.size());

  const std::vector<char> padding(functions_->alignment(gguf_.get()));
  std::vector<float> values;
  std::vector<std::uint16_t> halves;
  std::size_t position = 0;
  for (std::size_t i = 0; written && i < tensors_.size(); ++i) {
    const GgufTensor& tensor = tensors_[i];
    const std::size_t elements = tensor.Elements();
    values.resize(elements);
    fill(i, values);
    const void* data = values.data();
    if (tensor.type == llamacpp::kF16) {
      halves.resize(elements);
      functions_->to_f16(values.data(), halves.data(), static_cast<std::int64_t>(elements));
      data = halves.data();
    }
    const std::size_t bytes = functions_->tensor_size(gguf_.get(), static_cast<std::int64_t>(i));
    CAIRN_CHECK(position == functions_->tensor_offset(gguf_.get(), static_cast<std::int64_t>(i)));
    CAIRN_CHECK(bytes == elements * (tensor.type == llamacpp::kF16 ? 2 : 4));
    const std::size_t pad = (padding.size() - bytes % padding.size()) % padding.size();
    written = WriteBytes(file, data, bytes) && WriteBytes(file, padding.data(), pad);
    position += bytes + pad;
  }
  if (!written) {
    return Fail(ErrorCode::kIo, "cannot write the model: " + ErrnoText());
  }
  return {};
}

}  // namespace cairn::llama
