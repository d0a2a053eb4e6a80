#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>

#include "libcache/base/completion.h"
#include "libcache/base/thread_pool.h"

namespace cairn::server {

namespace asio = boost::asio;

/// Failures of I/O are values, not exceptions: (error_code, ...).
inline constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

/// Suspends until `work` is done or the deadline passed; resumes on the caller's executor. True
/// when it is done.
asio::awaitable<bool> WaitDone(std::shared_ptr<Completion> work, TimePoint deadline);

/// Runs `work` on the pool and resumes on the caller's executor. What `work` uses must stay alive
/// until it returns, even if this coroutine is destroyed. Runs in place when the pool's queue is
/// full: slower, never lost.
asio::awaitable<void> RunOn(ThreadPool& pool, std::function<void()> work);

}  // namespace cairn::server
