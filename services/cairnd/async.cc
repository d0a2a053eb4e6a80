#include "services/cairnd/async.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <utility>

namespace cairn::server {

asio::awaitable<bool> WaitDone(std::shared_ptr<Completion> work, TimePoint deadline) {
  const auto executor = co_await asio::this_coro::executor;
  const auto timer = std::make_shared<asio::steady_timer>(executor, deadline);
  // Only the caller's thread touches the timer, so the signal is posted there.
  work->OnDone([timer, executor] { asio::post(executor, [timer] { timer->cancel(); }); });
  if (!work->IsDone()) {
    const auto ended = co_await timer->async_wait(kAwait);
    static_cast<void>(ended);
  }
  co_return work->IsDone();
}

asio::awaitable<void> RunOn(ThreadPool& pool, std::function<void()> work) {
  const auto done = std::make_shared<Completion>(1);
  const auto shared = std::make_shared<std::function<void()>>(std::move(work));
  const bool taken = pool.Submit([shared, done] {
    (*shared)();
    done->Done(ErrorCode::kOk);
  });
  if (!taken) {
    (*shared)();
    co_return;
  }
  const auto finished = co_await WaitDone(done, TimePoint::max());
  static_cast<void>(finished);
}

}  // namespace cairn::server
