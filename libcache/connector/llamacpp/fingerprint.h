#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "libcache/base/fidelity.h"
#include "libcache/base/result.h"
#include "libcache/connector/llamacpp/abi.h"

namespace cairn::llamacpp {

/// How alike results with and without the cache are (docs/engines/llama.cpp.md): exact, bit for
/// bit: states at multiples of the physical batch, same kernels only; near: states anywhere, also
/// of generated tokens, which differs as another batch size does. There is no compact: the layout
/// of llama.cpp's states is its own. Errors: kInvalidArgument.
Result<Fidelity> ParseFidelity(const std::string& name);

/// What identifies the weights in a GGUF file: a digest of every byte, or, sooner but only on this
/// machine and until the file is touched, which file it is (device, inode, length, time).
enum class WeightsId : std::uint8_t { kDigest, kFile };

/// Called while files are read; `done` in [0, 1].
using Progress = std::function<void(double done)>;

/// "xxh3-128:..." or "file:...". Of a model in several files ("...-00001-of-00003.gguf") all count.
/// Errors: kNotFound, kIo.
Result<std::string> IdentifyWeights(const std::string& path, WeightsId how,
                                    const Progress& progress = nullptr);

/// "qwen3next/Qwen3-Next-80B": architecture and name as the model says, for people.
std::string ModelName(const Api& api, const Model* model);

/// Digest of all that a model says of itself (hyperparameters, tokenizer settings, sizes) and of
/// what the caller overrode: "llama.cpp" caches of one file may differ by it.
std::string ModelDigest(const Api& api, const Model* model, const ModelParams& params);

/// Whether the model's own metadata says that its attention is not causal.
bool SaysNotCausal(const Api& api, const Model* model);

struct KernelOptions {
  Fidelity fidelity = Fidelity::kExact;
  std::uint32_t grid_tokens = 0;
  std::string engine_build;  ///< Counts in exact fidelity.
};

/// What computes the state: release, fidelity, and a digest of the settings on which numbers
/// depend, the environment variables that llama.cpp reads included. Exact: also the build, the
/// processor's features, the devices and the grid.
std::string KernelText(const Api& api, const Context* context, const ContextParams& context_params,
                       const ModelParams& model_params, const KernelOptions& options);

/// XXH3-128 in hex, low half first, each little-endian.
std::string HexDigest(std::string_view text);

}  // namespace cairn::llamacpp
