#include "libcache/transport/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "libcache/base/errno_text.h"

namespace cairn {

Result<Mapping> Mapping::Map(int fd, std::uint64_t bytes, int protection) {
  // Memory that shrinks under us would make us fault with SIGBUS, and so would a daemon that claims
  // more than the file has. The seal first: what is sealed keeps the size seen after.
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return Fail(ErrorCode::kCorrupt, "the shared memory is not sealed against shrinking");
  }
  struct stat info {};
  if (fstat(fd, &info) != 0 || static_cast<std::uint64_t>(info.st_size) < bytes) {
    return Fail(ErrorCode::kCorrupt, "the shared memory is smaller than the daemon says");
  }
  void* const memory = mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    return Fail(ErrorCode::kIo, "mapping shared memory: " + ErrnoText());
  }
  return Mapping({static_cast<std::byte*>(memory), bytes});
}

Mapping::~Mapping() {
  if (!memory_.empty()) {
    munmap(memory_.data(), memory_.size());
  }
}

}  // namespace cairn
