#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libcache/base/result.h"

namespace cairn {

/// Lines of a file, gzip or plain, told apart by content. Holds one line in memory.
class LineReader {
 public:
  static constexpr std::size_t kMaxLineBytes = std::size_t{64} << 20U;

  /// Errors: kNotFound, kPermissionDenied or kIo, naming the file.
  static Result<std::unique_ptr<LineReader>> Open(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// The next line without its end, valid until the next call; nullopt at the end of the file.
  /// Errors: kInvalidArgument on a line above kMaxLineBytes and on a gzip stream that is broken or
  /// cut short; kIo.
  Result<std::optional<std::string_view>> Next();
  /// Number of the line that Next returned last, counted from 1.
  [[nodiscard]] std::uint64_t line() const { return line_; }
  /// Bytes of the file as stored: consumed, and in all.
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> Progress() const;
  /// "FILE:LINE: message", of the line that Next returned last.
  [[nodiscard]] std::string At(std::string_view message) const;

 private:
  struct File;
  LineReader(std::string path, std::unique_ptr<File> file, std::uint64_t file_bytes);
  /// Reads more behind what the buffer holds. False at the end of the file.
  Result<bool> Fill();

  std::string path_;
  std::unique_ptr<File> file_;
  std::uint64_t file_bytes_;
  std::uint64_t line_ = 0;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  ///< Of what no line has taken yet, in buffer_.
  std::size_t end_ = 0;
  bool at_end_ = false;
};

}  // namespace cairn
