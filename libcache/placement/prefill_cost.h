#pragma once

#include <cstdint>

namespace cairn {

/// The potential D(p): seconds to prefill p tokens from nothing. Every token passes the weights,
/// and attends to all before it:
///   D(p) = per_token_s * p + per_pair_s * p^2 / 2
/// so late tokens are dearer. With per_pair_s = 0 it is linear, and saving time is saving tokens.
struct PrefillCost {
  double per_token_s = 0;
  double per_pair_s = 0;

  [[nodiscard]] double Seconds(double tokens) const {
    return tokens * (per_token_s + per_pair_s * tokens / 2);
  }
  [[nodiscard]] double Between(double from_tokens, double to_tokens) const {
    return Seconds(to_tokens) - Seconds(from_tokens);
  }
};

}  // namespace cairn
