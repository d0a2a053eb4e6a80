#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

/// Longest prompt and longest answer a trace may hold. Lengths are checked against it before
/// anything is allocated: a block trace of blocks of one token needs 16 bytes per token.
inline constexpr std::uint32_t kMaxRequestTokens = 1U << 24U;

/// A stretch of tokens named by an id: equal ids at equal places mean equal tokens, and so an equal
/// number of them.
struct TraceSegment {
  std::uint64_t id = 0;
  std::uint32_t tokens = 0;
  bool operator==(const TraceSegment&) const = default;
};

/// One request of a trace. Two requests of a trace share exactly the tokens of their common
/// leading segments; what follows the last segment (block traces hide the last partial block) is
/// unique to the request. The segments never add up to more than `input_tokens`.
struct TraceRequest {
  double arrival_s = 0;  ///< From the first request of the trace; never decreases.
  std::string tenant{};  ///< Empty where the trace names none; so is `group`.
  std::string group{};   ///< The session, document or prompt the request belongs to.
  std::uint32_t input_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::uint32_t block_tokens = 0;           ///< Of the trace's block ids.
  bool exact = false;                       ///< `path` covers the prompt to the token.
  std::vector<TraceSegment> path{};         ///< Block traces: one segment per block id.
  std::vector<TraceSegment> output_path{};  ///< Continues `path`; empty where the trace has none.
  bool operator==(const TraceRequest&) const = default;
};

/// Yields a trace one request at a time, in order of arrival. Files come from Open, made-up traces
/// from TraceGenerator (generator.h). Not thread-safe.
class TraceReader {
 public:
  /// Opens a file, .gz or plain (told apart by content), in one of the three formats of
  /// docs/traces.md, told apart by the fields of its first line: ours (t, input_len, blocks, segs),
  /// Mooncake's (timestamp, input_length, output_length, hash_ids) and LMCache's log of lookups
  /// (timestamp, chunk_size, seq_len, chunk_hashes).
  /// Errors: kNotFound, kPermissionDenied or kIo, naming the file.
  static Result<std::unique_ptr<TraceReader>> Open(const std::string& path);
  virtual ~TraceReader() = default;
  /// nullopt at the end. Errors: kInvalidArgument "FILE:LINE: field: what was expected, what was
  /// found", also for a broken gzip stream; kIo. After an error every further call repeats it.
  virtual Result<std::optional<TraceRequest>> Next() = 0;
  /// How much has been read and how much there is, for a progress bar: bytes of a file, requests
  /// of a generator.
  [[nodiscard]] virtual std::pair<std::uint64_t, std::uint64_t> Progress() const = 0;
};

/// The next `limit` requests at most, in memory: 16 bytes per segment, so 580 MB for the largest
/// public trace (36 million blocks). Errors: those of TraceReader::Next.
Result<std::vector<TraceRequest>> ReadRequests(
    TraceReader& reader, std::size_t limit = std::numeric_limits<std::size_t>::max());

/// Deterministic token ids for the prompt, in [first, vocab): same segment, same tokens; sibling
/// segments part at their first token but for ids equal modulo the range, which part at the second.
/// input_tokens of them. `unique` salts the part that no segment covers (see TraceRequest): give
/// every request its own number. Needs first < vocab.
std::vector<std::uint32_t> TraceTokens(const TraceRequest& request, std::uint64_t unique,
                                       std::uint32_t vocab = 32000, std::uint32_t first = 100);

/// The same for the answer: output_tokens of them. Where the trace has an output path they are the
/// tokens that follow the prompt in the next turn of the session.
std::vector<std::uint32_t> TraceOutputTokens(const TraceRequest& request, std::uint64_t unique,
                                             std::uint32_t vocab = 32000,
                                             std::uint32_t first = 100);

/// What a block trace would show of `request`: its whole blocks of `block_tokens`, the rest hidden.
/// Two results share exactly the whole blocks that the requests share. For a block trace,
/// `block_tokens` must be a multiple of the trace's own, else blocks are lost.
TraceRequest AsBlocks(const TraceRequest& request, std::uint32_t block_tokens);

}  // namespace cairn
