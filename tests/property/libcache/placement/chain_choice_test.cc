#include "libcache/placement/chain_choice.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

namespace cairn {
namespace {

/// The objective as the header states it, for ascending indices.
double GainOf(const std::vector<ChainCandidate>& candidates, const ChainCosts& costs,
              const std::vector<std::size_t>& chosen) {
  double gain = 0;
  std::uint32_t above = costs.resume;
  for (const std::size_t i : chosen) {
    double returns = 0;
    for (std::size_t j = i; j < candidates.size(); ++j) {
      returns += candidates[j].returns;
    }
    gain += returns * costs.cost.Between(above, candidates[i].position) -
            candidates[i].cost_per_byte * static_cast<double>(costs.checkpoint_bytes);
    above = candidates[i].position;
  }
  if (!chosen.empty() && above > costs.kv_resident) {
    gain -= candidates[chosen.back()].cost_per_byte *
            static_cast<double>(costs.kv_bytes_per_token) * (above - costs.kv_resident);
  }
  return gain;
}

RC_GTEST_PROP(ChainChoiceProperty, NoOtherSetGainsMore, ()) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  const auto n = *rc::gen::inRange<std::size_t>(0, 11);
  std::mt19937_64 random(seed);
  const auto unit = [&random] { return static_cast<double>(random() % 1000) / 1000; };
  ChainCosts costs{.cost = {.per_token_s = 1e-3, .per_pair_s = random() % 2 == 0 ? 0 : 1e-6},
                   .checkpoint_bytes = random() % 5 * 1000,
                   .kv_bytes_per_token = random() % 5,
                   .resume = static_cast<std::uint32_t>(random() % 500)};
  costs.kv_resident = costs.resume + static_cast<std::uint32_t>(random() % 2000);
  const double dear = std::pow(10.0, -8 + 5 * unit());
  std::vector<ChainCandidate> candidates;
  std::uint32_t position = costs.resume;
  for (std::size_t i = 0; i < n; ++i) {
    position += 1 + static_cast<std::uint32_t>(random() % 800);
    candidates.push_back({.position = position,
                          .returns = random() % 4 == 0 ? 0 : unit() / 5,
                          .cost_per_byte = random() % 8 == 0 ? 0 : dear * unit()});
  }
  for (std::size_t limit = 0; limit <= n + 1; ++limit) {
    const auto best = BestChain(candidates, costs, limit == n + 1 ? ~std::size_t{0} : limit);
    RC_ASSERT(best.size() <= limit);
    RC_ASSERT(std::adjacent_find(best.begin(), best.end(), std::greater_equal<>()) == best.end());
    double most = 0;
    for (std::uint32_t set = 0; set < (1U << n); ++set) {
      std::vector<std::size_t> chosen;
      for (std::size_t i = 0; i < n; ++i) {
        if ((set >> i & 1U) != 0) {
          chosen.push_back(i);
        }
      }
      if (chosen.size() <= limit) {
        most = std::max(most, GainOf(candidates, costs, chosen));
      }
    }
    RC_ASSERT(std::abs(GainOf(candidates, costs, best) - most) <= 1e-9 * (1 + most));
  }
}

}  // namespace
}  // namespace cairn
