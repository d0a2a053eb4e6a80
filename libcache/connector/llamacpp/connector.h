#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/connector/client.h"
#include "libcache/connector/llamacpp/abi.h"
#include "libcache/connector/llamacpp/fingerprint.h"
#include "libcache/connector/llamacpp/state_layout.h"

namespace cairn::llamacpp {

class Request;
class StateBlob;
class Storer;

struct ConnectorOptions {
  ClientOptions client;  ///< Where the cache is.
  std::string tenant = "default";
  std::string adapter;  ///< Names the LoRA and control vectors that are applied; "" for none.
  std::string salt;
  /// The model's GGUF file, to identify the weights by; or else `weights_id`, a name of the
  /// caller's that no two sets of weights share.
  std::string weights_path;
  std::string weights_id;
  WeightsId identify_by = WeightsId::kDigest;
  Progress progress;  ///< Of reading weights_path.
  /// What tells builds of llama.cpp apart, beyond the release: Library::build_id(), or the caller's
  /// own. Counts in exact fidelity.
  std::string engine_build;
  Fidelity fidelity = Fidelity::kExact;
  std::uint32_t block_tokens = 0;  ///< 0: 64, or the physical batch if that is no multiple of 64.
  std::chrono::milliseconds match_timeout{100};
  std::chrono::milliseconds load_timeout{5'000};
  std::chrono::milliseconds store_timeout{10'000};
  /// Captured bytes that may wait to be stored. What would go beyond is not stored, and counted.
  /// 0: the state of one sequence at its longest and four checkpoints, or 256 MiB if that is more.
  std::uint64_t store_queue_bytes = 0;
  /// Load whatever was found, even where computing it again is expected to be faster.
  bool always_load = false;
};

/// What the connector did since it was opened.
struct ConnectorCounters {
  std::uint64_t requests = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t resumed = 0;         ///< Requests.
  std::uint64_t resumed_tokens = 0;  ///< Not computed.
  std::uint64_t not_worth_it = 0;    ///< Found, but computing was expected to be faster.
  std::uint64_t failed_matches = 0;
  std::uint64_t failed_loads = 0;     ///< Bytes did not come, or not those that were stored.
  std::uint64_t rejected = 0;         ///< Bytes came, but were not the state that they should be.
  std::uint64_t failed_restores = 0;  ///< llama.cpp refused, or was not where it should be after.
  std::uint64_t captured = 0;         ///< States.
  std::uint64_t failed_captures = 0;
  std::uint64_t stored_objects = 0;
  std::uint64_t stored_bytes = 0;
  std::uint64_t dropped_stores = 0;  ///< Requests, for want of room in the queue.
  std::uint64_t failed_stores = 0;   ///< Requests.
};

/// How many tokens of a prompt go into one llama_decode: whole physical batches, so that the next
/// begins where one of a cold prefill does.
inline std::uint32_t WholeBatches(std::uint32_t n_batch, std::uint32_t n_ubatch) {
  return std::max(n_batch / n_ubatch, 1U) * n_ubatch;
}

/// What became of the cache for one request.
struct Resumption {
  std::uint32_t position = 0;  ///< Continue the prefill here; 0: cold.
  std::uint32_t overlap_tokens = 0;
  std::uint64_t bytes = 0;
  TierKind tier = TierKind::kNone;
  std::chrono::microseconds match{0};    ///< Asking.
  std::chrono::microseconds load{0};     ///< Bytes to this process, checked.
  std::chrono::microseconds restore{0};  ///< To llama.cpp's memory.
  std::optional<Error> error;  ///< Why not, if something went wrong; a plain miss is no error.
};

/// Cairn for one llama_context: puts back the state of a prompt's longest useful prefix, and keeps
/// states that will pay. docs/engines/llama.cpp.md tells how to use it.
///
/// Whatever goes wrong (no daemon, a late answer, damaged bytes, a state of another model) costs a
/// deadline at most and leaves the sequence empty, as a cold prefill needs it.
///
/// Not thread-safe: to be used by the thread that uses the context. Storing happens on a thread of
/// its own, from copies. Outlives its requests; the context outlives the connector.
class Connector {
 public:
  /// Learns how `context` keeps its state: decodes two tokens in sequence 0, which must be empty,
  /// and empties it again. `context_params`, `model_params`: what `context` was made with. No
  /// daemon is asked: it may come later. Errors: kUnsupported (encoders, diffusion, speculative
  /// contexts, a memory that Cairn does not know, ...), kInvalidArgument (the message names the
  /// option), kNotFound, kIo (weights_path).
  static Result<std::unique_ptr<Connector>> Open(const Api& api, Context* context,
                                                 const ContextParams& context_params,
                                                 const ModelParams& model_params,
                                                 ConnectorOptions options);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  /// Empties `sequence`, finds the prompt's longest prefix that can be resumed from, and restores
  /// it. Never fails: without a hit, or after an error, the sequence is empty. Waits for one match,
  /// one load and as long as a match again at most. A request before it in the same sequence ends.
  Request Begin(SequenceId sequence, std::span<const Token> prompt);

  /// Waits until all that was captured is stored or given up. False past the deadline.
  bool Flush(TimePoint deadline);

  /// What may share state with this context.
  [[nodiscard]] const NamespaceSpec& name_space() const { return spec_; }
  [[nodiscard]] const StateLayout& layout() const { return layout_; }
  [[nodiscard]] Fidelity fidelity() const { return options_.fidelity; }
  [[nodiscard]] ConnectorCounters counters() const;

 private:
  friend class Request;

  Connector(const Api& api, Context* context, ConnectorOptions options);
  [[nodiscard]] Status CheckSupported(const ContextParams& params) const;
  [[nodiscard]] Status CheckExact(const ContextParams& params,
                                  const ModelParams& model_params) const;
  Status Learn();
  Status Identify(const ContextParams& context_params, const ModelParams& model_params);
  Result<Client::Handle> Space(TimePoint deadline);
  [[nodiscard]] bool Has(SequenceId sequence) const;
  bool Empty(SequenceId sequence);
  void Resume(Request& request);
  std::optional<Boundary> Choose(const Client::Hit& hit, std::uint32_t prompt_tokens);
  Status Load(const Client::Hit& hit, Request& request);
  Status Restore(std::span<const std::byte> blob, Request& request);

  const Api api_;
  Context* const context_;
  const ConnectorOptions options_;
  StateLayout layout_;
  NamespaceSpec spec_;
  std::uint32_t grid_tokens_ = 0;
  bool fill_windows_ = false;
  std::uint32_t batch_tokens_ = 0;
  std::unique_ptr<Client> client_;
  std::optional<Client::Handle> space_;
  std::unique_ptr<StateBlob> blob_;
  std::unique_ptr<Storer> storer_;
  double prefill_us_per_token_ = 0;  // Of this context so far; 0: not known.
  std::uint64_t requests_ = 0;       // So far; numbers them.
  std::map<SequenceId, std::uint64_t> latest_;
  ConnectorCounters counters_;
};

}  // namespace cairn::llamacpp
