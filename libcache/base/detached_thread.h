#pragma once

#include <functional>
#include <thread>

#include "libcache/base/result.h"

namespace cairn {

/// Runs `work` on a thread of its own that takes none of the program's signals, nor do threads that
/// it starts. Errors: kUnavailable (no thread to be had).
Result<std::thread> StartThread(std::function<void()> work);

/// The same, and nobody can join it: for calls of others that take no deadline. What `work` uses
/// must outlive it.
Status RunDetached(std::function<void()> work);

}  // namespace cairn
