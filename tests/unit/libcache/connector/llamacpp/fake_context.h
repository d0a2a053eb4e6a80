#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libcache/connector/llamacpp/abi.h"
#include "tests/unit/libcache/connector/llamacpp/fake_memory.h"

/// A model and its context, made of the memory in fake_memory.h. What it computes for a token is a
/// hash of the token and of all bytes of the sequence's state, which is made of such hashes itself:
/// after a wrong restore the next results are others than those of a cold prefill.
namespace cairn::llamacpp::fake {

struct Config {
  // The model.
  std::string architecture = "fake";
  std::string name = "Fake-1B";
  std::vector<std::pair<std::string, std::string>> more_meta;
  std::uint64_t weights = 1;
  AttentionShape attention;  ///< Of all tokens.
  AttentionShape window;     ///< Of sliding windows.
  RecurrentShape recurrent;
  bool encoder = false;
  bool diffusion = false;
  // The context.
  std::uint32_t n_ctx = 4096;
  std::uint32_t n_batch = 256;
  std::uint32_t n_ubatch = 64;
  std::uint32_t n_seq_max = 1;
  std::uint32_t n_rs_seq = 0;
  bool kv_unified = false;
  bool swa_full = true;
  bool no_memory = false;
  // How exact the arithmetic is to be. Results may depend on how tokens are cut into physical
  // batches and on the cells in which tokens lie, as sums of floating-point numbers do.
  bool by_batch = true;
  bool by_cell = true;
  bool shuffled = false;  ///< Tokens lie in cells in no order.
  std::chrono::microseconds per_token{0};
};

/// Calls that go wrong while the switch is set.
struct Faults {
  bool decode = false;
  bool get_size = false;
  bool get_data = false;        ///< Gives less than it said.
  bool set_data = false;        ///< Refuses, as for want of cells: the sequence is empty then.
  bool set_data_short = false;  ///< Leaves a state, but did not take all bytes.
  bool pos_max = false;         ///< One too many, of a sequence that is not empty.
  bool seq_rm = false;          ///< Removes nothing.
};

inline AttentionShape Layers(std::uint32_t layers) {
  AttentionShape shape;
  shape.layers = layers;
  return shape;
}
inline AttentionShape WindowOf(std::uint32_t tokens, std::uint32_t layers = 2) {
  AttentionShape shape = Layers(layers);
  shape.key_bytes = 20;
  shape.value_bytes = 12;
  shape.window_tokens = tokens;
  return shape;
}

// The kinds of models.
inline Config AttentionOnly() {
  Config config;
  config.attention = Layers(3);
  return config;
}
inline Config RecurrentOnly() {
  Config config;
  config.recurrent.layers = 4;
  return config;
}
inline Config Hybrid() {
  Config config;
  config.attention = Layers(2);
  config.recurrent.layers = 3;
  return config;
}
inline Config Windows(std::uint32_t window_tokens = 100) {
  Config config;
  config.attention = Layers(1);
  config.window = WindowOf(window_tokens);
  return config;
}
inline Config HybridWindows(std::uint32_t window_tokens = 100) {
  Config config = Windows(window_tokens);
  config.recurrent.layers = 2;
  return config;
}
inline Config Mla() {
  Config config = Hybrid();
  config.attention.value_bytes = 0;
  return config;
}
inline Config Transposed() {
  Config config = HybridWindows();
  config.attention.transposed = config.window.transposed = true;
  return config;
}
inline Config Mrope() {
  Config config = HybridWindows();
  config.attention.extension_bytes = config.window.extension_bytes = 12;
  return config;
}
/// `config`, computing what does not depend on batches or cells: the ideal of near fidelity.
inline Config Ideal(Config config) {
  config.by_batch = config.by_cell = false;
  return config;
}

class FakeContext {
 public:
  explicit FakeContext(const Config& c) : config(c) {
    const std::uint32_t streams = c.kv_unified ? 1 : c.n_seq_max;
    const std::uint32_t cells = c.n_ctx / streams;
    if (c.attention.layers != 0) {
      attention_.emplace(c.attention, streams, cells, c.shuffled);
    }
    if (c.window.layers != 0) {
      const std::uint32_t windows = c.window.window_tokens * (c.kv_unified ? c.n_seq_max : 1);
      window_.emplace(c.window, streams, c.swa_full ? cells : std::min(cells, windows + c.n_ubatch),
                      c.shuffled);
    }
    if (c.recurrent.layers != 0) {
      recurrent_.emplace(c.recurrent);
    }
    meta = {{"general.architecture", c.architecture}, {"general.name", c.name}};
    meta.insert(meta.end(), c.more_meta.begin(), c.more_meta.end());
  }

  [[nodiscard]] Context* get() { return reinterpret_cast<Context*>(this); }
  static FakeContext& Of(const void* handle) {
    return *const_cast<FakeContext*>(static_cast<const FakeContext*>(handle));
  }

