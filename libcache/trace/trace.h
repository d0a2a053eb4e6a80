#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

/// A stretch of tokens named by an id: equal ids at equal places mean equal tokens.
struct TraceSegment {
  std::uint64_t id = 0;
  std::uint32_t tokens = 0;
};

/// One request of a trace. Two requests of a trace share exactly the tokens of their common
/// leading segments; what follows the last segment (block traces hide the last partial block) is
/// unique to the request.
struct TraceRequest {
  double arrival_s = 0;
  std::string tenant;
  std::string group;
  std::uint32_t input_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::uint32_t block_tokens = 0;      ///< Of the trace's block ids.
  bool exact = false;                  ///< `path` covers the prompt to the token.
  std::vector<TraceSegment> path;
  std::vector<TraceSegment> output_path;  ///< Continues `path`; empty where the trace has none.
};

/// Reads a trace one request at a time; .gz or plain; formats of docs/traces.md, told apart by
/// their fields: ours (t, input_len, blocks, segs) and Mooncake's (timestamp, input_length,
/// output_length, hash_ids). Not thread-safe.
class TraceReader {
 public:
  /// Errors: kNotFound or kIo, naming the file.
  static Result<std::unique_ptr<TraceReader>> Open(const std::string& path);
  virtual ~TraceReader() = default;
  /// nullopt at the end. Errors: kInvalidArgument "FILE:LINE: field: what was expected".
  virtual Result<std::optional<TraceRequest>> Next() = 0;
  /// Bytes of the file consumed and in all, for a progress bar.
  [[nodiscard]] virtual std::pair<std::uint64_t, std::uint64_t> Progress() const = 0;
};

/// Deterministic token ids for the prompt, in [first, vocab): same segment, same tokens; sibling
/// segments part at their first token but for ids equal modulo the range, which part at the second.
/// input_tokens of them. `unique` salts the part that no segment covers (see TraceRequest).
std::vector<std::uint32_t> TraceTokens(const TraceRequest& request, std::uint64_t unique,
                                       std::uint32_t vocab = 32000, std::uint32_t first = 100);

}  // namespace cairn
