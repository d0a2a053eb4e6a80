#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cairn/v1/cache.pb.h"
#include "libcache/base/mutex.h"
#include "libcache/base/result.h"
#include "libcache/base/thread_pool.h"
#include "libcache/ucx/ucx.h"
#include "services/cairnd/async.h"
#include "services/cairnd/config.h"
#include "services/cairnd/connection.h"
#include "services/cairnd/ucx_probe.h"

namespace cairn::server {

/// A worker of UCX inside an event loop: woken by its descriptor, with timers beside it because
/// wake-ups get lost. Lives on one I/O thread.
class UcxLoop {
 public:
  static Result<std::unique_ptr<UcxLoop>> Open(ucx::Context& context, asio::io_context& io);
  UcxLoop(const UcxLoop&) = delete;
  UcxLoop& operator=(const UcxLoop&) = delete;

  /// Begins to watch the worker. Once, from any thread before the loop runs.
  void Start();
  /// Takes it out of its event loop, which does not run any more.
  void Stop();
  /// More requests are likely at once: the event loop looks for them a moment before it sleeps.
  void StayAwake();
  [[nodiscard]] ucx::Worker& worker() { return *worker_; }
  [[nodiscard]] asio::io_context& io() { return io_; }

 private:
  UcxLoop(std::unique_ptr<ucx::Worker> worker, asio::io_context& io, int watched);
  void Watch();
  void Tick();
  void Look();

  const std::unique_ptr<ucx::Worker> worker_;
  asio::io_context& io_;
  std::optional<asio::posix::stream_descriptor> descriptor_;
  std::optional<asio::steady_timer> tick_;
  TimePoint awake_until_;
  bool awake_ = false;
};

class UcxService;

/// One engine's staging memory and the way to it. Lives on its session's I/O thread.
class UcxPeer {
 public:
  ~UcxPeer();
  UcxPeer(const UcxPeer&) = delete;
  UcxPeer& operator=(const UcxPeer&) = delete;

  [[nodiscard]] const std::vector<std::string>& lanes() const { return endpoint_->lanes(); }
  /// Errors: kInvalidArgument, if [offset, offset + bytes) is not inside the staging memory, or
  /// too long for one transfer.
  [[nodiscard]] Status CheckStretch(std::uint64_t offset, std::uint64_t bytes) const;
  /// Of where a stretch goes, with its words.
  [[nodiscard]] Status CheckGet(const v1::UcxGet& where) const;

  /// Begins to put `source`, a stretch of an object in the arena that `where` was for, in pieces
  /// with a word after each. `held` keeps source.
  std::vector<std::shared_ptr<ucx::Transfer>> Put(std::span<const std::byte> source,
                                                  const v1::UcxGet& where,
                                                  const std::shared_ptr<void>& held);
  /// Begins to get what `where` names into `target`, which lies in the arena.
  std::shared_ptr<ucx::Transfer> Get(std::span<std::byte> target, const v1::UcxPut& where,
                                     std::shared_ptr<void> held);
  /// Waits for the end of a transfer. A peer whose connection is gone, or that has let a transfer
  /// wait for a second, is dead: the way to it is closed by force, and stays so. Errors:
  /// kUnavailable, and then close the connection.
  asio::awaitable<Status> Finish(std::shared_ptr<ucx::Transfer> transfer, Connection& connection);
  /// After each request of this engine.
  void StayAwake() { loop_.StayAwake(); }

 private:
  friend class UcxService;
  UcxPeer(UcxService& service, UcxLoop& loop, std::unique_ptr<ucx::Endpoint> endpoint,
          const v1::AttachUcx& attach);
  tl::unexpected<Error> Lost(const char* why);

