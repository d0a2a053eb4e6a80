#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

/// The fields of all trace formats (docs/traces.md), by their names in the file.
enum class TraceField : std::uint8_t {
  kT,
  kTenant,
  kGroup,
  kInputLen,
  kOutputLen,
  kBlockTokens,
  kBlocks,
  kSegs,
  kOsegs,
  kTimestamp,
  kInputLength,
  kOutputLength,
  kHashIds,
  kModelName,
  kChunkSize,
  kSeqLen,
  kChunkHashes,
  kOther,  ///< Not ours: skipped, whatever it holds.
};

std::string_view TraceFieldName(TraceField field);

/// One line of a trace as it stands there: types are checked, meanings are not.
struct TraceLine {
  /// first, count of `blocks`; id, tokens of `segs` and `osegs`.
  struct Pair {
    std::uint64_t first = 0;
    std::uint64_t second = 0;
  };
  std::uint32_t fields = 0;  ///< Bit per TraceField that the line has.
  double time = 0;           ///< `t` or `timestamp`, whichever came last.
  std::string tenant;        ///< Or `model_name`, whichever came last; so with the lengths below.
  std::string group;
  std::uint64_t input_len = 0;
  std::uint64_t output_len = 0;
  std::uint64_t block_tokens = 0;
  std::vector<Pair> blocks;  ///< A plain id has count 1.
  std::vector<Pair> segs;
  std::vector<Pair> osegs;
  std::vector<std::uint64_t> hash_ids;
  std::vector<std::uint64_t> chunk_hashes;  ///< 64 bits of each.

  [[nodiscard]] bool Has(TraceField field) const {
    return (fields >> static_cast<unsigned>(field) & 1U) != 0;
  }
};

/// Reads one line of JSON into `line`, whose storage is reused. Costs no more memory than the line
/// is long, however it is nested. Errors: kInvalidArgument "field: what was expected, what was
/// found".
Status ParseTraceLine(std::string_view text, TraceLine& line);

}  // namespace cairn
