#include "libcache/placement/chain_choice.h"

#include <algorithm>

#include "libcache/base/check.h"

namespace cairn {

void ChainChoice::Solve(std::span<const ChainCandidate> candidates, const ChainCosts& costs,
                        std::size_t limit) {
  const std::size_t n = candidates.size();
  candidates_ = n;
  unlimited_ = limit >= n;
  potential_.resize(n);
  from_.resize(n);
  kv_cost_.resize(n);
  double from = 0;
  for (std::size_t i = n; i > 0; --i) {
    const ChainCandidate& candidate = candidates[i - 1];
    from += candidate.returns;
    from_[i - 1] = from;
    potential_[i - 1] = costs.cost.Seconds(candidate.position);
    const std::uint32_t kv_tokens =
        candidate.position - std::min(candidate.position, costs.kv_resident);
    kv_cost_[i - 1] =
        candidate.cost_per_byte * static_cast<double>(costs.kv_bytes_per_token) * kv_tokens;
  }
  const std::size_t rows = unlimited_ ? std::min<std::size_t>(n, 1) : limit;
  choices_.resize(rows * n);
  ends_.resize(rows);
  const double resumed = costs.cost.Seconds(costs.resume);
  for (std::size_t m = 0; m < rows; ++m) {
    Choice* const row = choices_.data() + m * n;
    // With a limit the row above starts at its own number: fewer places cannot hold as many.
    const std::size_t back = m == 0 ? 0 : (m - 1) * n;
    End end = m == 0 ? End{} : ends_[m - 1];
    for (std::size_t i = m; i < n; ++i) {
      const double state_cost =
          candidates[i].cost_per_byte * static_cast<double>(costs.checkpoint_bytes);
      Choice choice{.gain = from_[i] * (potential_[i] - resumed) - state_cost, .above = 0};
      const std::size_t first = unlimited_ ? 0 : (m == 0 ? i : m - 1);
      for (std::size_t j = first; j < i; ++j) {
        const double gain =
            choices_[back + j].gain + (from_[i] * (potential_[i] - potential_[j]) - state_cost);
        if (gain > choice.gain) {
          choice = {.gain = gain, .above = static_cast<std::uint32_t>(back + j + 1)};
        }
      }
      row[i] = choice;
      if (choice.gain - kv_cost_[i] > end.gain) {
        end = {.gain = choice.gain - kv_cost_[i], .at = static_cast<std::uint32_t>(m * n + i + 1)};
      }
    }
    ends_[m] = end;
  }
}

const std::vector<std::size_t>& ChainChoice::Best(std::size_t limit) {
  chosen_.clear();
  if (limit == 0 || ends_.empty()) {
    return chosen_;
  }
  CAIRN_DCHECK(unlimited_ ? limit >= candidates_ : limit <= ends_.size());
  const End& end = unlimited_ ? ends_[0] : ends_[limit - 1];
  for (std::uint32_t at = end.at; at > 0; at = choices_[at - 1].above) {
    chosen_.push_back((at - 1) % candidates_);
  }
  std::reverse(chosen_.begin(), chosen_.end());
  return chosen_;
}

std::vector<std::size_t> BestChain(std::span<const ChainCandidate> candidates,
                                   const ChainCosts& costs, std::size_t limit) {
  ChainChoice choice;
  choice.Solve(candidates, costs, limit);
  return choice.Best(limit);
}

}  // namespace cairn
