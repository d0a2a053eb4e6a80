#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libcache/base/result.h"
#include "libcache/trace/trace.h"

namespace cairn {

/// Writes requests as a trace in our format (docs/traces.md), which TraceReader and other readers
/// of the format take back. The bytes depend on the requests alone. Not thread-safe.
///
/// Exact requests carry their blocks too; the ids are given out in order of appearance, 24 bytes of
/// memory per different segment.
class TraceWriter {
 public:
  /// gzip when `path` ends in .gz. An existing file is replaced. Errors: kIo, naming the file.
  static Result<std::unique_ptr<TraceWriter>> Create(const std::string& path);
  /// Closes the file, without a word when that fails.
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  /// Errors: kInvalidArgument when block_tokens is 0 or the path is not what a reader expects: the
  /// whole prompt of an exact request, all whole blocks of another; kIo.
  Status Write(const TraceRequest& request);
  /// Writes out what is buffered. Nothing may be written after it. Errors: kIo.
  Status Close();

 private:
  struct File;
  TraceWriter(std::string path, std::unique_ptr<File> file);
  void AppendBlocks(const TraceRequest& request);
  [[nodiscard]] tl::unexpected<Error> FailIo() const;

  std::string path_;
  std::unique_ptr<File> file_;
  std::string line_;
  /// First block id of the blocks that end in a segment, by the hash of the path up to it.
  std::unordered_map<std::uint64_t, std::uint64_t> first_block_;
  std::uint64_t next_block_ = 0;
};

/// Writes all that is left of `reader` to `path`; returns the number of requests. Errors: those of
/// the reader and the writer; what was written until then stays.
Result<std::uint64_t> WriteTrace(const std::string& path, TraceReader& reader);

}  // namespace cairn
