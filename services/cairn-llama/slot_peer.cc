#include "services/cairn-llama/slot_peer.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace cairn::llama {

using llamacpp::Position;
using llamacpp::Token;

Result<SlotPeer> SlotPeer::Open(const Engine& engine, std::string file) {
  SlotPeer peer(engine, std::move(file));
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(engine.library().Symbol(name));
    return function != nullptr;
  };
  if (!find(peer.save_, "llama_state_seq_save_file") ||
      !find(peer.load_, "llama_state_seq_load_file") ||
      !find(peer.pos_min_, "llama_memory_seq_pos_min")) {
    return Fail(ErrorCode::kNotFound, "llama.cpp lacks the functions that save slots");
  }
  return peer;
}

Status SlotPeer::Save(std::span<const Token> tokens) const {
  if (save_(engine_.context(), file_.c_str(), 0, tokens.data(), tokens.size()) == 0) {
    return Fail(ErrorCode::kIo, "llama.cpp cannot save its slot to " + file_);
  }
  return {};
}

Result<std::uint32_t> SlotPeer::Restore(std::span<const Token> prompt) const {
  const llamacpp::Api& api = engine_.library().api();
  llamacpp::Memory* const memory = api.get_memory(engine_.context());
  api.memory_seq_rm(memory, 0, -1, -1);
  std::vector<Token> saved(api.n_ctx(engine_.context()));
  std::size_t count = 0;
  if (load_(engine_.context(), file_.c_str(), 0, saved.data(), saved.size(), &count) == 0) {
    return Fail(ErrorCode::kIo, "llama.cpp cannot restore its slot from " + file_);
  }
  saved.resize(count);
  const auto common = std::mismatch(saved.begin(), saved.end(), prompt.begin(), prompt.end());
  auto kept = static_cast<std::int32_t>(common.first - saved.begin());
  const bool new_tokens = kept < static_cast<std::int32_t>(prompt.size());
  const std::int32_t window = api.model_n_swa(api.get_model(engine_.context()));
  // A recurrent state is at one position only, so this is the last one.
  const Position oldest = pos_min_(memory, 0);
  if (kept > 0 && oldest >= std::max(0, kept - window - (new_tokens ? 0 : 1))) {
    kept = 0;  // "forcing full prompt re-processing"
  }
  kept -= kept == static_cast<std::int32_t>(prompt.size()) && kept > 0 ? 1 : 0;
  if (!api.memory_seq_rm(memory, 0, kept, -1)) {
    kept = 0;
    api.memory_seq_rm(memory, 0, -1, -1);
  }
  return static_cast<std::uint32_t>(kept);
}

}  // namespace cairn::llama
