#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "libcache/base/result.h"
#include "libcache/connector/llamacpp/library.h"

namespace cairn::llama {

/// kTiny: about 1 MB, four layers, as fast as can be. kMedium: 125 to 150 MB, with the proportions
/// of a small real model; a core prefills some hundreds of tokens per second.
enum class ModelSize { kTiny, kMedium };

struct RandomModelOptions {
  std::string arch;  ///< One of RandomModelArchs().
  ModelSize size = ModelSize::kTiny;
  std::uint64_t seed = 1;
  std::string path;
};

/// The architectures that can be written, by their name in GGUF files, sorted.
std::span<const std::string_view> RandomModelArchs();

/// Writes a GGUF file with random weights, for tests and measurements of the machinery around a
/// model. It says nothing sensible, but it behaves like a model: its tokens are the bytes of any
/// UTF-8 text, what it generates is printable ASCII (and so survives being tokenized again), its
/// logits spread over a few units, and they depend on the whole context.
///
/// The same options give the same bytes on the same kind of machine; another seed gives another
/// model of the same shape. The file appears under its name only when it is complete.
///
/// Errors: kInvalidArgument (unknown arch; the message lists them), kIo, kNotFound (the library
/// lacks the functions that write GGUF).
Status WriteRandomModel(const llamacpp::Library& library, const RandomModelOptions& options);

}  // namespace cairn::llama