  UcxService& service_;
  UcxLoop& loop_;
  const std::unique_ptr<ucx::Endpoint> endpoint_;
  const std::string shown_;  // Its lanes, as the status has them.
  const std::uint64_t address_;
  const std::uint64_t bytes_;
};

struct UcxStats {
  std::uint64_t gets = 0;  ///< Stretches of objects put to engines.
  std::uint64_t get_bytes = 0;
  std::uint64_t puts = 0;
  std::uint64_t put_bytes = 0;
  std::uint64_t peers_lost = 0;      ///< Dead in the middle of a transfer.
  std::uint64_t refused_attach = 0;  ///< What they sent could not be, or does not reach.
};

/// UCX in this daemon: a context, a worker per I/O thread, and the arena, registered once. It
/// exports neither a key nor an address, and listens nowhere. Thread-safe unless noted.
class UcxService {
 public:
  struct Config {
    std::string transports;  ///< Empty: those of UCX_TLS if it is set, else the safe ones.
    bool allow_tcp = false;
  };
  /// While the process has one thread. Errors: kInvalidArgument (transports that are not allowed),
  /// those of ucx::Context::Open, kPermissionDenied (UCX listens on a port).
  static Result<std::unique_ptr<UcxService>> Open(const Config& config, std::span<std::byte> arena,
                                                  std::span<asio::io_context* const> ios);

  /// Before the event loops go, once they have stopped.
  void Stop();

  /// Whether this process would survive Attach: tried in another. The engine must be known: it
  /// could still send what is well-formed and not its own. Errors: kInvalidArgument, kOverloaded
  /// (too many at a time), those of UcxProbes::Try.
  asio::awaitable<Status> Probe(const v1::AttachUcx& attach);
  /// Makes the staging memory of an engine reachable, once Probe found no fault. On the session's
  /// thread. Errors: kUnsupported (no way from here to there).
  Result<std::unique_ptr<UcxPeer>> Attach(const v1::AttachUcx& attach,
                                          const asio::any_io_executor& executor);

  [[nodiscard]] const std::string& transports() const { return transports_; }
  [[nodiscard]] std::string version() const { return context_->version(); }
  [[nodiscard]] bool has_cuda() const { return context_->has_cuda(); }
  [[nodiscard]] UcxStats Stats() const;
  /// Lanes -> how many engines are reached that way: "shm: sysv, cma".
  [[nodiscard]] std::map<std::string, std::uint32_t> Connections() const CAIRN_EXCLUDES(mu_);

 private:
  friend class UcxPeer;
  UcxService(std::string transports, bool allow_tcp, std::shared_ptr<ucx::Context> context)
      : transports_(std::move(transports)), allow_tcp_(allow_tcp), context_(std::move(context)) {}
  void Count(const std::string& shown, int change) CAIRN_EXCLUDES(mu_);

  const std::string transports_;
  const bool allow_tcp_;
  const std::shared_ptr<ucx::Context> context_;
  std::unique_ptr<ucx::Region> arena_;
  std::vector<std::unique_ptr<UcxLoop>> loops_;
  std::atomic<std::uint64_t> gets_{0};
  std::atomic<std::uint64_t> get_bytes_{0};
  std::atomic<std::uint64_t> puts_{0};
  std::atomic<std::uint64_t> put_bytes_{0};
  std::atomic<std::uint64_t> peers_lost_{0};
  std::atomic<std::uint64_t> refused_attach_{0};
  std::unique_ptr<UcxProbes> probes_;
  std::unique_ptr<ThreadPool> prober_;  // Uses probes_.
  mutable Mutex mu_;
  std::map<std::string, std::uint32_t> connections_ CAIRN_GUARDED_BY(mu_);
};

/// The service that `config` asks for: null, with the reason in `without`, where it is off, or is
/// to be used only if there is one. Errors: those of UcxService::Open, after --ucx.
Result<std::unique_ptr<UcxService>> OpenUcxService(const DaemonConfig& config,
                                                   std::span<std::byte> arena,
                                                   std::span<asio::io_context* const> ios,
                                                   std::string& without);

}  // namespace cairn::server
