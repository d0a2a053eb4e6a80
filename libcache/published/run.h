#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/published/overlap_histogram.h"

namespace cairn {

/// One request of a run, or one before it that its cache starts with. Requests of one group share a
/// prefix; those of different groups share nothing.
struct PublishedRequest {
  std::uint32_t group = 0;
  std::uint32_t tokens = 0;
  /// Where it leaves the others of its group: the shortest overlap with any of them.
  std::uint32_t divergence = 0;
  /// Of a recorded run: what the published cache found, and in which of PublishedRun::requests.
  std::uint32_t match = 0;
  std::optional<std::size_t> source = std::nullopt;
};

/// A run of the published experiments, without tokens. Either recorded, with what each request
/// found in the cache, or synthetic, where two requests of a group overlap in the smaller of their
/// divergences.
struct PublishedRun {
  std::string name;
  std::size_t cache_requests = 0;   ///< The cache keeps the last so many requests.
  std::size_t observed_before = 0;  ///< Requests that the warm-up saw.
  std::uint32_t max_tokens = 0;     ///< Of the histogram.
  std::uint32_t grid_tokens = 64;   ///< Of checkpoints, and bin of the histogram.
  double gamma = 0.99;              ///< Of the histogram.
  std::uint32_t replan_interval = 10;
  bool synthetic = false;
  /// What the warm-up left in the histogram; nullopt where that was not recorded.
  std::optional<std::vector<OverlapHistogram::BinCount>> histogram;
  /// Stored before the run, of a recorded one only those that it uses; then the run.
  std::vector<PublishedRequest> requests;
  std::size_t first_measured = 0;  ///< In `requests`.

  [[nodiscard]] std::uint64_t MeasuredTokens() const;
};

/// What the published program reported of one strategy on a run.
struct PublishedReference {
  std::string name;      ///< As published: "dp_5".
  std::string strategy;  ///< As PublishedStrategy::Create takes it: "hist_exp_decay:5".
  bool adaptive_backtrack = false;
  std::uint64_t hits = 0;
  std::uint64_t saved_tokens = 0;
  std::vector<std::uint64_t> saved_by_request;  ///< Empty if it was not recorded.
};

/// `text` is a file of one JSON object per line: a header, then requests ("warm" or "train", and
/// "req"). Errors: kInvalidArgument with the line and the field.
Result<PublishedRun> ParsePublishedRun(std::string_view text);
/// `text` is one JSON object whose "strategies" has an object per strategy.
/// Errors: kInvalidArgument with the field.
Result<std::vector<PublishedReference>> ParsePublishedReference(std::string_view text);

/// `folder`/`name`.jsonl and `folder`/`name`.reference.json.
/// Errors: kNotFound or kIo, naming the file; and those of the parsers.
Result<PublishedRun> LoadPublishedRun(const std::string& folder, const std::string& name);
Result<std::vector<PublishedReference>> LoadPublishedReference(const std::string& folder,
                                                               const std::string& name);

}  // namespace cairn
