#include "libcache/published/published_strategies.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace cairn {
namespace {

std::optional<std::uint32_t> ParseParameter(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0) {
    return std::nullopt;
  }
  return value;
}

/// The first `count` multiples of `step` that are at most `tokens`.
std::vector<std::uint32_t> Multiples(std::uint32_t tokens, std::uint32_t step,
                                     std::uint32_t count) {
  std::vector<std::uint32_t> positions;
  if (step == 0) {
    return positions;
  }
  count = std::min(count, tokens / step);
  positions.reserve(count);
  for (std::uint32_t i = 1; i <= count; ++i) {
    positions.push_back(i * step);
  }
  return positions;
}

}  // namespace

std::vector<std::uint32_t> BlockPositions(std::uint32_t tokens, std::uint32_t step) {
  return Multiples(tokens, step, tokens);
}

std::vector<std::uint32_t> BalancedPositions(std::uint32_t tokens, std::uint32_t count) {
  const auto parts = std::uint64_t{count} + 1;
  const auto step = static_cast<std::uint32_t>(std::max<std::uint64_t>(tokens / parts, 1));
  return Multiples(tokens, step, count);
}

std::vector<std::uint32_t> SqrtPositions(std::uint32_t tokens) {
  // Exact: 32-bit numbers and their roots have no rounding in a double that could reach a square.
  return BlockPositions(tokens, static_cast<std::uint32_t>(std::sqrt(tokens)));
}

std::vector<std::uint32_t> PowerPositions(std::uint32_t tokens, std::uint32_t first) {
  std::vector<std::uint32_t> positions;
  for (std::uint64_t power = 1; power <= tokens; power *= 2) {
    if (power >= first) {
      positions.push_back(static_cast<std::uint32_t>(power));
    }
  }
  return positions;
}

std::vector<std::uint32_t> ClipToGrid(std::vector<std::uint32_t> positions, std::uint32_t grid) {
  grid = std::max(grid, 1U);
  for (std::uint32_t& position : positions) {
    position = position / grid * grid;
  }
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return positions;
}

Result<PublishedStrategy> PublishedStrategy::Create(std::string_view name, const Options& options) {
  PublishedStrategy strategy;
  strategy.name_ = std::string(name);
  strategy.options_ = options;
  const auto colon = name.find(':');
  const std::string_view stem = name.substr(0, colon);
  if (colon == std::string_view::npos) {
    if (stem == "none" || stem == "sqrt" || stem == "log") {
      strategy.kind_ = stem == "none" ? Kind::kNone : stem == "sqrt" ? Kind::kSqrt : Kind::kLog;
      return strategy;
    }
  } else if (const auto parameter = ParseParameter(name.substr(colon + 1))) {
    strategy.parameter_ = *parameter;
    if (stem == "block" || stem == "balanced") {
      strategy.kind_ = stem == "block" ? Kind::kBlock : Kind::kBalanced;
      return strategy;
    }
    if (stem == "hist_exp_decay") {
      strategy.kind_ = Kind::kHistogram;
      strategy.options_.histogram.budget = *parameter;
      auto histogram = OverlapHistogram::Create(strategy.options_.histogram);
      if (!histogram) {
        return Fail(histogram.error());
      }
      strategy.histogram_ = *std::move(histogram);
      return strategy;
    }
  }
  return Fail(ErrorCode::kInvalidArgument,
              "published strategy '" + std::string(name) +
                  "': must be none, block:<tokens>, balanced:<count>, sqrt, log or "
                  "hist_exp_decay:<count>");
}

void PublishedStrategy::Observe(std::uint32_t overlap_tokens) {
  if (histogram_) {
    histogram_->Observe(overlap_tokens);
  }
}

Result<std::vector<std::uint32_t>> PublishedStrategy::Positions(std::uint32_t tokens) {
  std::vector<std::uint32_t> positions;
  switch (kind_) {
    case Kind::kNone: return positions;
    case Kind::kBlock: positions = BlockPositions(tokens, parameter_); break;
    case Kind::kBalanced: positions = BalancedPositions(tokens, parameter_); break;
    case Kind::kSqrt: positions = SqrtPositions(tokens); break;
    case Kind::kLog: positions = PowerPositions(tokens, options_.first_power); break;
    case Kind::kHistogram: {
      auto learned = histogram_->Positions(tokens);
      if (!learned) {
        return Fail(learned.error());
      }
      positions = *std::move(learned);
      break;
    }
  }
  if (options_.save_last) {
    positions.push_back(tokens);
  }
  return ClipToGrid(std::move(positions), options_.grid_tokens);
}

}  // namespace cairn
