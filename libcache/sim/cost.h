#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libcache/base/result.h"
#include "libcache/model/model_spec.h"
#include "libcache/placement/prefill_cost.h"

namespace cairn::sim {

/// What is known of how long a prefill takes.
struct CostRequest {
  std::string kind = "linear";  ///< Or "flops", where late tokens are dearer.
  std::optional<double>
      active_parameters{};  ///< That a token passes. Unset: as the model's id says.
  std::optional<double> attention_flops_per_pair{};  ///< Of all layers, for a token and one before.
  std::optional<std::uint32_t> query_heads{};        ///< Of a layer of attention.
  double flops_per_second = 3e14;
};

/// Per token where nothing is known of a model: that of 27 billion parameters at 3e14/s.
inline constexpr double kUnknownPerTokenSeconds = 180e-6;

/// Parameters that a token passes, as ids of models say it: 27e9 of "qwen3.5-27b", 3e9 of
/// "qwen3.5-35b-a3b". nullopt where the id has no such part ("jamba-mini").
std::optional<double> ActiveParameters(std::string_view model_id);

/// linear: 2 flops per active parameter and token; kUnknownPerTokenSeconds if their number is
/// unknown. flops: adds 4 * query heads * head dimensions * layers of attention per pair of tokens.
/// Errors: kInvalidArgument, names the option to give: an unknown kind, a number that is negative,
/// infinite or not one, and for flops whatever is not known. Query heads are not part of a
/// ModelSpec, so a model with attention needs them or the flops.
Result<PrefillCost> MakePrefillCost(const ModelSpec& model, const CostRequest& request);

}  // namespace cairn::sim
