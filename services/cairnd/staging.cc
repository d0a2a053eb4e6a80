#include "services/cairnd/staging.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "libcache/base/bytes.h"
#include "libcache/base/errno_text.h"

namespace cairn::server {

Staging::~Staging() {
  munmap(memory_.data(), memory_.size());
  close(fd_);
  pool_->Return();
}

Result<std::unique_ptr<Staging>> StagingPool::Take() {
  {
    const MutexLock lock(mu_);
    if (taken_bytes_ + each_bytes_ > cap_bytes_) {
      return Fail(ErrorCode::kOverloaded,
                  "all staging memory (" + FormatBytes(cap_bytes_) + ") is in use");
    }
    taken_bytes_ += each_bytes_;
  }
  const auto fail = [this](const char* what) {
    Return();
    return Fail(ErrorCode::kIo, std::string(what) + ": " + ErrnoText());
  };
  const int fd = memfd_create("cairn-staging", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) {
    return fail("staging memory");
  }
  // Sealed: a client that shrank it would make us fault.
  if (ftruncate(fd, static_cast<off_t>(each_bytes_)) != 0 ||
      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    close(fd);
    return fail("staging memory");
  }
  void* const memory = mmap(nullptr, each_bytes_, PROT_READ, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    close(fd);
    return fail("mapping staging memory");
  }
  return std::unique_ptr<Staging>(
      new Staging(this, fd, {static_cast<std::byte*>(memory), each_bytes_}));
}

void StagingPool::Return() {
  const MutexLock lock(mu_);
  taken_bytes_ -= each_bytes_;
}

}  // namespace cairn::server
