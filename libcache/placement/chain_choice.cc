#include "libcache/placement/chain_choice.h"

#include <algorithm>

namespace cairn {

std::vector<std::size_t> BestChain(std::span<const ChainCandidate> candidates,
                                   const ChainCosts& costs, std::size_t limit) {
  struct Choice {
    double gain = 0;
    std::size_t above = 0;  // Index of the choice above plus one; 0 for the resumed boundary.
  };
  const std::size_t n = candidates.size();
  std::vector<double> from(n + 1, 0);
  for (std::size_t i = n; i > 0; --i) {
    from[i - 1] = from[i] + candidates[i - 1].returns;
  }
  const auto step = [&](std::size_t i, std::uint32_t above) {
    return from[i] * costs.cost.Between(above, candidates[i].position) -
           candidates[i].cost_per_byte * static_cast<double>(costs.checkpoint_bytes);
  };
  // Row m, place i: the best with m + 1 checkpoints of which the deepest is i. Without a limit one
  // row does, which looks back at itself.
  const bool unlimited = limit >= n;
  const std::size_t rows = unlimited ? 1 : limit;
  std::vector<Choice> choices(rows * n);
  double best = 0;
  std::size_t best_end = rows * n;
  for (std::size_t m = 0; m < rows; ++m) {
    for (std::size_t i = m; i < n; ++i) {
      Choice& choice = choices[m * n + i];
      choice.gain = step(i, costs.resume);
      // With a limit the row above starts at its own number: fewer places cannot hold as many.
      const std::size_t back = m == 0 ? 0 : (m - 1) * n;
      const std::size_t first = unlimited ? 0 : (m == 0 ? i : m - 1);
      for (std::size_t j = first; j < i; ++j) {
        const double gain = choices[back + j].gain + step(i, candidates[j].position);
        if (gain > choice.gain) {
          choice = {.gain = gain, .above = back + j + 1};
        }
      }
      const std::uint32_t kv_tokens =
          candidates[i].position - std::min(candidates[i].position, costs.kv_resident);
      const double kv_cost =
          candidates[i].cost_per_byte * static_cast<double>(costs.kv_bytes_per_token) * kv_tokens;
      if (choice.gain - kv_cost > best) {
        best = choice.gain - kv_cost;
        best_end = m * n + i;
      }
    }
  }
  std::vector<std::size_t> chosen;
  if (best_end < rows * n) {
    for (std::size_t at = best_end + 1; at > 0; at = choices[at - 1].above) {
      chosen.push_back((at - 1) % n);
    }
    std::reverse(chosen.begin(), chosen.end());
  }
  return chosen;
}

}  // namespace cairn
