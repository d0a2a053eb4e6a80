#include "libcache/base/read_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "libcache/base/errno_text.h"

namespace cairn {
namespace {

tl::unexpected<Error> Unreadable(const std::string& path, int error) {
  const ErrorCode code = error == ENOENT                     ? ErrorCode::kNotFound
                         : error == EACCES || error == EPERM ? ErrorCode::kPermissionDenied
                                                             : ErrorCode::kIo;
  return Fail(code, "cannot read " + path + ": " + ErrnoText(error));
}

}  // namespace

Result<std::string> ReadFile(const std::string& path, std::size_t most) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (!file) {
    return Unreadable(path, errno);
  }
  std::string text;
  std::array<char, 65536> piece{};
  while (text.size() < most && std::feof(file.get()) == 0 && std::ferror(file.get()) == 0) {
    const std::size_t wanted = std::min(piece.size(), most - text.size());
    text.append(piece.data(), std::fread(piece.data(), 1, wanted, file.get()));
  }
  if (std::ferror(file.get()) != 0) {
    return Unreadable(path, errno);
  }
  return text;
}

}  // namespace cairn
