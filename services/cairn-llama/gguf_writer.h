#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/connector/llamacpp/library.h"

namespace cairn::llama {

/// A value of a GGUF file's metadata. llama.cpp asks for exact types: counts are uint32.
using GgufValue =
    std::variant<bool, std::uint32_t, float, std::string, std::vector<std::uint32_t>,
                 std::vector<std::int32_t>, std::vector<float>, std::vector<std::string>>;

struct GgufTensor {
  std::string name;
  llamacpp::TensorType type = llamacpp::kF32;  ///< kF32 or kF16.
  std::vector<std::int64_t> shape;             ///< 1 to 4 lengths, that of a row first.

  [[nodiscard]] std::size_t Elements() const;
};

/// Writes GGUF files with the functions of libggml-base, so that the format is llama.cpp's own.
/// What the tensors hold is asked for one tensor at a time and written at once: a file takes no
/// more memory than its largest tensor.
class GgufWriter {
 public:
  /// Errors: kNotFound (the library lacks a function).
  static Result<GgufWriter> Create(const llamacpp::Library& library);

  /// REQUIRES: no tensor was added with that key or name before.
  void Set(const std::string& key, const GgufValue& value);
  void AddTensor(GgufTensor tensor);

  /// Fills in the values of the tensor that was added as number `index`; they are converted to its
  /// type afterwards.
  using Fill = std::function<void(std::size_t index, std::span<float> values)>;
  /// Writes beside `path` and renames, so that what is at `path` is always complete. Errors: kIo.
  Status Write(const std::string& path, const Fill& fill) const;

 private:
  struct Functions;
  using Handle = std::unique_ptr<void, void (*)(void*)>;

  GgufWriter(std::shared_ptr<const Functions> functions, Handle gguf);
  Status WriteTo(std::FILE* file, const Fill& fill) const;

  std::shared_ptr<const Functions> functions_;
  Handle gguf_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace cairn::llama
