#include "libcache/published/rounded_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace cairn {

RoundedPlan::RoundedPlan(std::span<const double> counts, std::size_t budget)
    : bins_(counts.size() - 1),
      budget_(std::min(budget, bins_)),
      choice_(budget_ * (bins_ + 1), 0) {
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  std::vector<double> weight(bins_ + 1);
  std::vector<double> moment(bins_ + 1);
  double weight_sum = 0;
  double moment_sum = 0;
  for (std::size_t t = 0; t <= bins_; ++t) {
    const double share = counts[t] / total;
    weight[t] = weight_sum += share;
    moment[t] = moment_sum += static_cast<double>(t) * share;
  }
  std::vector<double> fewer = moment;
  std::vector<double> least(bins_ + 1, 0.0);
  for (std::size_t m = 0; m < budget_; ++m) {
    for (std::size_t j = 1; j <= bins_; ++j) {
      double best = std::numeric_limits<double>::infinity();
      std::uint32_t& chosen = choice_[m * (bins_ + 1) + j];
      for (std::size_t s = 1; s <= j; ++s) {
        // The parentheses are the point of this class.
        const double cost = ((fewer[s - 1] + moment[j]) - moment[s - 1]) -
                            static_cast<double>(s) * (weight[j] - weight[s - 1]);
        if (cost < best) {
          best = cost;
          chosen = static_cast<std::uint32_t>(s);
        }
      }
      least[j] = best;
    }
    std::swap(fewer, least);
    fewer[0] = 0;
  }
}

std::vector<std::uint32_t> RoundedPlan::Bins(std::uint32_t last_bin) const {
  std::vector<std::uint32_t> bins;
  std::size_t j = std::min<std::size_t>(last_bin, bins_);
  for (std::size_t m = budget_; m > 0 && j > 0; --m) {
    bins.push_back(choice_[(m - 1) * (bins_ + 1) + j]);
    j = bins.back() - 1;
  }
  std::reverse(bins.begin(), bins.end());
  return bins;
}

}  // namespace cairn
