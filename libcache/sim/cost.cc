#include "libcache/sim/cost.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace cairn::sim {
namespace {

constexpr double kFlopsPerParameter = 2;  // One multiplication and one addition.
constexpr double kFlopsPerPair = 4;       // Per dimension: the score, and the weighted sum.

/// "27b" or "0.8b" in billions, "350m" in millions.
std::optional<double> Size(std::string_view part) {
  if (part.size() < 2 || (part.back() != 'b' && part.back() != 'm')) {
    return std::nullopt;
  }
  const double unit = part.back() == 'b' ? 1e9 : 1e6;
  part.remove_suffix(1);
  if (part.find_first_not_of("0123456789.") != std::string_view::npos) {
    return std::nullopt;
  }
  double number = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  const bool whole = error == std::errc() && end == part.data() + part.size();
  return whole && number > 0 ? std::optional(number * unit) : std::nullopt;
}

Status CheckNumber(std::string_view option, const std::optional<double>& value, bool zero_is_fine) {
  if (!value || (std::isfinite(*value) && (*value > 0 || (zero_is_fine && *value == 0)))) {
    return {};
  }
  return Fail(ErrorCode::kInvalidArgument, std::string(option) + ": must be a finite number, " +
                                               (zero_is_fine ? "not below 0" : "above 0"));
}

Result<double> FlopsPerPair(const ModelSpec& model, const CostRequest& request) {
  if (request.attention_flops_per_pair) {
    return *request.attention_flops_per_pair;
  }
  double dimensions = 0;
  for (const AttentionLayers& layers : model.attention) {
    dimensions += static_cast<double>(layers.count) * layers.head_dim;
  }
  if (dimensions == 0) {
    return 0.0;
  }
  if (!request.query_heads) {
    return Fail(ErrorCode::kInvalidArgument,
                "--cost flops: how many query heads " + model.id +
                    " has is not known; give --query-heads or --attention-flops-per-pair");
  }
  return kFlopsPerPair * *request.query_heads * dimensions;
}

}  // namespace

std::optional<double> ActiveParameters(std::string_view model_id) {
  std::optional<double> total;
  while (!model_id.empty()) {
    const std::size_t end = std::min(model_id.find('-'), model_id.size());
    const std::string_view part = model_id.substr(0, end);
    model_id.remove_prefix(std::min(end + 1, model_id.size()));
    if (part.starts_with('a')) {
      if (const auto active = Size(part.substr(1))) {
        return active;
      }
    } else if (const auto size = Size(part); size && !total) {
      total = size;
    }
  }
  return total;
}

Result<PrefillCost> MakePrefillCost(const ModelSpec& model, const CostRequest& request) {
  const bool flops = request.kind == "flops";
  if (!flops && request.kind != "linear") {
    return Fail(ErrorCode::kInvalidArgument,
                "--cost: '" + request.kind + "' must be linear or flops");
  }
  for (const Status& status :
       {CheckNumber("--flops-per-second", request.flops_per_second, false),
        CheckNumber("--active-parameters", request.active_parameters, false),
        CheckNumber("--attention-flops-per-pair", request.attention_flops_per_pair, true)}) {
    if (!status) {
      return Fail(status.error());
    }
  }
  const auto active =
      request.active_parameters ? request.active_parameters : ActiveParameters(model.id);
  if (!active && flops) {
    return Fail(ErrorCode::kInvalidArgument, "--cost flops: how many parameters of " + model.id +
                                                 " a token passes is not known; give "
                                                 "--active-parameters");
  }
  PrefillCost cost{.per_token_s = kUnknownPerTokenSeconds, .per_pair_s = 0};
  if (active) {
    cost.per_token_s = kFlopsPerParameter * *active / request.flops_per_second;
  }
  if (flops) {
    const auto per_pair = FlopsPerPair(model, request);
    if (!per_pair) {
      return Fail(per_pair.error());
    }
    cost.per_pair_s = *per_pair / request.flops_per_second;
  }
  return cost;
}

}  // namespace cairn::sim
