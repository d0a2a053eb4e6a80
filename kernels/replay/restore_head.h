#pragma once

#include "kernels/recurrent/rule.h"
#include "kernels/replay/cpu.h"

// One head of one layer on the CPU. Included once by each file compiled for an instruction set:
// what is in it must have no other copy for the linker to choose, so it has no functions of the
// standard library and a namespace without a name.
namespace cairn::kernels {
namespace {

[[maybe_unused]] void CopyFloats(const float* from, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    to[i] = from[i];
  }
}

template <class Vec>
class HeadReplay {
 public:
  HeadReplay(const cairn_kernels_replay& args, const Restore& restore, int layer, int head)
      : args_(args),
        restore_(restore),
        layer_(layer),
        head_(head),
        key_dim_(args.key_dim),
        channel_(TraitsOf(args.rule).channel),
        folded_(args.mode == CAIRN_KERNELS_REPLAY_FOLDED) {}

  /// The state rests in the target between blocks of tokens.
  void Run() {
    const std::int64_t elements = std::int64_t{args_.value_dim} * key_dim_;
    float* state = LayerOf<float>(args_.target, layer_) +
                   restore_.target * args_.target.slot_stride + head_ * elements;
    if (restore_.base < 0) {
      for (std::int64_t i = 0; i < elements; ++i) {
        state[i] = 0.0F;
      }
    } else {
      const float* from = LayerOf<const float>(args_.base, layer_) +
                          restore_.base * args_.base.slot_stride + head_ * elements;
      if (from != state) {
        CopyFloats(from, elements, state);
      }
    }
    const int most = ReplayTokens(key_dim_);
    for (std::int32_t at = 0; at < restore_.tokens; at += most) {
      tokens_ = restore_.tokens - at < most ? restore_.tokens - at : most;
      ReadBlock(at);
      for (int v = 0; v < args_.value_dim; ++v) {
        for (int t = 0; t < tokens_; ++t) {
          u_[t] = LogRow(args_.value, args_.value_layer_stride, layer_,
                         restore_.first_token + at + t, head_)[v];
        }
        for (int k = 0; k < key_dim_; k += kChannels) {
          float* part = state + std::int64_t{v} * key_dim_ + k;
          folded_ ? Folded(part, k) : Exact(part, k);
        }
      }
    }
  }

 private:
  static constexpr int kChannels = 64;  ///< Of one column, in registers over the block's tokens.
  static constexpr int kVectors = kChannels / Vec::kWidth;
  static constexpr int kMostTokens = 16;
  struct Part {
    Vec v[kVectors];
  };

  void ReadBlock(std::int32_t at) {
    const int key_head = head_ / (args_.value_heads / args_.key_heads);
    for (int t = 0; t < tokens_; ++t) {
      const std::int64_t token = restore_.first_token + at + t;
      CopyFloats(LogRow(args_.key, args_.key_layer_stride, layer_, token, key_head), key_dim_,
                 key_[t]);
      const float* gate = LogRow(args_.gate, args_.gate_layer_stride, layer_, token, head_);
      for (int k = 0; k < key_dim_; ++k) {
        decay_[t][k] = gate[channel_ ? k : 0];
      }
    }
    for (int k = 0; folded_ && k < key_dim_; ++k) {
      float weight = 1;
      for (int t = tokens_ - 1; t >= 0; --t) {
        key_[t][k] = key_[t][k] * weight;
        weight = weight * decay_[t][k];
      }
      total_[k] = weight;
    }
  }

  static Part Read(const float* from) {
    alignas(64) float aligned[kChannels];
    CopyFloats(from, kChannels, aligned);
    Part part;
    for (int i = 0; i < kVectors; ++i) {
      part.v[i] = Vec::Load(aligned + i * Vec::kWidth);
    }
    return part;
  }
  static void Write(const Part& part, float* to) {
    alignas(64) float aligned[kChannels];
    for (int i = 0; i < kVectors; ++i) {
      part.v[i].Store(aligned + i * Vec::kWidth);
    }
    CopyFloats(aligned, kChannels, to);
  }

  void Exact(float* state, int k) const {
    Part s = Read(state);
    for (int t = 0; t < tokens_; ++t) {
      const Vec u = Vec::Set(u_[t]);
      for (int i = 0; i < kVectors; ++i) {
        const int at = k + i * Vec::kWidth;
        s.v[i] = Vec::Fma(Vec::Load(key_[t] + at), u, Vec::Mul(Vec::Load(decay_[t] + at), s.v[i]));
      }
    }
    Write(s, state);
  }
  void Folded(float* state, int k) const {
    Part s = Read(state);
    for (int i = 0; i < kVectors; ++i) {
      s.v[i] = Vec::Mul(Vec::Load(total_ + k + i * Vec::kWidth), s.v[i]);
    }
    for (int t = 0; t < tokens_; ++t) {
      const Vec u = Vec::Set(u_[t]);
      for (int i = 0; i < kVectors; ++i) {
        s.v[i] = Vec::Fma(Vec::Load(key_[t] + k + i * Vec::kWidth), u, s.v[i]);
      }
    }
    Write(s, state);
  }

  const cairn_kernels_replay& args_;
  const Restore& restore_;
  const int layer_;
  const int head_;
  const int key_dim_;
  const bool channel_;
  const bool folded_;
  int tokens_ = 0;
  alignas(64) float key_[kMostTokens][256];
  alignas(64) float decay_[kMostTokens][256];
  alignas(64) float total_[256];
  float u_[kMostTokens];
};

}  // namespace
}  // namespace cairn::kernels
