#include "libcache/tier/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "libcache/base/errno_text.h"

// Linux 5.1; glibc 2.36 has it in bits/fcntl-linux.h, older ones do not.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace cairn {
namespace {

tl::unexpected<Error> SystemFailure(const char* name, const char* call) {
  return Fail(ErrorCode::kIo, std::string(name) + ": " + call + ": " + ErrnoText());
}

}  // namespace

Result<std::unique_ptr<SealedMemory>> SealedMemory::Create(const char* name, std::uint64_t bytes) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) {
    return SystemFailure(name, "memfd_create");
  }
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    auto failure = SystemFailure(name, "ftruncate");
    close(fd);
    return failure;
  }
  void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    auto failure = SystemFailure(name, "mmap");
    close(fd);
    return failure;
  }
  // Owns both from here on.
  std::unique_ptr<SealedMemory> sealed(
      new SealedMemory(fd, {static_cast<std::byte*>(base), bytes}));
  // FUTURE_WRITE leaves the mapping above writable and refuses every later one, and it comes in a
  // call of its own because a kernel that does not know it refuses the whole set.
  static_cast<void>(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return SystemFailure(name, "F_ADD_SEALS");
  }
  return sealed;
}

SealedMemory::~SealedMemory() {
  munmap(memory_.data(), memory_.size());
  close(fd_);
}

}  // namespace cairn
