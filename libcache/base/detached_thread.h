#pragma once

#include <functional>

#include "libcache/base/result.h"

namespace cairn {

/// Runs `work` on a thread of its own that nobody can join: for calls of others that take no
/// deadline. It takes none of the program's signals, nor do threads that it starts. What `work`
/// uses must outlive it. Errors: kUnavailable (no thread to be had).
Status RunDetached(std::function<void()> work);

}  // namespace cairn
