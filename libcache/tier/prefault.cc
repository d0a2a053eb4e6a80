#include "libcache/tier/prefault.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "libcache/base/thread_pool.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; Debian 12's libc headers may lack it.
#endif

namespace cairn {
namespace {

// The address space is locked for that long, which others may have to wait for.
constexpr std::size_t kStepBytes = std::size_t{512} << 10U;

bool Populate(std::span<std::byte> pages, const std::atomic<bool>& stop) {
  int error = 0;
  do {
    error = madvise(pages.data(), pages.size(), MADV_POPULATE_WRITE) == 0 ? 0 : errno;
  } while ((error == EAGAIN || error == EINTR) && !stop);
  return error == 0;
}

}  // namespace

Prefaulter::Prefaulter(std::span<std::byte> memory) : thread_([this, memory] { Run(memory); }) {}

Prefaulter::~Prefaulter() {
  stop_ = true;
  thread_.join();
}

void Prefaulter::Run(std::span<std::byte> memory) {
  NameThread("cairn-prefault");
  bool front = true;
  while (!memory.empty() && !stop_) {
    const std::size_t step = std::min(kStepBytes, memory.size());
    const std::size_t rest = memory.size() - step;
    if (!Populate(front ? memory.first(step) : memory.last(step), stop_)) {
      break;
    }
    memory = front ? memory.last(rest) : memory.first(rest);
    front = !front;
    sched_yield();
  }
}

}  // namespace cairn
