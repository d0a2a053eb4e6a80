#include "libcache/base/detached_thread.h"

#include <csignal>
#include <string>
#include <system_error>
#include <utility>

namespace cairn {

Result<std::thread> StartThread(std::function<void()> work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Result<std::thread> started = Fail(ErrorCode::kUnavailable, "");
  try {
    started = std::thread(std::move(work));
  } catch (const std::system_error& error) {
    started = Fail(ErrorCode::kUnavailable, std::string("no thread: ") + error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

Status RunDetached(std::function<void()> work) {
  auto started = StartThread(std::move(work));
  if (!started) {
    return Fail(started.error());
  }
  started->detach();
  return {};
}

}  // namespace cairn
