// Trace files: single lines, and whole files of any format, plain or gzip.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libcache/base/check.h"
#include "libcache/trace/line_parser.h"
#include "libcache/trace/trace.h"

namespace {

constexpr int kMaxRequests = 64;

void ReadFile(const std::string& path) {
  const auto reader = cairn::TraceReader::Open(path);
  if (!reader) {
    CAIRN_CHECK(!reader.error().message.empty());
    return;
  }
  double before = 0;
  for (int i = 0; i < kMaxRequests; ++i) {
    const auto request = (*reader)->Next();
    if (!request) {
      CAIRN_CHECK(!request.error().message.empty());
      const auto again = (*reader)->Next();
      CAIRN_CHECK(!again.has_value() && again.error().message == request.error().message);
      return;
    }
    if (!*request) {
      return;
    }
    const cairn::TraceRequest& r = **request;
    CAIRN_CHECK(r.arrival_s >= before);
    CAIRN_CHECK(r.input_tokens <= cairn::kMaxRequestTokens);
    CAIRN_CHECK(r.output_tokens <= cairn::kMaxRequestTokens);
    before = r.arrival_s;
    std::uint64_t covered = 0;
    for (const cairn::TraceSegment& segment : r.path) {
      covered += segment.tokens;
    }
    CAIRN_CHECK(covered <= r.input_tokens);
    if (r.input_tokens <= 4096) {
      CAIRN_CHECK(cairn::TraceTokens(r, 1).size() == r.input_tokens);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  cairn::TraceLine line;
  static_cast<void>(cairn::ParseTraceLine(text, line));
  // A file without a disk.
  static const int fd = memfd_create("fuzz-trace", MFD_CLOEXEC);
  CAIRN_CHECK(fd >= 0 && ftruncate(fd, 0) == 0);
  CAIRN_CHECK(pwrite(fd, data, size, 0) == static_cast<ssize_t>(size));
  ReadFile("/proc/self/fd/" + std::to_string(fd));
  return 0;
}
