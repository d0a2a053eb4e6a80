#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "libcache/connector/llamacpp/connector.h"
#include "libcache/connector/llamacpp/storer.h"

namespace cairn::llamacpp {

/// One prompt in one sequence, from Connector::Begin until its state is stored:
///
///   Request request = connector.Begin(sequence, prompt);
///   for (uint32_t at = request.position(); at < prompt.size(); at = request.position()) {
///     const uint32_t stop = request.NextStop();
///     ... llama_decode of prompt[at, stop), logits for the last token of the prompt ...
///     request.Decoded(stop);
///   }
///   ... sample the first token ...
///   request.EndPrompt();
///   ... generate ...
///   request.EndTurn(generated);
///
/// Ends when Begin is called for its sequence again: it keeps nothing from then on. May be dropped
/// at any time, for example when a decode fails. Requests of different sequences may be under way
/// at once. Not thread-safe: as the connector.
class Request {
 public:
  Request(Request&&) noexcept = default;
  ~Request();
  Request& operator=(Request&&) = delete;
  Request(const Request&) = delete;

  [[nodiscard]] const Resumption& resumption() const { return resumption_; }
  /// Tokens of the prompt that the sequence holds.
  [[nodiscard]] std::uint32_t position() const { return position_; }
  /// How far the next llama_decode may go: beyond position(), at most the prompt's length. In exact
  /// fidelity it must go just there, so that physical batches begin where they would without the
  /// cache, and hold no other sequence's tokens.
  [[nodiscard]] std::uint32_t NextStop() const;
  /// The sequence now holds the first `position` tokens. Keeps its state if that was planned.
  void Decoded(std::uint32_t position);
  /// Gives what is to be stored of the prompt to the connector's own thread; costs one copy of it.
  /// Best after the first token was sampled. Before the sequence is changed in another way.
  void EndPrompt();
  /// Near fidelity: keeps the state after prompt and `generated`, which the sequence now holds, for
  /// the conversation's next prompt. Exact fidelity: nothing, for what was generated token by token
  /// differs in its last bits from the same tokens as part of a prompt.
  void EndTurn(std::span<const Token> generated);

 private:
  friend class Connector;

  Request(Connector* connector, SequenceId sequence, std::uint64_t number,
          std::span<const Token> prompt);
  [[nodiscard]] std::uint32_t length() const { return static_cast<std::uint32_t>(tokens_.size()); }
  void Capture(std::uint32_t position);
  void Submit(std::uint32_t kv_to);
  std::optional<StoreJob::Blob> ReadState(std::uint32_t position, std::uint32_t flags);

  Connector* connector_;
  SequenceId sequence_;
  std::uint64_t number_;  // Of the connector's requests.
  std::vector<std::uint32_t> tokens_;
  Resumption resumption_;
  std::uint32_t position_ = 0;
  std::vector<std::uint32_t> plan_;  // Positions not yet reached, ascending.
  std::uint32_t stored_to_ = 0;      // KV up to here is in the cache.
  std::vector<StoreJob::Blob> checkpoints_;
  std::chrono::steady_clock::time_point began_;
  bool observed_ = false;
  bool dropped_ = false;  // Something found no room in the queue, which is counted once.
};

}  // namespace cairn::llamacpp
