#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "libcache/published/run.h"

namespace cairn {

struct SyntheticShape {
  std::uint32_t groups = 10;
  std::uint32_t requests = 480;
  std::uint32_t measured = 192;
  std::uint32_t tokens = 4096;
  std::uint32_t least_divergence = 0;
  std::uint32_t most_divergence = 4096;
};

/// The published kind of synthetic run: groups in turn, each request with a divergence of its own;
/// two of a group overlap in the smaller one.
inline PublishedRun MakeSyntheticRun(const SyntheticShape& shape, std::uint32_t seed) {
  std::mt19937 random(seed);
  PublishedRun run;
  run.name = "synthetic";
  run.cache_requests = 20;
  run.max_tokens = 16'384;
  run.synthetic = true;
  run.first_measured = run.observed_before = shape.requests - shape.measured;
  for (std::uint32_t i = 0; i < shape.requests; ++i) {
    const std::uint32_t range = shape.most_divergence - shape.least_divergence + 1;
    PublishedRequest request;
    request.group = i % shape.groups;
    request.tokens = shape.tokens;
    request.divergence = shape.least_divergence + static_cast<std::uint32_t>(random() % range);
    run.requests.push_back(request);
  }
  return run;
}

/// As a file.
inline std::string TextOf(const PublishedRun& run) {
  std::string text = R"({"type":"header","name":")" + run.name + R"(","K":)" +
                     std::to_string(run.cache_requests) + R"(,"n_train":)" +
                     std::to_string(run.observed_before) + R"(,"max_len":)" +
                     std::to_string(run.max_tokens) +
                     R"(,"block":64,"gamma":0.99,"replan_interval":10,"rule":"LCP"})"
                     "\n";
  for (std::size_t i = 0; i < run.requests.size(); ++i) {
    const PublishedRequest& request = run.requests[i];
    text += std::string(R"({"type":")") + (i < run.first_measured ? "train" : "req") +
            R"(","group":)" + std::to_string(request.group) + R"(,"len":)" +
            std::to_string(request.tokens) + R"(,"L":)" + std::to_string(request.divergence) +
            "}\n";
  }
  return text;
}

inline PublishedReference Strategy(const std::string& strategy, bool adaptive = false) {
  PublishedReference reference;
  reference.name = reference.strategy = strategy;
  reference.adaptive_backtrack = adaptive;
  return reference;
}

}  // namespace cairn
