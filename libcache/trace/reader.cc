#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <optional>

#include "libcache/trace/line_parser.h"
#include "libcache/trace/line_reader.h"
#include "libcache/trace/trace.h"

namespace cairn {
namespace {

constexpr std::uint32_t kMooncakeBlockTokens = 512;
constexpr double kMillisecondsPerSecond = 1000;

/// LMCache's threads stamp a lookup before they queue for the log.
constexpr double kLookupDisorderSeconds = 1;

enum class Format : std::uint8_t { kUnknown, kCairn, kMooncake, kLookups };

tl::unexpected<Error> Bad(TraceField field, const std::string& expected, const std::string& found) {
  return Fail(ErrorCode::kInvalidArgument,
              std::string(TraceFieldName(field)) + ": expected " + expected + ", found " + found);
}

std::string Text(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

Status Require(const TraceLine& line, std::initializer_list<TraceField> fields) {
  for (const TraceField field : fields) {
    if (!line.Has(field)) {
      return Bad(field, "the field", "none");
    }
  }
  return {};
}

Status CheckLength(TraceField field, std::uint64_t tokens) {
  if (tokens > kMaxRequestTokens) {
    return Bad(field, "at most " + std::to_string(kMaxRequestTokens) + " tokens",
               std::to_string(tokens));
  }
  return {};
}

/// Appends the pairs [id, tokens] of an exact path, which must add up to `tokens`.
Status AppendSegments(TraceField field, const std::vector<TraceLine::Pair>& pairs,
                      std::uint64_t tokens, std::vector<TraceSegment>& path) {
  std::uint64_t sum = 0;
  path.reserve(pairs.size());
  for (const auto& [id, size] : pairs) {
    if (size == 0 || size > kMaxRequestTokens) {
      return Bad(field, "segments of 1 to " + std::to_string(kMaxRequestTokens) + " tokens",
                 "[" + std::to_string(id) + ", " + std::to_string(size) + "]");
    }
    sum += size;
    path.push_back({.id = id, .tokens = static_cast<std::uint32_t>(size)});
  }
  if (sum != tokens) {
    return Bad(field, "segments that add up to " + std::to_string(tokens) + " tokens",
               std::to_string(sum));
  }
  return {};
}

/// Checks that `blocks` has the prompt's whole blocks, without writing any of them out: a pair
/// may claim any count.
Status CheckBlocks(const TraceLine& line) {
  const std::uint64_t expected = line.input_len / line.block_tokens;
  std::uint64_t blocks = 0;
  for (const auto& [first, count] : line.blocks) {
    if (count == 0 || count > kMaxRequestTokens || first + (count - 1) < first) {
      return Bad(TraceField::kBlocks,
                 "counts of 1 to " + std::to_string(kMaxRequestTokens) + " ids below 2^64",
                 "[" + std::to_string(first) + ", " + std::to_string(count) + "]");
    }
    blocks += count;
  }
  if (blocks != expected) {
    return Bad(TraceField::kBlocks,
               std::to_string(expected) + " whole blocks of " + std::to_string(line.block_tokens) +
                   " in " + std::to_string(line.input_len) + " tokens",
               std::to_string(blocks));
  }
  return {};
}

Status ConvertCairn(const TraceLine& line, TraceRequest& request) {
  using enum TraceField;
  if (auto status = Require(line, {kT, kInputLen, kOutputLen, kBlockTokens, kBlocks}); !status) {
    return status;
  }
  for (const auto& [field, tokens] : {std::pair{kInputLen, line.input_len},
                                      {kOutputLen, line.output_len},
                                      {kBlockTokens, line.block_tokens}}) {
    if (auto status = CheckLength(field, tokens); !status) {
      return status;
    }
  }
  if (line.block_tokens == 0) {
    return Bad(kBlockTokens, "at least 1", "0");
  }
  if (auto status = CheckBlocks(line); !status) {
    return status;
  }
  request.arrival_s = line.time;
  request.tenant = line.tenant;
  request.group = line.group;
  request.input_tokens = static_cast<std::uint32_t>(line.input_len);
  request.output_tokens = static_cast<std::uint32_t>(line.output_len);
  request.block_tokens = static_cast<std::uint32_t>(line.block_tokens);
  request.exact = line.Has(kSegs);
  if (line.Has(kOsegs)) {
    if (!request.exact) {
      return Bad(kOsegs, "segs beside it", "none");
    }
    if (auto status = AppendSegments(kOsegs, line.osegs, line.output_len, request.output_path);
        !status) {
      return status;
    }
  }
  if (request.exact) {
    return AppendSegments(kSegs, line.segs, line.input_len, request.path);
  }
  request.path.reserve(line.input_len / line.block_tokens);
  for (const auto& [first, count] : line.blocks) {
    for (std::uint64_t i = 0; i < count; ++i) {
      request.path.push_back({.id = first + i, .tokens = request.block_tokens});
    }
  }
  return {};
}

/// The partial last block is left out, as in block traces of our format. Its id says only whether a
/// prompt ends in the same tokens; a prompt that goes on behind them has another id in its place.
/// Kept, it would make every overlap of a growing session look as if it ended before the stored
/// end.
Status ConvertMooncake(const TraceLine& line, TraceRequest& request) {
  using enum TraceField;
  if (auto status = Require(line, {kTimestamp, kInputLength, kOutputLength, kHashIds}); !status) {
    return status;
  }
  for (const auto& [field, tokens] :
       {std::pair{kInputLength, line.input_len}, {kOutputLength, line.output_len}}) {
    if (auto status = CheckLength(field, tokens); !status) {
      return status;
    }
  }
  const std::uint64_t whole = line.input_len / kMooncakeBlockTokens;
  const std::uint64_t rest = line.input_len % kMooncakeBlockTokens;
  const std::uint64_t ids = line.hash_ids.size();
  if (ids != whole && (rest == 0 || ids != whole + 1)) {
    return Bad(kHashIds,
               std::to_string(rest == 0 ? whole : whole + 1) + " blocks of 512 in " +
                   std::to_string(line.input_len) + " tokens",
               std::to_string(ids));
  }
  request.input_tokens = static_cast<std::uint32_t>(line.input_len);
  request.output_tokens = static_cast<std::uint32_t>(line.output_len);
  request.block_tokens = kMooncakeBlockTokens;
  request.path.reserve(whole);
  for (std::uint64_t i = 0; i < whole; ++i) {
    request.path.push_back({.id = line.hash_ids[i], .tokens = kMooncakeBlockTokens});
  }
  return {};
}

/// What LMCache logs of a lookup. Its chunks are whole ones; there is no answer in it.
Status ConvertLookup(const TraceLine& line, TraceRequest& request) {
  using enum TraceField;
  if (auto status = Require(line, {kTimestamp, kChunkSize, kSeqLen, kChunkHashes}); !status) {
    return status;
  }
  for (const auto& [field, tokens] :
       {std::pair{kSeqLen, line.input_len}, {kChunkSize, line.block_tokens}}) {
    if (auto status = CheckLength(field, tokens); !status) {
      return status;
    }
  }
  if (line.block_tokens == 0) {
    return Bad(kChunkSize, "at least 1", "0");
  }
  const std::uint64_t whole = line.input_len / line.block_tokens;
  if (line.chunk_hashes.size() > whole) {
    return Bad(kChunkHashes,
               "at most " + std::to_string(whole) + " whole chunks of " +
                   std::to_string(line.block_tokens) + " in " + std::to_string(line.input_len) +
                   " tokens",
               std::to_string(line.chunk_hashes.size()));
  }
  request.tenant = line.tenant;
  request.input_tokens = static_cast<std::uint32_t>(line.input_len);
  request.block_tokens = static_cast<std::uint32_t>(line.block_tokens);
  request.path.reserve(line.chunk_hashes.size());
  for (const std::uint64_t id : line.chunk_hashes) {
    request.path.push_back({.id = id, .tokens = request.block_tokens});
  }
  return {};
}

Result<Format> Detect(const TraceLine& line) {
  using enum TraceField;
  const bool cairn = line.Has(kT) || line.Has(kInputLen) || line.Has(kBlocks);
  const bool lookup = line.Has(kChunkSize) || line.Has(kSeqLen) || line.Has(kChunkHashes);
  const bool mooncake =
      line.Has(kInputLength) || line.Has(kHashIds) || (line.Has(kTimestamp) && !lookup);
  if (cairn + lookup + mooncake != 1) {
    return Fail(ErrorCode::kInvalidArgument,
                std::string("fields: expected those of one format (t, input_len, blocks, ... or "
                            "timestamp, input_length, hash_ids, ... or timestamp, chunk_size, "
                            "seq_len, chunk_hashes, ...), found ") +
                    (cairn || lookup || mooncake ? "those of several" : "none"));
  }
  return cairn ? Format::kCairn : lookup ? Format::kLookups : Format::kMooncake;
}

Status ConvertAs(Format format, const TraceLine& line, TraceRequest& request) {
  switch (format) {
    case Format::kMooncake: return ConvertMooncake(line, request);
    case Format::kLookups: return ConvertLookup(line, request);
    default: return ConvertCairn(line, request);
  }
}

class FileReader final : public TraceReader {
 public:
  explicit FileReader(std::unique_ptr<LineReader> lines) : lines_(std::move(lines)) {}

  Result<std::optional<TraceRequest>> Next() override {
    if (failed_) {
      return Fail(*failed_);
    }
    auto next = Read();
    if (!next) {
      failed_ = next.error();
    }
    return next;
  }

  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> Progress() const override {
    return lines_->Progress();
  }

 private:
  Result<std::optional<TraceRequest>> Read() {
    for (;;) {
      const auto text = lines_->Next();
      if (!text) {
        return Fail(text.error());
      }
      if (!*text) {
        return std::optional<TraceRequest>();
      }
      if ((*text)->find_first_not_of(" \t\r") == std::string_view::npos) {
        continue;  // Tools leave empty lines behind, at the end above all.
      }
      TraceRequest request;
      if (const auto status = Convert(**text, request); !status) {
        return Fail(status.error().code, lines_->At(status.error().message));
      }
      return std::optional(std::move(request));
    }
  }

  Status Convert(std::string_view text, TraceRequest& request) {
    if (auto status = ParseTraceLine(text, line_); !status) {
      return status;
    }
    if (format_ == Format::kUnknown) {
      const auto format = Detect(line_);
      if (!format) {
        return Fail(format.error());
      }
      format_ = *format;
    }
    if (auto status = ConvertAs(format_, line_, request); !status) {
      return status;
    }
    const bool cairn = format_ == Format::kCairn;
    if (format_ == Format::kLookups && line_.time >= last_time_ - kLookupDisorderSeconds) {
      line_.time = std::max(line_.time, last_time_);
    }
    if (last_line_ > 0 && line_.time < last_time_) {
      return Bad(
          cairn ? TraceField::kT : TraceField::kTimestamp,
          "at least " + Text(last_time_) + ", the time of line " + std::to_string(last_line_),
          Text(line_.time));
    }
    if (!cairn) {
      // Other clocks need not start at 0.
      first_time_ = last_line_ > 0 ? first_time_ : line_.time;
      const double unit = format_ == Format::kMooncake ? kMillisecondsPerSecond : 1;
      request.arrival_s = (line_.time - first_time_) / unit;
    }
    last_time_ = line_.time;
    last_line_ = lines_->line();
    return {};
  }

  std::unique_ptr<LineReader> lines_;
  TraceLine line_;  ///< Kept between lines for its storage.
  Format format_ = Format::kUnknown;
  double first_time_ = 0;
  double last_time_ = 0;
  std::uint64_t last_line_ = 0;  ///< 0 before the first request.
  std::optional<Error> failed_;
};

}  // namespace

Result<std::unique_ptr<TraceReader>> TraceReader::Open(const std::string& path) {
  auto lines = LineReader::Open(path);
  if (!lines) {
    return Fail(lines.error());
  }
  return std::make_unique<FileReader>(std::move(*lines));
}

Result<std::vector<TraceRequest>> ReadRequests(TraceReader& reader, std::size_t limit) {
  std::vector<TraceRequest> requests;
  while (requests.size() < limit) {
    auto next = reader.Next();
    if (!next) {
      return Fail(next.error());
    }
    if (!*next) {
      break;
    }
    requests.push_back(std::move(**next));
  }
  return requests;
}

}  // namespace cairn
