#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "libcache/base/result.h"
#include "services/cairn-llama/engine.h"

namespace cairn::llama {

/// What llama-server does with a saved slot, over the same calls: the peer to measure against.
/// llama-server itself is not part of the libraries; this follows its rule for how much of a
/// restored slot it may keep (tools/server/server-context.cpp of release 0.5.0), which for a state
/// that cannot be rewound is nothing.
class SlotPeer {
 public:
  /// Uses sequence 0. `file` is written by Save. Errors: kNotFound.
  static Result<SlotPeer> Open(const Engine& engine, std::string file);

  /// `POST /slots/0?action=save` after `tokens`. Errors: kIo.
  Status Save(std::span<const llamacpp::Token> tokens) const;
  /// `?action=restore` into the emptied sequence, then the start of a request for `prompt`: the
  /// number of its tokens that the server would take from the slot (cache_n). The sequence holds
  /// just these.
  Result<std::uint32_t> Restore(std::span<const llamacpp::Token> prompt) const;

 private:
  SlotPeer(const Engine& engine, std::string file) : engine_(engine), file_(std::move(file)) {}

  const Engine& engine_;
  std::string file_;
  std::size_t (*save_)(llamacpp::Context*, const char*, std::int32_t, const llamacpp::Token*,
                       std::size_t) = nullptr;
  std::size_t (*load_)(llamacpp::Context*, const char*, std::int32_t, llamacpp::Token*, std::size_t,
                       std::size_t*) = nullptr;
  llamacpp::Position (*pos_min_)(llamacpp::Memory*, llamacpp::SequenceId) = nullptr;
};

}  // namespace cairn::llama