  /// llama_memory_*::seq_pos_max: what all parts hold.
  [[nodiscard]] Position PosMax(SequenceId sequence) const {
    if (sequence < 0 || static_cast<std::uint32_t>(sequence) >= config.n_seq_max) {
      throw std::out_of_range("GGML_ASSERT(seq_id >= 0 && seq_id < n_seq_max)");  // It aborts.
    }
    std::optional<Position> last;
    const auto take = [&](const auto& part) {
      if (part) {
        const Position of_part = part->PosMax(sequence);
        last = std::min(last.value_or(of_part), of_part);
      }
    };
    // llama_kv_cache_iswa asks its windows only.
    if (window_) {
      take(window_);
    } else {
      take(attention_);
    }
    take(recurrent_);
    return last.value_or(-1);
  }
  void Remove(SequenceId sequence) {
    ForParts([&](auto& part, bool) { part.Remove(sequence); });
  }

  /// As a program does that makes room by giving up a sequence's begin.
  void RemoveBegin(SequenceId sequence, Position end) { attention_->Remove(sequence, end); }

  /// 0, or what llama_decode says. Positions must go on where the sequence ends.
  std::int32_t Decode(const Batch& batch) {
    if (batch.n_tokens <= 0 || batch.n_tokens > static_cast<std::int32_t>(config.n_batch)) {
      return -1;
    }
    const auto physical = static_cast<std::int32_t>(config.n_ubatch);
    for (std::int32_t i = 0; i < batch.n_tokens; ++i) {
      const std::int32_t first = i / physical * physical;
      const std::int32_t size = std::min(physical, batch.n_tokens - first);
      const SequenceId sequence = batch.seq_id[i][0];
      if (batch.pos[i] != PosMax(sequence) + 1) {
        return -1;
      }
      const std::uint64_t where =
          Mix(static_cast<std::uint64_t>(batch.pos[first]), static_cast<std::uint64_t>(size));
      if (!Step(sequence, batch.pos[i], batch.token[i], config.by_batch ? where : 0)) {
        return 1;
      }
    }
    decoded_tokens += static_cast<std::uint64_t>(batch.n_tokens);
    if (config.per_token.count() != 0) {
      std::this_thread::sleep_for(config.per_token * batch.n_tokens);
    }
    return 0;
  }
  /// Stands for the logits of the sequence's last token.
  [[nodiscard]] std::uint64_t Logits(SequenceId sequence) const { return logits_.at(sequence); }

  [[nodiscard]] Writer Save(SequenceId sequence, std::uint32_t flags) const {
    Writer out;
    out.Put(std::uint32_t{0xaf143cd8});
    out.Skipped(sequence);
    const bool partial = (flags & kPartialState) != 0 && (window_ || recurrent_);
    if (attention_ && !partial) {
      attention_->Write(out, sequence);
    }
    if (window_) {
      window_->Write(out, sequence);
    }
    if (recurrent_) {
      recurrent_->Write(out, sequence);
    }
    return out;
  }
  /// Bytes read; 0 if it was refused.
  std::size_t Restore(std::span<const std::byte> blob, SequenceId sequence, std::uint32_t flags) {
    Reader in(blob);
    const bool partial = (flags & kPartialState) != 0 && (window_ || recurrent_);
    Remove(sequence);
    try {
      in.Expect(std::uint32_t{0xaf143cd8});
      in.Next<SequenceId>();
      ForParts([&](auto& part, bool all_tokens) {
        if (!all_tokens || !partial) {
          part.Read(in, sequence);
        }
      });
    } catch (const std::exception&) {
      Remove(sequence);
      return 0;
    }
    return in.at();
  }

  const Config config;
  Faults faults;
  std::vector<std::pair<std::string, std::string>> meta;
  std::uint64_t decoded_tokens = 0;
  std::uint64_t restores = 0;

 private:
  template <class Body>
  void ForParts(const Body& body) {
    if (attention_) {
      body(*attention_, true);
    }
    if (window_) {
      body(*window_, false);
    }
    if (recurrent_) {
      body(*recurrent_, false);
    }
  }
  bool Step(SequenceId sequence, Position position, Token token, std::uint64_t where) {
    std::uint64_t hidden = Mix(config.weights, static_cast<std::uint64_t>(token));
    hidden = Mix(Mix(hidden, static_cast<std::uint64_t>(position)), where);
    const bool by_cell = config.by_cell;
    hidden = Mix(hidden, attention_ ? attention_->See(sequence, position, by_cell) : 0);
    hidden = Mix(hidden, window_ ? window_->See(sequence, position, by_cell) : 0);
    hidden = Mix(hidden, recurrent_ ? recurrent_->See(sequence) : 0);
    if ((attention_ && !attention_->Add(sequence, position, token, Mix(hidden, 1))) ||
        (window_ && !window_->Add(sequence, position, token, Mix(hidden, 2)))) {
      return false;
    }
    if (recurrent_) {
      recurrent_->Advance(sequence, position, Mix(hidden, 3));
    }
    logits_[sequence] = hidden;
    return true;
  }

  std::optional<Attention> attention_;
  std::optional<Attention> window_;
  std::optional<Recurrent> recurrent_;
  std::map<SequenceId, std::uint64_t> logits_;
};

}  // namespace cairn::llamacpp::fake
