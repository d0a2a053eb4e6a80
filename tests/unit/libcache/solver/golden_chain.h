#pragma once

#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "libcache/solver/chain.h"

namespace cairn {

/// Instances and optima computed with exact integers by another program, and by brute force where
/// that was possible.
inline const nlohmann::json& GoldenChains() {
  static const nlohmann::json golden = [] {
    std::ifstream file(CAIRN_SOURCE_DIR "/tests/golden/chain_placement.json");
    return nlohmann::json::parse(file);
  }();
  return golden;
}

/// By position; [0] is the weight at position 0.
inline std::vector<std::uint64_t> GoldenHistogram(const nlohmann::json& entry) {
  if (entry.contains("hist")) {
    return entry["hist"].get<std::vector<std::uint64_t>>();
  }
  std::vector<std::uint64_t> histogram(entry["n"].get<std::size_t>() + 1, 0);
  for (const auto& pair : entry["hist_sparse"]) {
    histogram[pair[0].get<std::size_t>()] = pair[1].get<std::uint64_t>();
  }
  return histogram;
}

enum class Support { kAll, kWeightOnly };

inline std::vector<ChainPoint> PointsOf(const std::vector<std::uint64_t>& histogram,
                                        Support support) {
  std::vector<ChainPoint> points;
  for (std::uint32_t position = 1; position < histogram.size(); ++position) {
    if (support == Support::kAll || histogram[position] > 0) {
      points.push_back(
          {.position = position, .potential = position, .weight = histogram[position]});
    }
  }
  return points;
}

}  // namespace cairn
