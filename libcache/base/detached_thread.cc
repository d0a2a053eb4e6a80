#include "libcache/base/detached_thread.h"

#include <csignal>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace cairn {

Status RunDetached(std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Status started;
  try {
    std::thread(std::move(work)).detach();
  } catch (const std::system_error& error) {
    started = Fail(ErrorCode::kUnavailable, std::string("no thread: ") + error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace cairn
