#include "libcache/trace/writer.h"

#include <zlib.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "libcache/base/errno_text.h"
#include "libcache/trace/mix.h"

namespace cairn {
namespace {

template <class Number>
void AppendNumber(Number value, std::string& out) {
  std::array<char, 32> buffer{};
  out.append(buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr);
}

/// null when empty; bytes that are no UTF-8 are replaced.
void AppendLabel(const std::string& label, std::string& out) {
  using nlohmann::json;
  out += label.empty() ? "null" : json(label).dump(-1, ' ', false, json::error_handler_t::replace);
}

void AppendSegments(std::string_view name, std::span<const TraceSegment> path, std::string& out) {
  out += name;
  for (std::size_t i = 0; i < path.size(); ++i) {
    out += i == 0 ? "[" : ",[";
    AppendNumber(path[i].id, out);
    out += ',';
    AppendNumber(path[i].tokens, out);
    out += ']';
  }
  out += ']';
}

/// Appends ids as they come, runs of following ids as a pair.
class RunAppender {
 public:
  explicit RunAppender(std::string& out) : out_(out) {}
  void Add(std::uint64_t first, std::uint64_t count) {
    if (count_ > 0 && first == first_ + count_) {
      count_ += count;
      return;
    }
    Flush();
    first_ = first;
    count_ = count;
  }
  void Flush() {
    if (count_ == 0) {
      return;
    }
    out_ += std::exchange(separator_, ",");
    out_ += count_ > 1 ? "[" : "";
    AppendNumber(first_, out_);
    if (count_ > 1) {
      out_ += ',';
      AppendNumber(count_, out_);
      out_ += ']';
    }
    count_ = 0;
  }

 private:
  std::string& out_;
  const char* separator_ = "";
  std::uint64_t first_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace

struct TraceWriter::File {
  gzFile gz;
  explicit File(gzFile opened) : gz(opened) {}
  ~File() { Close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int Close() { return gz == nullptr ? Z_OK : gzclose_w(std::exchange(gz, nullptr)); }
};

TraceWriter::TraceWriter(std::string path, std::unique_ptr<File> file)
    : path_(std::move(path)), file_(std::move(file)) {}

TraceWriter::~TraceWriter() = default;

Result<std::unique_ptr<TraceWriter>> TraceWriter::Create(const std::string& path) {
  errno = 0;
  // T: plain bytes through the same calls.
  gzFile gz = gzopen(path.c_str(), path.ends_with(".gz") ? "wb" : "wbT");
  if (gz == nullptr) {
    return Fail(ErrorCode::kIo, path + ": " + ErrnoText(errno != 0 ? errno : ENOMEM));
  }
  return std::unique_ptr<TraceWriter>(new TraceWriter(path, std::make_unique<File>(gz)));
}

tl::unexpected<Error> TraceWriter::FailIo() const {
  return Fail(ErrorCode::kIo, path_ + ": " + ErrnoText());
}

void TraceWriter::AppendBlocks(const TraceRequest& request) {
  RunAppender runs(line_);
  std::uint64_t position = 0;
  std::uint64_t chain = 0;
  for (const TraceSegment& segment : request.path) {
    if (!request.exact) {
      runs.Add(segment.id, 1);
      continue;
    }
    chain = Mix(chain * kGoldenRatio + Mix(segment.id + kGoldenRatio) + segment.tokens);
    const std::uint64_t before = position / request.block_tokens;
    position += segment.tokens;
    const std::uint64_t blocks = position / request.block_tokens - before;
    if (blocks > 0) {
      const auto [entry, added] = first_block_.try_emplace(chain, next_block_);
      next_block_ += added ? blocks : 0;
      runs.Add(entry->second, blocks);
    }
  }
  runs.Flush();
}

Status TraceWriter::Write(const TraceRequest& request) {
  if (request.block_tokens == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                path_ + ": block_tokens: expected at least 1, found 0");
  }
  std::uint64_t tokens = 0;
  bool blocks_only = true;
  for (const TraceSegment& segment : request.path) {
    tokens += segment.tokens;
    blocks_only = blocks_only && segment.tokens == request.block_tokens;
  }
  const std::uint64_t expected =
      request.exact ? request.input_tokens
                    : request.input_tokens / request.block_tokens * request.block_tokens;
  if (tokens != expected || (!request.exact && !blocks_only)) {
    return Fail(ErrorCode::kInvalidArgument,
                path_ + ": path: expected " + std::to_string(expected) + " tokens" +
                    (request.exact ? "" : " in blocks of " + std::to_string(request.block_tokens)) +
                    ", found " + std::to_string(tokens));
  }
  line_ = "{\"t\":";
  AppendNumber(request.arrival_s, line_);
  line_ += ",\"tenant\":";
  AppendLabel(request.tenant, line_);
  line_ += ",\"group\":";
  AppendLabel(request.group, line_);
  line_ += ",\"input_len\":";
  AppendNumber(request.input_tokens, line_);
  line_ += ",\"output_len\":";
  AppendNumber(request.output_tokens, line_);
  line_ += ",\"block_tokens\":";
  AppendNumber(request.block_tokens, line_);
  line_ += ",\"blocks\":[";
  AppendBlocks(request);
  line_ += ']';
  if (request.exact) {
    AppendSegments(",\"segs\":[", request.path, line_);
    if (!request.output_path.empty()) {
      AppendSegments(",\"osegs\":[", request.output_path, line_);
    }
  }
  line_ += "}\n";
  errno = 0;
  if (gzwrite(file_->gz, line_.data(), static_cast<unsigned>(line_.size())) <= 0) {
    return FailIo();
  }
  return {};
}

Status TraceWriter::Close() {
  errno = 0;
  if (file_->Close() != Z_OK) {
    return FailIo();
  }
  return {};
}

Result<std::uint64_t> WriteTrace(const std::string& path, TraceReader& reader) {
  auto writer = TraceWriter::Create(path);
  if (!writer) {
    return Fail(writer.error());
  }
  std::uint64_t written = 0;
  for (;; ++written) {
    const auto request = reader.Next();
    if (!request) {
      return Fail(request.error());
    }
    if (!*request) {
      break;
    }
    if (const auto status = (*writer)->Write(**request); !status) {
      return Fail(status.error());
    }
  }
  if (const auto status = (*writer)->Close(); !status) {
    return Fail(status.error());
  }
  return written;
}

}  // namespace cairn
