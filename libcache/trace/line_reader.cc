#include "libcache/trace/line_reader.h"

#include <sys/stat.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>

#include "libcache/base/errno_text.h"

namespace cairn {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{256} << 10U;

tl::unexpected<Error> FailErrno(const std::string& path, int error) {
  const ErrorCode code = error == ENOENT                     ? ErrorCode::kNotFound
                         : error == EACCES || error == EPERM ? ErrorCode::kPermissionDenied
                                                             : ErrorCode::kIo;
  return Fail(code, path + ": " + ErrnoText(error));
}

}  // namespace

struct LineReader::File {
  gzFile gz;
  explicit File(gzFile opened) : gz(opened) {}
  ~File() { gzclose_r(gz); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

LineReader::LineReader(std::string path, std::unique_ptr<File> file, std::uint64_t file_bytes)
    : path_(std::move(path)), file_(std::move(file)), file_bytes_(file_bytes) {
  buffer_.resize(kBufferBytes);
}

LineReader::~LineReader() = default;

Result<std::unique_ptr<LineReader>> LineReader::Open(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) {
    return FailErrno(path, errno);
  }
  if (S_ISDIR(info.st_mode)) {
    return FailErrno(path, EISDIR);
  }
  errno = 0;
  gzFile gz = gzopen(path.c_str(), "rb");
  if (gz == nullptr) {
    return FailErrno(path, errno != 0 ? errno : ENOMEM);
  }
  gzbuffer(gz, kBufferBytes);
  return std::unique_ptr<LineReader>(
      new LineReader(path, std::make_unique<File>(gz), static_cast<std::uint64_t>(info.st_size)));
}

Result<bool> LineReader::Fill() {
  if (at_end_) {
    return false;
  }
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) {
    buffer_.resize(buffer_.size() * 2);
  }
  errno = 0;
  const int got =
      gzread(file_->gz, buffer_.data() + end_, static_cast<unsigned>(buffer_.size() - end_));
  const int read_errno = errno;
  if (got > 0) {
    end_ += static_cast<std::size_t>(got);
    return true;
  }
  at_end_ = true;
  // A stream that was cut short reads as an end of file; only gzerror tells.
  int error = Z_OK;
  const char* message = gzerror(file_->gz, &error);
  if (error == Z_OK || error == Z_STREAM_END) {
    return false;
  }
  if (error == Z_ERRNO) {
    return FailErrno(path_, read_errno);
  }
  ++line_;  // The line that cannot be read.
  std::string_view what(message);
  if (what.starts_with(path_ + ": ")) {
    what.remove_prefix(path_.size() + 2);
  }
  return Fail(ErrorCode::kInvalidArgument,
              At("gzip: expected a whole stream, found: " + std::string(what)));
}

Result<std::optional<std::string_view>> LineReader::Next() {
  std::size_t searched = 0;  // Bytes from begin_ on that hold no line end.
  for (;;) {
    const char* start = buffer_.data() + begin_;
    const std::size_t held = end_ - begin_;
    const auto* found =
        held > searched
            ? static_cast<const char*>(std::memchr(start + searched, '\n', held - searched))
            : nullptr;
    const std::size_t size = found != nullptr ? static_cast<std::size_t>(found - start) : held;
    if (size > kMaxLineBytes) {
      ++line_;
      return Fail(ErrorCode::kInvalidArgument,
                  At("line: expected at most 64 MiB, found a longer one"));
    }
    if (found != nullptr) {
      begin_ += size + 1;
      ++line_;
      return std::optional(std::string_view(start, size));
    }
    searched = held;
    const auto more = Fill();
    if (!more) {
      return Fail(more.error());
    }
    if (!*more) {
      break;
    }
  }
  if (begin_ == end_) {
    return std::optional<std::string_view>();
  }
  const std::string_view last(buffer_.data() + begin_, end_ - begin_);
  begin_ = end_;
  ++line_;
  return std::optional(last);
}

std::pair<std::uint64_t, std::uint64_t> LineReader::Progress() const {
  const auto consumed = gzoffset(file_->gz);
  return {consumed < 0 ? 0 : static_cast<std::uint64_t>(consumed), file_bytes_};
}

std::string LineReader::At(std::string_view message) const {
  return path_ + ":" + std::to_string(line_) + ": " + std::string(message);
}

}  // namespace cairn
